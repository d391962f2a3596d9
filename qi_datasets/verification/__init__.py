"""The harness that proves each set measures what it claims: integrity of the files, separability of the labels.

`verify.verify` is what a user calls; `integrity.CHECKS` and `verify.NETWORK_CHECKS` are the two tables of checks.
"""
