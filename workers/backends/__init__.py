"""Inference backends: one contract, several ways to compute it."""
