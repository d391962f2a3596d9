"""Runs networks on the sets as the article does. Needs the extra `torch`."""
