"""The model registry on the state broker."""
