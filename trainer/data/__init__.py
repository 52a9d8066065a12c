"""Labelled pictures from anywhere: read, converted, packed, divided."""
