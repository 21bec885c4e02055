"""A forger who has every right on the database and this source code, and none of the keys: whatever entry they write
since the latest signed head, by the rules of the log, is named (TF-169, decision 0050)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from dmp_fhir.audit import log as trace
from dmp_fhir.audit.entries import MARKED, leaf_of, marks_of
from dmp_fhir.audit.placing import TILE, hashes_in
from dmp_fhir.audit.tree import Frontier, root_of
from dmp_fhir.ids import new_id
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import Transaction
from dmp_fhir.store.sealing import BODY, TraceKey
from tests.audit.logs import Log, disarm
from tests.audit.test_alterations import Insider, change
from tests.audit.test_events import CONTEXT, READ
from tests.conftest import DIALECTS

SIZE, SIGNED, ERASED = 600, 500, 550
ROW = (*("position", "sequence", "nonce", "digest", "marks", "leaf", "seal", "body"), *MARKED)


@pytest.fixture(scope="module", params=DIALECTS)
def insider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Insider]:
    folder = tmp_path_factory.mktemp("forged")
    if request.param == "sqlite":
        (folder / "registry.db").write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        url = f"sqlite:///{folder}/registry.db"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database("forgery", request.getfixturevalue("postgres_template"))
    log = Log.made(url, folder)
    log.grow(SIGNED)
    log.seal()
    log.grow(ERASED - SIGNED)
    with log.database.transaction() as tx:
        trace.append(tx, replace(READ, record_id="erased"), CONTEXT, log.clock.now)
    log.grow(SIZE - ERASED - 1)
    disarm(log.database)
    assert log.database.keys is not None
    log.database.keys.destroy(["erased"], 1)
    report = log.verify()
    assert (report.findings, report.entries, report.erased) == ([], SIZE, 1)
    yield Insider(log)
    log.database.close()
    if request.param == "postgresql":
        server.drop_database("forgery")


def rows_of(tx: Transaction) -> list[dict[str, Any]]:
    found = tx.rows(f"SELECT {', '.join(ROW)} FROM audit_event ORDER BY position")
    return [dict(zip(ROW, row, strict=True)) for row in found]


def written_anew(tx: Transaction, rows: list[dict[str, Any]]) -> None:
    """The log as these rows, in this order, with everything that can be computed without a key."""
    tree, leaves, sequences = Frontier(), [], dict[str, int]()
    for position, row in enumerate(rows):
        sequences[row["record_id"]] = sequences.get(row["record_id"], 0) + 1
        row |= {"position": position, "sequence": sequences[row["record_id"]], "marks": marks_of(row)}
        row["secret"] = bool(row["secret"])
        row["leaf"] = leaf_of(row)
        leaves.append(row["leaf"])
        tree.append(row["leaf"])
    tx.execute("DELETE FROM audit_event")
    tx.insert_many("audit_event", rows)
    tx.execute("UPDATE audit_tree SET size = :size, frontier = :f", {"size": tree.size, "f": bytes(tree)})
    tx.execute("DELETE FROM audit_tile")
    for number in range(len(leaves) // TILE):
        hashes = leaves[number * TILE : (number + 1) * TILE]
        assert hashes_in(b"".join(hashes)) == hashes
        row = {"level": 0, "number": number, "root": root_of(hashes), "hashes": b"".join(hashes)}
        tx.insert("audit_tile", row)


def forged(like: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = b'{"resourceType":"AuditEvent","outcome":"0"}'
    values = {"id": new_id(), "nonce": os.urandom(16), "digest": sha256(body).digest(), "body": pack(body)}
    return dict(like) | values | changes


def erased(tx: Transaction) -> dict[str, Any]:
    """A body of a record whose key was destroyed (by the fixture): nobody can say what was in it."""
    return {"record_id": "erased", "body": BODY + os.urandom(60), "digest": os.urandom(32)}


def appended(like: Callable[[Transaction], dict[str, Any]]) -> Callable[[Transaction], None]:
    def act(tx: Transaction) -> None:
        rows = rows_of(tx)
        written_anew(tx, [*rows, forged(rows[-1], **like(tx))])

    return act


@pytest.mark.parametrize(
    "like",
    [
        pytest.param(lambda tx: {}, id="with the seal of the entry before"),
        pytest.param(lambda tx: {"seal": None}, id="without a seal"),
        pytest.param(lambda tx: {"seal": os.urandom(16)}, id="with a seal by chance"),
        pytest.param(lambda tx: {"seal": TraceKey(bytes(32), 0).seal(b"dmp-fhir trace 1")}, id="with a key by chance"),
        pytest.param(erased, id="of an erased record"),
        pytest.param(lambda tx: {"record_id": ""}, id="of the directory"),
    ],
)
def test_an_entry_appended_by_the_rules(insider: Insider, like: Callable[[Transaction], dict[str, Any]]) -> None:
    first = insider.found(appended(like))[0]
    assert (first.kind, first.position) == ("forged", SIZE)


@pytest.mark.parametrize("position", [SIGNED, 511, 512, 598, 599])
def test_the_tail_since_the_head_is_written_anew(insider: Insider, position: int) -> None:
    def inserted(tx: Transaction) -> None:
        rows = rows_of(tx)
        written_anew(tx, [*rows[:position], forged(rows[position]), *rows[position:]])

    def replaced(tx: Transaction) -> None:
        rows = rows_of(tx)
        rows[position] = forged(rows[position])
        written_anew(tx, rows)

    def other_agent(tx: Transaction) -> None:
        rows = rows_of(tx)
        rows[position]["agent_id"] = "899700000999"
        written_anew(tx, rows)

    def moved(tx: Transaction) -> None:
        rows = rows_of(tx)
        rows[position - 1], rows[position] = rows[position], rows[position - 1]
        written_anew(tx, rows)

    def cut_and_forged(tx: Transaction) -> None:
        rows = rows_of(tx)
        written_anew(tx, [*rows[:position], *(forged(row) for row in rows[position:])])

    for act in (inserted, replaced, other_agent, cut_and_forged):
        first = insider.found(act)[0]
        assert (first.kind, first.position) == ("forged", position), act
    first = insider.found(moved)[0]
    assert first.position == position - 1
    if position < SIZE - 1:

        def deleted(tx: Transaction) -> None:
            rows = rows_of(tx)
            written_anew(tx, rows[:position] + rows[position + 1 :])

        first = insider.found(deleted)[0]
        assert (first.kind, first.position) == ("forged", position)


@pytest.mark.parametrize("column", ["body", "digest", "marks", "seal", "outcome"])
def test_the_entry_of_an_erased_record(insider: Insider, column: str) -> None:
    """Its body can't be opened any more, and is still what was written."""
    value = BODY + os.urandom(40) if column == "body" else "8" if column == "outcome" else os.urandom(32)
    first = insider.found(change(ERASED, column, value))[0]
    assert (first.position, first.record_id) == (ERASED, "erased")


