"""Reference networks, paddings, local evaluation and receptive fields.

Needs the extra `torch`; the package imports it for verification and evaluation only.
"""
