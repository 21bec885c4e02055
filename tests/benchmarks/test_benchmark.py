"""The benchmark measures what it says: its lots are accepted, its requests answered, its ceiling does the same work."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import raw_sql, trace
from benchmarks.fill import Place, _fill, index_of
from benchmarks.load import Measure
from benchmarks.operations import MOST_CONNECTIONS, OPERATIONS, Index, Operation, Stored, kind_of
from benchmarks.report import Ceiling, Result, Run, report
from benchmarks.world import DOCUMENTS_PER_PATIENT, MASKED_EVERY, ins_of
from dmp_fhir.identity.identifiers import parse_person_id
from dmp_fhir.store.database import Database

PATIENTS = 2
DOCUMENTS = PATIENTS * DOCUMENTS_PER_PATIENT


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    place = Place("sqlite" if database_url.startswith("sqlite") else "postgresql", tmp_path, database_url)
    _fill(place, 0, DOCUMENTS)
    return place


def test_matricules_are_different_and_have_their_key() -> None:
    matricules = [ins_of(number) for number in (*range(1000), 999_999, 1_000_000, 5_000_000)]
    assert len(set(matricules)) == len(matricules)
    for each in matricules:
        assert parse_person_id(f"urn:oid:1.2.250.1.213.1.4.10|{each}") is not None


def test_every_operation_is_answered_and_done_again_by_the_driver(place: Place) -> None:
    index = index_of(place)
    assert len(index.documents) == DOCUMENTS - DOCUMENTS // MASKED_EVERY
    few = Index(index.documents * MOST_CONNECTIONS, index.tokens)
    for operation in OPERATIONS:
        before = _rows(place)
        noted = raw_sql.note(place, operation, few, 4)
        assert _rows(place) == before, f"{operation.key} was noted, not done"
        assert raw_sql.replay(place, noted, 1) > 0
        after = _rows(place)
        published = 4 if operation.key in ("publish", "simple") else 0
        assert after["document"] == before["document"] + published


def test_a_log_of_the_trace_is_filled_proved_and_verified(tmp_path: Path) -> None:
    columns = trace.size(tmp_path, 1_100).strip("| ").split(" | ")
    assert columns[0] == "1,100"
    assert all(float(each.replace(",", "")) > 0 for each in columns[1:])


def _rows(place: Place) -> dict[str, int]:
    database = Database.open(place.url)
    with database.snapshot() as reader:
        counts = {table: reader.rows(f"SELECT COUNT(*) FROM {table}")[0][0] for table in ("document", "audit_event")}
    database.close()
    return counts


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.key)
def test_the_bare_function_tells_the_operations_apart(operation: Operation) -> None:
    index = Index([_stored()] * MOST_CONNECTIONS, {"dr-moreau": "a", "dr-petit": "b"})
    method, address, _ = next(operation.stream(index, random.Random(0), 0)).split(b"\r\n")[0].decode().split(" ")
    path, _, query = address.partition("?")
    assert kind_of(method, path, query) == operation.key


def _stored() -> Stored:
    return Stored(ins_of(1), "document", "binary")


def test_a_missed_target_is_told() -> None:
    read = OPERATIONS[0]
    run = Run(["machine"], (0.0001, 0.0002), 1, 8, "", databases={"sqlite": "SQLite"})
    slow = Measure(read.target - 1, [0.001, 0.002, 0.009], 0.0003)
    run.results.append(Result("sqlite", 1000, 2, read, slow, Ceiling(10_000, 6_000)))
    assert f"{read.target - 1:,}/s of {read.target:,}/s" in report(run)
    run.results[0] = Result("sqlite", 1000, 2, read, Measure(read.target, [0.001], 0.0003), Ceiling(10_000, 6_000))
    assert "## Under target\n\nNothing." in report(run)
