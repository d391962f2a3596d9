"""Checks that the files hold what the specification says. Needs no torch."""
