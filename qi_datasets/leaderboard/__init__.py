"""Entries become a page: found, read, refused or ranked, drawn."""
