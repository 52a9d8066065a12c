"""Turn cameras into frame messages."""
