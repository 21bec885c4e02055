"""Backups: one sealed file with every row and document of a registry, for SQLite and PostgreSQL alike.

A backup is made while the server writes, verified without a database, and restored into either database: it is also
the way from the one to the other (TF-233, TF-235, TF-236, TF-240). Why so:
docs/decisions/0040-seen-by-the-operator.md.
"""
