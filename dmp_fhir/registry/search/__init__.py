"""Searches: which parameters there are, how they are read, run, paged and linked."""
