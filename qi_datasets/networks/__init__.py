"""Reference networks and what is measured with them.

Needs the extra `torch`; the package imports it for verification and evaluation only.
"""
