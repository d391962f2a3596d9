"""The harness that proves each set measures what it claims: integrity of the files, separability of the labels.

`verify.verify` is what a user calls. The spec table names the checks of each set.
"""
