"""How well a camera shows faces, and what to do about it."""
