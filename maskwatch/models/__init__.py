"""The model registry from the front desk."""
