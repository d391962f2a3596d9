"""Evaluates networks: their answers on a set become an entry that anybody can check."""
