"""One readable file per set, from top to bottom: how the set is made."""
