"""Loads sets: `load_dataset`, and images that are computed when they are read."""
