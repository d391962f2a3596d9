"""Reports of verifications: as objects, as JSON and as a page."""
