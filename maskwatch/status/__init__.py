"""A whole installation at one moment, and what is wrong with it."""
