"""Stores sets: their places, files, manifests and cards; a set appears whole or not at all."""
