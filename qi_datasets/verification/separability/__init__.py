"""Checks whether networks read location from a set as claimed. Needs the extra `torch`."""
