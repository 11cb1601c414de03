"""A recipe in a distribution of its own."""
