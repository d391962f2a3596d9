"""A set is read: `load_dataset`, and images that are computed when they are read."""
