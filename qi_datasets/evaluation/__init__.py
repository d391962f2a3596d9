"""Evaluates networks, and stores their answers on a set as an entry that anybody can check."""
