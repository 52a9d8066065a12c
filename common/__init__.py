"""What at least two services speak: wire contracts, broker access, models."""
