"""A set on disk: where it lies, its files, its manifest, its card, and how it appears whole or not at all."""
