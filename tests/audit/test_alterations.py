"""An insider alters the trace by hand: every alteration is found, and its place is named (TF-169, TF-172).

Each alteration is made in a transaction that is looked at and rolled back, so that one log serves all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dmp_fhir.audit.entries import leaf_of
from dmp_fhir.audit.findings import Finding
from dmp_fhir.audit.heads import Head, HeadKeys
from dmp_fhir.audit.proofs import _ROW
from dmp_fhir.audit.tree import Frontier
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import Database, Transaction
from tests.audit.logs import Log, disarm
from tests.conftest import DIALECTS
from tests.support.tally import count

SIZE = 700  # two complete tiles and an open one, three heads
COLUMNS: dict[str, Any] = {
    "record_id": "r99",
    "id": "0190aaaa-0000-7000-8000-000000000000",
    "recorded": 1,
    "type": "x",
    "subtype": "vread",
    "action": "D",
    "outcome": "4",
    "agent_category": "PATIENT",
    "agent_id": "899700000999",
    "agent_name": "Dr Personne",
    "structure_id": "1999999999",
    "purpose": "bris_de_glace",
    "entity_type": "Binary",
    "entity_id": "d-other",
    "words": '["e2","=DocumentReference/d-other"]',
    "secret": True,
    "body": pack(b'{"resourceType":"AuditEvent"}'),
    "position": 5_000,
    "sequence": 5_000,
    "nonce": bytes(16),
    "digest": bytes(32),
    "marks": bytes(32),
    "leaf": bytes(32),
    "seal": bytes(16),
}
PLACES = (0, 255, 300, 512, 699)


class Undone(Exception):
    """Rolls the alteration back."""


@pytest.fixture(scope="module", params=DIALECTS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    folder = tmp_path_factory.mktemp("log")
    if request.param == "sqlite":
        path = folder / "registry.db"
        path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        url = f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database("alterations", request.getfixturevalue("postgres_template"))
    log = Log.made(url, folder)
    for entries in (200, 300, 200):
        log.grow(entries)
        log.seal()
    log.grow(0)
    assert log.verify().findings == []
    disarm(log.database)
    assert log.verify().findings == []
    yield log
    log.database.close()
    if request.param == "postgresql":
        server.drop_database("alterations")


class Insider:
    """Alters, has the log verified, and puts everything back."""

    def __init__(self, log: Log) -> None:
        self.log = log
        ids = log.rows("SELECT position, record_id, id FROM audit_event ORDER BY position")
        self.at = {position: (record_id, event_id) for position, record_id, event_id in ids}

    def found(self, act: Callable[[Transaction], None]) -> list[Finding]:
        """The findings after an alteration; it must be one, and is undone."""
        count("G", "alterations made")
        found = self.after(act)
        count("G", "alterations detected", bool(found))
        return found

    def after(self, act: Callable[[Transaction], None]) -> list[Finding]:
        database, found = self.log.database, []
        real = Database.snapshot
        try:
            with database.transaction() as tx:
                act(tx)
                # The verification looks at the very transaction, instead of a snapshot of its own.
                database.snapshot = lambda: _Same(tx)  # type: ignore[method-assign]
                found = self.log.verify().findings
                raise Undone
        except Undone:
            pass
        finally:
            database.__dict__.pop("snapshot", None)
        assert Database.snapshot is real
        return found


class _Same:
    def __init__(self, tx: Transaction) -> None:
        self.tx = _Quiet(tx)

    def __enter__(self) -> Any:
        return self.tx

    def __exit__(self, *_: object) -> None:
        return None


class _Quiet:
    def __init__(self, tx: Transaction) -> None:
        self.rows, self.row, self.dialect, self.keys = tx.rows, tx.row, tx.dialect, tx.keys


@pytest.fixture(scope="module")
def insider(built: Log) -> Insider:
    return Insider(built)


def change(position: int, column: str, value: Any) -> Callable[[Transaction], None]:
    def act(tx: Transaction) -> None:
        sql = f"UPDATE audit_event SET {column} = :value WHERE position = :position"
        assert tx.execute(sql, {"value": value, "position": position}) == 1

    return act


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_column(insider: Insider, column: str) -> None:
    for position in (0, 300, 699):
        found = insider.found(change(position, column, COLUMNS[column]))
        assert found, (column, position)
        first = found[0]
        if column == "position":
            # Its old place is empty, its new one is behind the end.
            assert (first.kind, first.position) == ("missing", position)
            continue
        assert first.position == position
        named = first.column or ""
        if column in ("nonce", "leaf"):
            assert column in named
        else:
            assert column in named.split(", "), (column, position, first)
        if column != "id":
            assert first.event_id == insider.at[position][1]


@pytest.mark.parametrize("position", PLACES)
def test_a_changed_body_with_its_digest(insider: Insider, position: int) -> None:
    """Whoever knows the format changes the body and everything in the row that is computed from it."""

    def act(tx: Transaction) -> None:
        values = tx.row(f"SELECT {', '.join(_ROW)} FROM audit_event WHERE position = {position}")
        assert values is not None
        body = b'{"resourceType":"AuditEvent","id":"forged"}'
        row = dict(zip(_ROW, values, strict=True)) | {"digest": sha256(body).digest()}
        tx.execute(
            "UPDATE audit_event SET body = :body, digest = :digest, leaf = :leaf WHERE position = :position",
            {"body": pack(body), "digest": row["digest"], "leaf": leaf_of(row), "position": position},
        )

    first = insider.found(act)[0]
    assert (first.position, first.event_id) == (position, insider.at[position][1])


@pytest.mark.parametrize("position", PLACES)
def test_a_deleted_entry(insider: Insider, position: int) -> None:
    first = insider.found(lambda tx: tx.execute(f"DELETE FROM audit_event WHERE position = {position}") and None)[0]
    assert (first.kind, first.position) == ("missing", position)
    if position < SIZE - 16:
        assert first.record_id == insider.at[position][0]


@pytest.mark.parametrize("position", PLACES[:-1])
def test_a_deleted_entry_whose_hole_is_closed(insider: Insider, position: int) -> None:
    def act(tx: Transaction) -> None:
        tx.execute(f"DELETE FROM audit_event WHERE position = {position}")
        tx.execute(f"UPDATE audit_event SET position = position - 1 WHERE position > {position}")

    first = insider.found(act)[0]
    assert first.position == position
    assert first.kind == "reordered"


@pytest.mark.parametrize(("one", "two"), [(0, 1), (0, 699), (255, 256), (300, 310), (697, 698)])
def test_swapped_entries(insider: Insider, one: int, two: int) -> None:
    def act(tx: Transaction) -> None:
        for sql in (f"SET position = -5 WHERE position = {one}", f"SET position = {one} WHERE position = {two}"):
            tx.execute(f"UPDATE audit_event {sql}")
        tx.execute(f"UPDATE audit_event SET position = {two} WHERE position = -5")

    first = insider.found(act)[0]
    assert (first.position, first.event_id) == (one, insider.at[two][1])
    if two - one < 256:
        assert (first.kind, first.column) == ("reordered", "position")


def copy_of(original: int, **changes: Any) -> Callable[[Transaction], None]:
    names = [*COLUMNS]

    def act(tx: Transaction) -> None:
        row = tx.row(f"SELECT {', '.join(names)} FROM audit_event WHERE position = {original}")
        assert row is not None
        tx.insert("audit_event", dict(zip(names, row, strict=True)) | {"id": "copied"} | changes)

    return act


@pytest.mark.parametrize("position", PLACES)
def test_an_inserted_entry(insider: Insider, position: int) -> None:
    at_the_end = insider.found(copy_of(position, position=SIZE))[0]
    assert (at_the_end.kind, at_the_end.position, at_the_end.event_id) == ("inserted", SIZE, "copied")
    doubled = insider.found(copy_of(position))[0]
    assert doubled.position == position

    def between(tx: Transaction) -> None:
        tx.execute(f"UPDATE audit_event SET position = position + 1 WHERE position >= {position}")
        copy_of(position + 1, position=position)(tx)

    assert insider.found(between)[0].position == position


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_tree SET size = size + 1",
        "UPDATE audit_tree SET size = size - 1",
        "UPDATE audit_tree SET frontier = x''",
        "DELETE FROM audit_tree",
        "UPDATE audit_tile SET root = x'00' WHERE number = 0",
        "UPDATE audit_tile SET root = (SELECT root FROM audit_tile WHERE number = 1) WHERE number = 0",
        "UPDATE audit_tile SET hashes = (SELECT hashes FROM audit_tile WHERE number = 1) WHERE number = 0",
        "UPDATE audit_tile SET hashes = x'' WHERE number = 1",
        "UPDATE audit_tile SET number = 2 WHERE number = 1",
        "UPDATE audit_tile SET level = 1 WHERE number = 1",
        "DELETE FROM audit_tile WHERE number = 0",
        "DELETE FROM audit_tile",
        "INSERT INTO audit_tile (level, number, root, hashes) VALUES (1, 0, x'00', x'00')",
    ],
)
def test_the_tree(insider: Insider, statement: str) -> None:
    literal = statement if insider.log.database.dialect == "sqlite" else _postgresql(statement)
    first = insider.found(lambda tx: tx.execute(literal) and None)[0]
    assert first.kind in ("tree", "tile", "missing"), first


def _postgresql(statement: str) -> str:
    return statement.replace("x'00'", "'\\x00'::bytea").replace("x''", "''::bytea")


@pytest.mark.parametrize("size", [200, 500, 700])
@pytest.mark.parametrize("column", ["size", "root", "time", "key_id", "signature"])
def test_a_changed_head(insider: Insider, size: int, column: str) -> None:
    changed = {"size": size + 1, "root": bytes(32), "time": 5, "key_id": "0" * 16, "signature": bytes(64)}[column]
    sql = f"UPDATE audit_head SET {column} = :value WHERE size = {size}"
    found = insider.found(lambda tx: tx.execute(sql, {"value": changed}) and None)
    kinds = {each.kind for each in found}
    assert "head" in kinds, found


@pytest.mark.parametrize("size", [200, 500, 700])
def test_a_head_is_taken_away(insider: Insider, size: int) -> None:
    found = insider.found(lambda tx: tx.execute(f"DELETE FROM audit_head WHERE size = {size}") and None)
    assert [(each.kind, each.position) for each in found] == [("outside", size)]


@pytest.mark.parametrize("size", [1, 350, 699])
def test_a_head_signed_by_another_key(insider: Insider, tmp_path: Path, size: int) -> None:
    stranger = HeadKeys(tmp_path)
    head = stranger.sign(size, bytes(32))

    def act(tx: Transaction) -> None:
        names = ("size", "root", "time", "key_id", "signature")
        tx.insert("audit_head", {name: getattr(head, name) for name in names})

    first = insider.found(act)[0]
    assert (first.kind, first.position) == ("head", size)


def test_the_log_is_rolled_back(insider: Insider) -> None:
    """The end of the log is cut off, tree and heads with it: only the file outside knows."""
    leaves = [row[0] for row in insider.log.rows("SELECT leaf FROM audit_event ORDER BY position")]
    for size in (512, 600, 650):
        frontier = Frontier()
        for leaf in leaves[:size]:
            frontier.append(leaf)

        def act(tx: Transaction, size: int = size, frontier: Frontier = frontier) -> None:
            tx.execute(f"DELETE FROM audit_event WHERE position >= {size}")
            tx.execute("DELETE FROM audit_head WHERE size = 700")
            tx.execute(f"UPDATE audit_tree SET size = {size}, frontier = :f", {"f": bytes(frontier)})

        found = insider.found(act)
        assert [(each.kind, each.position) for each in found] == [("outside", 700)]


def test_two_heads_of_one_size(insider: Insider) -> None:
    """TF-172: the log is signed twice at one size, by the key of the registry itself."""
    keys = HeadKeys(insider.log.folder / "keys", insider.log.clock)
    head = keys.sign(500, bytes(32))

    def act(tx: Transaction) -> None:
        tx.execute("CREATE TABLE audit_heads AS SELECT * FROM audit_head")
        tx.execute("DROP TABLE audit_head")
        tx.execute("ALTER TABLE audit_heads RENAME TO audit_head")
        tx.insert("audit_head", {name: getattr(head, name) for name in ("size", "root", "time", "key_id", "signature")})

    found = insider.found(act)
    assert ("head", 500) in [(each.kind, each.position) for each in found]
    assert any("two heads of size 500" in each.text for each in found)


# --- the file outside -------------------------------------------------------------------------------


def edits(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    for at in range(len(lines)):
        yield f"line {at} gone", lines[:at] + lines[at + 1 :]
        yield f"line {at} twice", lines[: at + 1] + lines[at:]
        yield f"line {at} garbage", [*lines[:at], "garbage", *lines[at + 1 :]]
        yield f"line {at} cut", [*lines[:at], lines[at][:40], *lines[at + 1 :]]
        for name, value in json.loads(lines[at]).items():
            other = value + 1 if isinstance(value, int) else ("0" if value[:1] != "0" else "1") + value[1:]
            changed = json.dumps(json.loads(lines[at]) | {name: other})
            yield f"line {at} {name}", [*lines[:at], changed, *lines[at + 1 :]]
    yield "two lines swapped", [lines[0], lines[2], lines[1], lines[3]]
    yield "empty", []


def test_the_file_outside_is_changed(built: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    # A head on its way from the commit to the file is waited for; nothing is on its way here.
    monkeypatch.setattr("dmp_fhir.audit.witness_check._WAITS_S", (0.0,))
    path = built.sealing.witness.path
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    try:
        for what, changed in edits(lines):
            path.write_text("".join(f"{line}\n" for line in changed))
            count("G", "alterations made")
            found = built.verify().findings
            count("G", "alterations detected", bool(found))
            assert found, what
            assert {each.kind for each in found} == {"outside"}, what
    finally:
        path.write_text("".join(f"{line}\n" for line in lines))
    assert built.verify().proven


def test_a_head_cut_by_a_power_failure_is_no_alteration(built: Log) -> None:
    path = built.sealing.witness.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    built.sealing.ship()
    assert len(path.read_bytes()) > len(whole)
    assert built.verify().findings == []
    assert Head.of_line(path.read_text().splitlines()[-1]).size == SIZE
    path.write_bytes(whole)
