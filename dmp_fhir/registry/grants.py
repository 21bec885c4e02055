"""Emergency accesses that were opened (AR-50) and the queue of those to review (AR-51)."""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.ids import new_id
from dmp_fhir.store.database import Reader, Transaction


@dataclass(frozen=True, slots=True)
class OpenedInEmergency:
    """One emergency access, as the privacy officer sees it: who, where, why and when; nothing of the record."""

    id: str
    record_id: str
    person: str
    person_name: str
    structure: str
    purpose: str
    motive: str
    granted: int
    expires: int


def open_grant(
    tx: Transaction, record_id: str, context: AccessContext, now_ms: int, length_ms: int, *, review: bool
) -> str | None:
    """Open the access of this person, in this structure, for this session, at its first use: its id, or None when it
    was open already. Nobody else's request can use it: the key is the whole triple."""
    grant_id = new_id()
    row = {
        "record_id": record_id,
        "person": context.actor_id,
        "structure": context.structure or "",
        "session": context.login,
        "id": grant_id,
        "purpose": context.purpose,
        "person_name": context.actor_name,
        "motive": (context.reason or "").strip(),
        "granted": now_ms,
        "expires": now_ms + length_ms,
        "review": review,
    }
    return grant_id if tx.claim("emergency_grant", row) else None


def end_grants(tx: Transaction, record_id: str, instant: int) -> None:
    """End the emergency accesses to a record: they don't come back when it reopens (AR-11)."""
    tx.execute(
        "UPDATE emergency_grant SET expires = :now WHERE record_id = :record_id AND expires > :now",
        {"now": instant, "record_id": record_id},
    )


def to_review(reader: Reader) -> list[OpenedInEmergency]:
    """The accesses that wait for the privacy officer, oldest first."""
    rows = reader.rows(
        "SELECT id, record_id, person, person_name, structure, purpose, motive, granted, expires FROM emergency_grant"
        " WHERE review AND reviewed IS NULL ORDER BY granted, id"
    )
    return [OpenedInEmergency(*row) for row in rows]


def close_review(tx: Transaction, grant_id: str, reviewer: str, finding: str, now_ms: int) -> str | None:
    """Note what the privacy officer found; the record concerned, or None when the access is not in the queue."""
    row = tx.row(
        "SELECT record_id FROM emergency_grant WHERE id = :id AND review AND reviewed IS NULL", {"id": grant_id}
    )
    if row is None:
        return None
    tx.execute(
        "UPDATE emergency_grant SET reviewed = :now, reviewer = :reviewer, finding = :finding"
        " WHERE id = :id AND review AND reviewed IS NULL",
        {"now": now_ms, "reviewer": reviewer, "finding": finding, "id": grant_id},
    )
    return str(row[0])


def forget_grants(tx: Transaction, before_ms: int) -> int:
    """Remove the accesses that ended before an instant and have nothing left to review; how many. The trace keeps
    each of them."""
    return tx.execute(
        "DELETE FROM emergency_grant WHERE expires < :before AND (reviewed IS NOT NULL OR NOT review)",
        {"before": before_ms},
    )
