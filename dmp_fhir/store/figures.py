"""Whether the store can be worked with, and how much is in it: for readiness and for metrics."""

from __future__ import annotations

import os
import shutil

from dmp_fhir.store import schema
from dmp_fhir.store.database import Database, StoreDamaged, StoreUnavailable
from dmp_fhir.store.key_store import LOOKUP
from dmp_fhir.store.payloads import PayloadStore

_COUNTS = {
    "records": "SELECT COUNT(*) FROM record WHERE status <> 'directory'",
    "documents": "SELECT COUNT(*) FROM document",
    "audit_entries": "SELECT size FROM audit_tree",
    "audit_unsealed": "SELECT t.size - COALESCE((SELECT MAX(h.size) FROM audit_head h), 0) FROM audit_tree t",
    "alerts_waiting": "SELECT COUNT(*) FROM security_alert WHERE reviewed IS NULL",
    "trace_alerts_waiting": "SELECT COUNT(*) FROM security_alert WHERE reviewed IS NULL AND kind = 'trace'",
    "outbox_waiting": "SELECT COUNT(*) FROM notification WHERE sent IS NULL",
}
_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    "postgresql": "SELECT pg_database_size(current_database())",
}


def is_ready(database: Database, payloads: PayloadStore) -> bool:
    """Whether the database answers, has the schema of this program, its keys are at hand, and documents can be
    written."""
    try:
        if database.keys is not None:
            database.keys.store.key(LOOKUP)
        with database.snapshot() as reader:
            found = reader.row("SELECT version_num FROM alembic_version")
        space = os.statvfs(payloads.folder)
    except (StoreUnavailable, StoreDamaged, OSError):
        return False
    may_write = os.access(payloads.folder, os.W_OK | os.X_OK)
    return found is not None and found[0] == schema.head() and may_write and space.f_bavail > 0


def figures(database: Database, payloads: PayloadStore) -> dict[str, float]:
    """The figures of telemetry.metrics.HELP; those of the database are left out when it does not answer."""
    found: dict[str, float] = {"up": 1.0}
    try:
        with database.snapshot() as reader:
            for name, statement in _COUNTS.items():
                (found[name],) = reader.row(statement) or (0,)
            (found["database_bytes"],) = reader.row(_SIZE[reader.dialect]) or (0,)
    except (StoreUnavailable, StoreDamaged):
        found = {"up": 0.0}
    try:
        found["disk_free_bytes"] = shutil.disk_usage(payloads.folder).free
    except OSError:
        found["up"] = 0.0
    return found
