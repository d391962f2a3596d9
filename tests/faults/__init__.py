"""Faults on purpose: kills, signals, full disks, swaps under readers, hostile files, sets that lie.

`pytest -m faults` runs a small, seeded version; `python -m tests.faults --long` the full counts.
"""
