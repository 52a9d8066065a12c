"""The event log in the terminal."""
