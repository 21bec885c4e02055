"""The history of a record: entries of its trace, newest first, and what its reader may know of the documents named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dmp_fhir.policy.predicate import Predicate
from dmp_fhir.registry.versions import opened
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Reader
from dmp_fhir.wire.json import parse_json


class Line(NamedTuple):
    recorded: int
    sequence: int
    category: str
    body: bytes


class Period(NamedTuple):
    """[since, until) in milliseconds, None without bound."""

    since: int | None = None
    until: int | None = None


# The decision to disclose goes with an act that has its own line.
_FROM = "FROM audit_event a WHERE a.record_id = :record_id AND a.subtype <> 'AuthZ-Consent'"


def _where(
    predicate: Predicate, record_id: str, period: Period, categories: Iterable[str]
) -> tuple[str, dict[str, Any]]:
    params: dict[str, Any] = {"record_id": record_id} | dict(predicate.params)
    sql = f"{_FROM} AND ({predicate.sql})"
    if period.since is not None:
        sql, params = f"{sql} AND a.recorded >= :since", params | {"since": period.since}
    if period.until is not None:
        sql, params = f"{sql} AND a.recorded < :until", params | {"until": period.until}
    if names := {f"category_{n}": each for n, each in enumerate(categories)}:
        sql += f" AND a.agent_category IN ({', '.join(f':{name}' for name in names)})"
    return sql, params | names


def history_lines(
    reader: Reader,
    record_id: str,
    predicate: Predicate,
    period: Period,
    categories: Iterable[str],
    after: tuple[int, int] | None,
    most: int,
) -> list[Line]:
    """The lines that follow `after` (instant, number in the record) in the order of the history, at most `most`."""
    sql, params = _where(predicate, record_id, period, categories)
    if after is not None:
        sql += " AND (a.recorded < :after OR (a.recorded = :after AND a.sequence < :number))"
        params |= {"after": after[0], "number": after[1]}
    rows = reader.rows(
        f"SELECT a.recorded, a.sequence, a.agent_category, a.id, a.body {sql}"
        f" ORDER BY a.recorded DESC, a.sequence DESC LIMIT {most:d}",
        params,
    )
    return [
        Line(recorded, sequence, category, open_body(reader.keys, record_id, event_place(record_id, event_id), body))
        for recorded, sequence, category, event_id, body in rows
    ]


def history_length(
    reader: Reader, record_id: str, predicate: Predicate, period: Period, categories: Iterable[str]
) -> int:
    sql, params = _where(predicate, record_id, period, categories)
    row = reader.row(f"SELECT COUNT(*) {sql}", params)
    return int(row[0]) if row else 0


def titles_of(
    reader: Reader, record_id: str, documents: Iterable[str], predicate: Predicate
) -> Mapping[str, tuple[str | None, str | None, str | None, int]]:
    """Of those documents that the predicate shows: title, system and code of the type, instant. The title is
    nowhere but in the body, which is sealed (docs/decisions/0038-encryption-at-rest.md)."""
    names = {f"document_{n}": each for n, each in enumerate(documents)}
    if not names:
        return {}
    rows = reader.rows(
        "SELECT d.id, d.version, v.body, d.type_system, d.type_code, COALESCE(d.creation_low, d.date_low, d.created)"
        " FROM document d JOIN resource_version v ON v.record_id = d.record_id"
        " AND v.resource_type = 'DocumentReference' AND v.resource_id = d.id AND v.version = d.version"
        f" WHERE d.record_id = :record_id AND d.id IN ({', '.join(f':{name}' for name in names)})"
        f" AND ({predicate.sql})",
        {"record_id": record_id} | names | dict(predicate.params),
    )
    return {
        name: (_title(opened(reader, record_id, "DocumentReference", name, version, body)), system, code, int(instant))
        for name, version, body, system, code, instant in rows
    }


def _title(body: bytes) -> str | None:
    return next(iter(parse_json(body)["content"]))["attachment"].get("title")
