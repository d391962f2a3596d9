"""Pure functions on answers: accuracy, consistency and location scores, with intervals."""
