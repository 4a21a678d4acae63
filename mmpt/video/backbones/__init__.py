"""Feature extractors: one file each, found by name."""
