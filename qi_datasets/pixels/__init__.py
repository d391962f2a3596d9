"""Pure functions on arrays: where pixels go, what proves them, how they become PNG files and pictures."""
