"""Face crops that people have labelled: fetched, checked, kept for a limited time."""
