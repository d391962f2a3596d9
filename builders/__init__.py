"""One readable file per set: top to bottom, how this set is made."""
