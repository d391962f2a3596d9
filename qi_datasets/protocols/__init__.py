"""Runs networks on the sets as in the paper. Needs the extra `torch`."""
