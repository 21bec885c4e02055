"""The append-only log: one row per event, in the transaction of the act it tells about (design.md, decision 5). The
rows of a transaction are gathered and get their place in the log at its end (placing.py)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import orjson

from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.events import THIS_SERVER, Observer, audit_event
from dmp_fhir.audit.placing import append_rows
from dmp_fhir.audit.words import words_of
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.ids import new_id
from dmp_fhir.store.database import Reader, Transaction

_CLOCKS_BACK_MS = 86_400_000


def append(
    tx: Transaction,
    act: Act,
    context: AccessContext | None,
    recorded_ms: int,
    *,
    observer: Observer = THIS_SERVER,
) -> str:
    """Record an act of `context` (None: a caller without a valid token); the id of its first event."""
    return append_many(tx, [act], context, recorded_ms, observer=observer)[0]


def append_many(
    tx: Transaction,
    acts: Iterable[Act],
    context: AccessContext | None,
    recorded_ms: int,
    *,
    observer: Observer = THIS_SERVER,
) -> list[str]:
    """Record several acts of one caller; the ids of all their events, in order."""
    rows = rows_of(acts, context, recorded_ms, observer=observer)
    tx.at_the_end(append_rows, rows)
    return [row["id"] for row in rows]


def rows_of(
    acts: Iterable[Act], context: AccessContext | None, recorded_ms: int, *, observer: Observer = THIS_SERVER
) -> list[dict[str, Any]]:
    """The rows of `audit_event` that tell of these acts, in order, but for their place in the log: `body` is the JSON
    still, which `append_rows` seals."""
    return [_row(one, context, recorded_ms, observer) for act in acts for one in act.one_by_one()]


def _row(act: Act, context: AccessContext | None, recorded_ms: int, observer: Observer) -> dict[str, Any]:
    event_id = new_id()
    event = audit_event(act, context, recorded_ms, event_id, observer)
    body = orjson.dumps(event)
    entity_type, entity_id = act.entities[0][:2] if act.entities else ("", "")
    return {
        "record_id": act.record_id,
        "id": event_id,
        "recorded": recorded_ms,
        "type": event["type"]["code"],
        "subtype": act.interaction,
        "action": act.action,
        "outcome": act.outcome,
        "agent_category": context.actor_category if context else "",
        "agent_id": context.actor_id if context else "",
        "agent_name": context.actor_name if context else "",
        "structure_id": (context.structure or "") if context else "",
        "purpose": context.purpose if context else "",
        "entity_type": entity_type,
        "entity_id": entity_id,
        "words": words_of(event),
        "secret": act.secret or (context is not None and context.secret),
        "lasting": act.lasting,
        "body": body,
        "digest": sha256(body).digest(),
    }


def records_of(reader: Reader, agent_id: str, since_ms: int) -> list[tuple[str, int, int, int]]:
    """The records that an account touched since an instant, refusals included: (record, number of acts, first, last).
    Reads all of the trace since then: for an inquiry, not for a request."""
    # What an earlier head holds was there before it; clocks that went back by less than a day leave nothing out.
    head = reader.row("SELECT MAX(size) FROM audit_head WHERE time < :before", {"before": since_ms - _CLOCKS_BACK_MS})
    # Grouped here: grouping in SQL would read the whole table in the order of records.
    touched: dict[str, list[int]] = {}
    for record_id, recorded in reader.rows(
        "SELECT record_id, recorded FROM audit_event WHERE position >= :first AND agent_id = :agent"
        " AND recorded >= :since AND record_id <> '' ORDER BY position",
        {"agent": agent_id, "since": since_ms, "first": (head and head[0]) or 0},
    ):
        touched.setdefault(record_id, []).append(recorded)
    rows = [(record_id, len(acts), min(acts), max(acts)) for record_id, acts in touched.items()]
    return sorted(rows, key=lambda each: (each[2], each[0]))
