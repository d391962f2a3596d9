"""Makes a page of entries: finds, reads, checks, ranks and draws them."""
