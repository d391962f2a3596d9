"""A set is made: its images chosen, its rows encoded and written."""
