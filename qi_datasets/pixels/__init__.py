"""Pure functions on arrays: geometry of images, digests, PNG files and contact sheets."""
