"""Brokers of one's own on this machine, tied to the life of their owner."""
