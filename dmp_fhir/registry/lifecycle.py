"""The life of a record as a whole: closed, reopened, suspended, erased (AR-08 to AR-12; CSP L1111-18, R1111-36)."""

from __future__ import annotations

from dmp_fhir.registry.grants import end_grants
from dmp_fhir.registry.shelves import current, put_next
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.database import Reader, Transaction
from dmp_fhir.wire.json import parse_json

# Everything that holds content of a record or leads to it, in an order in which nothing points at what is gone.
CONTENT = (
    "list_entry",
    "document_author",
    "payload",
    "document",
    "document_list",
    "consent",
    "party",
    "search_token",
    "search_text",
    "search_reference",
    "unique_identifier",
    "emergency_grant",
    "notification",
    "resource_version",
    "resource_home",
    "ins",
)


def status_of(reader: Reader, record_id: str) -> str | None:
    row = reader.row("SELECT status FROM record WHERE id = :id", {"id": record_id})
    return str(row[0]) if row else None


def follow_status(tx: Transaction, record_id: str, before: str, after: str, instant: int) -> list[Found]:
    """What else changes when a record closes or opens; the new versions of consents that ended."""
    if before == after:
        return []
    if after == "closed":
        return _closed(tx, record_id, instant)
    if after == "open":
        _note(tx, record_id, closed=None, suspended=None, erasure_asked=None)
    return []


def _closed(tx: Transaction, record_id: str, instant: int) -> list[Found]:
    """What opens the record ends for good: authorisations, team presumptions, the treating physician's status, helpers
    and emergency accesses. Blocks, opposition and preferences stay (AR-11)."""
    _note(tx, record_id, closed=instant, suspended=None)
    end_grants(tx, record_id, instant)
    return end_consents(
        tx,
        record_id,
        instant,
        "kind IN ('AUTORISATION', 'EQUIPE', 'MEDECIN_TRAITANT', 'DELEGATION')",
        {},
    )


def end_consents(tx: Transaction, record_id: str, instant: int, which: str, params: dict[str, str]) -> list[Found]:
    """Set the active consents that `which` selects to inactive; their new versions."""
    rows = tx.rows(
        f"SELECT id, version FROM consent WHERE record_id = :record_id AND status = 'active' AND {which}"
        " ORDER BY created, id",
        {"record_id": record_id} | params,
    )
    ended = []
    for consent_id, version in rows:
        found = current(tx, record_id, "Consent", consent_id)
        if found:
            tree = parse_json(found.body) | {"status": "inactive"}
            ended.append(put_next(tx, record_id, tree, version, instant, "PUT"))
    return ended


def suspend(tx: Transaction, record_id: str, instant: int) -> None:
    """Suspend all access to an open record (AR-12)."""
    tx.execute("UPDATE record SET status = 'suspended' WHERE id = :id", {"id": record_id})
    _note(tx, record_id, suspended=instant)


def resume(tx: Transaction, record_id: str) -> None:
    """End a suspension: the holder objected to the closure, or the cause is gone."""
    tx.execute("UPDATE record SET status = 'open' WHERE id = :id", {"id": record_id})
    _note(tx, record_id, suspended=None)


def ask_erasure(tx: Transaction, record_id: str, instant: int) -> None:
    """The holder asked for the erasure of their closed record: done by the next run of the jobs (AR-10)."""
    _note(tx, record_id, erasure_asked=instant)


def hold(tx: Transaction, record_id: str, instant: int | None) -> bool:
    """Keep a record from erasure, whatever its time, until None is given: a court, an inquiry or a claim needs it
    (TF-245). Whether that changed anything."""
    row = tx.row("SELECT held FROM record_state WHERE record_id = :record_id", {"record_id": record_id})
    if ((row[0] if row else None) is None) == (instant is None):
        return False
    _note(tx, record_id, held=instant)
    return True


def erase(tx: Transaction, record_id: str, instant: int) -> None:
    """Remove everything a record holds, its versions and its matricule included: a new record can be opened for the
    same person (AR-11). The trace stays: its columns, and the entry of the erasure; the other bodies are sealed by the
    key of the record, which the caller destroys after the commit (jobs.py). The files of the documents are removed by
    `collect_orphans`."""
    if tx.dialect == "sqlite":
        tx.rows("PRAGMA secure_delete = ON")  # what columns hold in clear goes from the file too
    _note(tx, record_id, erased=instant)
    for table in CONTENT:
        tx.execute(f"DELETE FROM {table} WHERE record_id = :record_id", {"record_id": record_id})
    tx.execute("DELETE FROM record WHERE id = :record_id", {"record_id": record_id})


def suspended_before(reader: Reader, instant: int) -> list[str]:
    """Records suspended since an instant or longer."""
    rows = reader.rows(
        "SELECT s.record_id FROM record_state s JOIN record r ON r.id = s.record_id"
        " WHERE r.status = 'suspended' AND s.suspended <= :instant ORDER BY s.record_id",
        {"instant": instant},
    )
    return [row[0] for row in rows]


def to_erase(reader: Reader, closed_before: int) -> list[tuple[str, bool]]:
    """Closed records whose time is over, or whose erasure was asked for (True); not those under a legal hold."""
    rows = reader.rows(
        "SELECT s.record_id, s.erasure_asked FROM record_state s JOIN record r ON r.id = s.record_id"
        " WHERE r.status = 'closed' AND s.held IS NULL"
        " AND (s.closed <= :closed_before OR s.erasure_asked IS NOT NULL)"
        " ORDER BY s.record_id",
        {"closed_before": closed_before},
    )
    return [(record_id, asked is not None) for record_id, asked in rows]


def _note(tx: Transaction, record_id: str, **columns: int | None) -> None:
    """Change columns of the row of a record in `record_state`, made when it is not there."""
    tx.claim("record_state", {"record_id": record_id})
    changes = ", ".join(f"{name} = CAST(:{name} AS BIGINT)" for name in columns)
    tx.execute(f"UPDATE record_state SET {changes} WHERE record_id = :record_id", {"record_id": record_id} | columns)
