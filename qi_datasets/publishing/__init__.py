"""Publishes sets on the Hub: decides who may see them, plans the changes, and makes them safely."""
