"""The event log as those outside read it."""
