"""The Java reference validator (HAPI) and ours over the same resources: `make oracle`, oracle/README.md."""
