"""Stores sets: locations, files, manifests and cards, written atomically."""
