"""The commands: options in, one call of the library, a table out."""
