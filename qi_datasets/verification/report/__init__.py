"""What a verification found, as objects, JSON and a page."""
