"""A set becomes a public data set: who may see it, what changes on the Hub, and how that is done safely."""
