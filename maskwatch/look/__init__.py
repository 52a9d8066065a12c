"""Pictures and videos without a broker."""
