"""Dataset card templates, one per set, and the pictures and files that are published beside them."""
