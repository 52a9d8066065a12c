"""The trainer as a service: watches for labelled crops, fine-tunes, judges, publishes and promotes by policy."""