def test_what_the_registry_writes_after_a_forgery_does_not_cover_it(insider: Insider) -> None:
    log = insider.log
    forge = appended(lambda tx: {})

    def act(tx: Transaction) -> None:
        forge(tx)
        trace.append_many(tx, [log.act(n) for n in range(60)], CONTEXT, log.clock.now)
        tx.finish()

    found = insider.found(act)
    assert [(each.kind, each.position) for each in found] == [("forged", SIZE)]


def test_entries_of_before_the_seals(insider: Insider) -> None:
    """They stay what the signed heads say of them; from the position on that the key store names, none lacks a seal."""
    keys = insider.log.database.keys
    assert keys is not None
    assert keys._trace is not None
    begun = keys._trace.since
    keys._trace.since = SIGNED
    try:

        def before(tx: Transaction) -> None:
            tx.execute(f"UPDATE audit_event SET seal = NULL WHERE position < {SIGNED}")

        def all_of_them(tx: Transaction) -> None:
            tx.execute("UPDATE audit_event SET seal = NULL")

        def one_before(tx: Transaction) -> None:
            before(tx)
            rows = rows_of(tx)
            rows[300] = forged(rows[300], seal=None)
            written_anew(tx, rows)

        assert insider.after(before) == []
        first = insider.found(all_of_them)[0]
        assert (first.kind, first.position) == ("forged", SIGNED)
        first = insider.found(one_before)[0]
        assert (first.kind, first.position) == ("altered", 0)
        assert "signed" in first.text
    finally:
        keys._trace.since = begun


def test_without_the_index_on_positions(insider: Insider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmp_fhir.audit.verification.BATCH_WITHOUT_INDEX", 90)
    report = insider.log.verify()
    assert (report.findings, report.entries) == ([], SIZE)
