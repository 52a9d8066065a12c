"""A release, or foreign predictions, on labelled pictures."""
