"""`python -m benchmarks`: what the server does per second, beside what this machine can do at all (README.md)."""
