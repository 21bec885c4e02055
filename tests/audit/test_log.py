"""The log: in the transaction of the act, one row per entity, never changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Database
from tests.audit.test_events import CONTEXT, NOW, READ


def rows(database: Database) -> list[tuple]:
    with database.snapshot() as reader:
        return reader.rows(
            "SELECT id, record_id, subtype, action, outcome, agent_id, structure_id, purpose, entity_type, entity_id,"
            " secret, body FROM audit_event ORDER BY position"
        )


def body_of(database: Database, row: tuple) -> bytes:
    return open_body(database.keys, row[1], event_place(row[1], row[0]), row[11])


def test_an_act_becomes_a_row(database: Database) -> None:
    with database.transaction() as tx:
        number = log.append(tx, READ, CONTEXT, NOW)
    (row,) = rows(database)
    assert row[:10] == (
        number,
        "r1",
        "read",
        "R",
        "0",
        "899700000112",
        "1990000044",
        "normal",
        "DocumentReference",
        "d1",
    )
    assert not row[10]
    event = json.loads(body_of(database, row))
    assert (event["resourceType"], event["id"]) == ("AuditEvent", number)


def test_an_act_on_several_things_is_one_event_each(database: Database) -> None:
    entities = (("List", "l1", 1), ("DocumentReference", "d1", 1), ("DocumentReference", "d2", 1))
    with database.transaction() as tx:
        numbers = log.append_many(tx, [replace(READ, entities=entities), Act("search-type", "E")], CONTEXT, NOW)
        assert log.append_many(tx, [], CONTEXT, NOW) == []
    found = rows(database)
    assert [row[0] for row in found] == numbers
    assert [(row[8], row[9]) for row in found] == [*((kind, one) for kind, one, _ in entities), ("", "")]
    for row in found[:3]:
        others = {one for _, one, _ in entities} - {row[9]}
        assert not any(f"/{other}/" in body_of(database, row).decode() for other in others)


def test_no_act_without_its_trace_and_no_trace_without_its_act(database: Database) -> None:
    def fails() -> None:
        with database.transaction() as tx:
            log.append(tx, READ, CONTEXT, NOW)
            raise RuntimeError("the act fails")

    with pytest.raises(RuntimeError):
        fails()
    assert rows(database) == []


def test_an_anonymous_refusal(database: Database) -> None:
    with database.transaction() as tx:
        log.append(tx, Act("read", "R", "4", reason="JETON_ABSENT", status=401), None, NOW)
    (row,) = rows(database)
    assert row[1] == ""
    assert row[5] == ""
