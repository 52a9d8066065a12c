"""The front desk: puts the services together."""
