"""Makes sets: chooses their images, encodes and writes their rows."""
