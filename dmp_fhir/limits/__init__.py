"""How much one may ask: counters that all workers of a machine share, without a database (0035)."""
