"""Pure functions on answers: what they are worth, with intervals."""
