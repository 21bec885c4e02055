"""The rights that the server's account needs on PostgreSQL, and no more (TF-170): tables belong to the account that
migrates; the server may add to the trace and never change it."""

from __future__ import annotations

import re

from dmp_fhir.store.tables import metadata

# Rows that are written once.
_GROWING = ("audit_event", "audit_tile", "audit_head")
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)


def grants_for(role: str) -> str:
    """The SQL that gives `role` what the server needs; ValueError when it is not a plain name."""
    if not _ROLE.fullmatch(role):
        raise ValueError("the name of a role: small letters, digits and _")
    lines = [
        f"-- Run by the owner of the tables, after each dmp-fhir init; {role} owns none and is no superuser.",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role};",
        f"GRANT USAGE ON SCHEMA public TO {role};",
        f"GRANT SELECT ON alembic_version TO {role};",
    ]
    for name in sorted(metadata.tables):
        if name in _GROWING:
            rights = "SELECT, INSERT"
        elif name == "audit_tree":
            rights = "SELECT, UPDATE (size, frontier)"
        elif name == "resource_version":
            rights = "SELECT, INSERT, DELETE"  # an erased record's versions go; a trigger keeps the others
        else:
            rights = "SELECT, INSERT, UPDATE, DELETE"
        lines.append(f"GRANT {rights} ON {name} TO {role};")
    return "\n".join(lines) + "\n"
