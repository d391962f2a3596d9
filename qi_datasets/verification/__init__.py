"""Checks that each set measures what it claims: integrity of the files, separability of the labels.

Users call `verify.verify`. The spec table names the checks of each set.
"""
