"""Places in the log: given to what was there before, kept under races, refused anywhere else; rights on PostgreSQL."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dmp_fhir.audit import heads, log
from dmp_fhir.audit.grants import grants_for
from dmp_fhir.audit.heads import HeadKeys, Witness
from dmp_fhir.audit.placing import ENTRIES_PER_HEAD
from dmp_fhir.store import schema
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import ConstraintViolation, Database
from dmp_fhir.store.errors import MigrationRefused
from tests.audit.logs import Log, disarm
from tests.audit.test_events import CONTEXT, NOW, READ
from tests.store import rows
from tests.support.tally import count

PLACES = ("position", "sequence", "nonce", "digest", "marks", "leaf")


def test_a_log_of_before_gets_its_places_in_order_of_time(database_url: str, tmp_path: Path) -> None:
    schema.downgrade(database_url, "0006")
    database = Database.open(database_url)
    with database.transaction() as tx:
        for number in range(700):
            row = rows.trace(f"r{number % 7}", f"t{number:04}") | {
                "recorded": 10_000 - number,
                "secret": number % 2 > 0,
                "body": pack(b"{}"),
            }
            tx.insert("audit_event", {name: row[name] for name in row if name not in PLACES})
    database.close()
    schema.upgrade(database_url)
    migrated = Log.made(database_url, tmp_path, sealed_from=700)
    found = migrated.rows("SELECT id, position, sequence FROM audit_event ORDER BY position")
    assert [row[0] for row in found] == [f"t{number:04}" for number in reversed(range(700))]
    assert [row[1] for row in found] == list(range(700))
    migrated.seal()
    assert migrated.verify().findings == []
    migrated.grow(100)
    report = migrated.verify()
    assert (report.findings, report.entries, report.records) == ([], 800, 7)
    # The first 700 are of the first form, without words.
    disarm(migrated.database)
    for position, words in ((10, "[]"), (750, None)):
        change = "UPDATE audit_event SET words = :words WHERE position = :position"
        migrated.as_insider(lambda tx, to=(words, position): tx.execute(change, {"words": to[0], "position": to[1]}))
        first = migrated.verify().findings[0]
        assert (first.kind, first.position, first.column) == ("altered", position, "words")
        before = None if position == 10 else migrated.rows("SELECT words FROM audit_event WHERE position = 751")[0][0]
        migrated.as_insider(lambda tx, to=(before, position): tx.execute(change, {"words": to[0], "position": to[1]}))
    migrated.database.close()
    # What was hashed of the others cannot lose its column.
    with pytest.raises(MigrationRefused, match="backup"):
        schema.downgrade(database_url, "0010")


def test_writers_at_once_leave_no_gap(database_url: str, tmp_path: Path) -> None:
    made = Log.made(database_url, tmp_path)

    def write(who: int) -> None:
        for number in range(20):
            with made.database.transaction() as tx:
                log.append(tx, replace(READ, record_id=f"r{number % 3}"), CONTEXT, NOW + who)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    report = made.verify()
    assert (report.findings, report.entries, report.records) == ([], 100, 3)
    made.database.close()


def test_every_thousandth_entry_signs_a_head_in_its_transaction(database_url: str, tmp_path: Path) -> None:
    made = Log.made(database_url, tmp_path)
    made.grow(2 * ENTRIES_PER_HEAD + 100, at_once=70)
    sizes = [row[0] for row in made.rows("SELECT size FROM audit_head ORDER BY size")]
    assert [size // ENTRIES_PER_HEAD for size in sizes] == [1, 2]
    assert [json.loads(line)["size"] for line in made.sealing.witness.lines()[1:]] == sizes
    assert made.verify().findings == []

    def fails() -> None:
        with made.database.transaction() as tx:
            log.append_many(tx, [made.act(n) for n in range(ENTRIES_PER_HEAD)], CONTEXT, NOW)
            raise RuntimeError("the act fails")

    with pytest.raises(RuntimeError):
        fails()
    assert made.rows("SELECT COUNT(*) FROM audit_head") == [(2,)]
    made.database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_head SET time = 1",
        "DELETE FROM audit_head",
        "UPDATE audit_tile SET number = 5",
        "DELETE FROM audit_tile",
        "DELETE FROM audit_tree",
        "UPDATE audit_tree SET size = size - 1",
        "UPDATE audit_tree SET size = size",
        "UPDATE audit_event SET outcome = '0'",
        "UPDATE audit_event SET seal = NULL WHERE position = 3",
        "DELETE FROM audit_event",
        "DELETE FROM audit_event WHERE position = 255",
    ],
)
def test_the_database_refuses_to_change_the_tree(database_url: str, tmp_path: Path, statement: str) -> None:
    made = Log.made(database_url, tmp_path)
    made.grow(256, at_once=256)
    made.seal()
    with pytest.raises(ConstraintViolation), made.database.transaction() as tx:
        tx.execute(statement)
    count("G", "statements refused by triggers")
    assert made.verify().findings == []
    made.database.close()


def test_an_entry_is_inserted_at_the_end_or_not_at_all(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("audit_event", rows.placed("a", "t0"))
    for position in (0, 2, -1):
        with pytest.raises(ConstraintViolation), database.transaction() as tx:
            tx.insert("audit_event", rows.placed("a", "t1", position, 2))


# --- heads (TF-172, TF-174) ---------------------------------------------------------------------------


def test_a_head_is_signed_each_minute_by_one_worker(database_url: str, tmp_path: Path) -> None:
    made = Log.made(database_url, tmp_path)
    other = heads.attach(Database.open(database_url), tmp_path / "keys", tmp_path / "heads", made.clock)
    for _ in range(3):
        made.grow(10)
        assert made.sealing.seal_if_due(made.clock.now) or other.sealing.seal_if_due(made.clock.now)
        assert other.sealing.seal_if_due(made.clock.now) is None
        made.grow(10)
        assert made.sealing.seal_if_due(made.clock.now + 59_000) is None
        made.clock.now += heads.SEAL_EVERY_MS + 1
    made.seal()
    assert made.sealing.seal_if_due(made.clock.now + 10 * heads.SEAL_EVERY_MS) is None, "nothing new"
    assert made.rows("SELECT COUNT(*) FROM audit_head") == [(4,)]
    assert made.verify().findings == []
    other.close()
    made.database.close()


def test_clocks_jump_and_the_order_stays(database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Log.made(database_url, tmp_path)
    hour = 3_600_000
    for jump in (0, -hour, 24 * hour, -2_000, 2_000):
        made.clock.now += jump
        made.grow(30)
        made.sealing.seal_if_due(made.clock.now)
        count("G", "clock jumps")
    assert "ALERT: the clock is" in caplog.text
    report = made.verify()
    assert report.findings == []
    assert report.clock_steps >= 2
    found = made.rows("SELECT position, recorded FROM audit_event ORDER BY position")
    assert [row[0] for row in found] == list(range(150))
    made.database.close()


def test_heads_that_prove_nothing(database_url: str, tmp_path: Path) -> None:
    """Another key, a key after its end, older than the period; a key that was replaced still proves what it signed."""
    made = Log.made(database_url, tmp_path)
    made.grow(10)
    made.seal()
    keys = HeadKeys(tmp_path / "keys").public()
    stranger = HeadKeys(tmp_path / "other").public()
    assert {each.kind for each in made.verify(keys=stranger).findings} == {"head", "outside"}
    ended = {each: replace(key, until=made.clock.now - 5_000) for each, key in keys.items()}
    assert "head" in {each.kind for each in made.verify(keys=ended).findings}
    made.grow(10)
    (stale,) = made.verify(now_ms=made.clock.now + 3_600_000).findings
    assert (stale.kind, stale.position) == ("stale", 10)
    HeadKeys(tmp_path / "keys", made.clock).replace()
    again = Log(heads.attach(made.database, tmp_path / "keys", tmp_path / "heads", made.clock), tmp_path, made.clock)
    again.seal()
    assert [json.loads(line).get("kid") is not None for line in Witness(tmp_path / "heads").lines()] == [
        *(True, False),
        *(True, False),
    ]
    assert again.verify().findings == []
    made.database.close()


def test_a_folder_outside_that_is_away_stops_nothing(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Log.made(database_url, tmp_path)
    (tmp_path / "heads").write_text("a file where the folder should be")
    made.grow(10)
    made.seal()
    assert "ALERT: heads of the trace can't be written outside" in caplog.text
    (tmp_path / "heads").unlink()
    made.sealing.seal_if_due(made.clock.now)
    assert made.verify().findings == []
    made.database.close()


# --- rights on PostgreSQL (TF-170) ----------------------------------------------------------------------

REFUSED = (
    "UPDATE audit_event SET outcome = '0'",
    "DELETE FROM audit_event",
    "TRUNCATE audit_event",
    "DROP TABLE audit_event",
    "ALTER TABLE audit_event DISABLE TRIGGER ALL",
    "ALTER TABLE audit_event DROP COLUMN leaf",
    "DROP TRIGGER audit_event_append_only ON audit_event",
    "SET session_replication_role = replica",
    "UPDATE audit_head SET time = 1",
    "DELETE FROM audit_tile",
    "DELETE FROM audit_tree",
    "UPDATE audit_tree SET id = 2",
    "UPDATE resource_version SET version = 9",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
)


def test_the_account_of_the_server_can_only_add(
    postgres_server: object, postgres_template: str, tmp_path: Path
) -> None:
    url = postgres_server.create_database("granted", postgres_template)  # type: ignore[attr-defined]
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE dmp_server LOGIN")
        owner.execute(grants_for("dmp_server"))
    made = Log.made(url.replace("postgres@", "dmp_server@"), tmp_path)
    made.grow(600)
    made.seal()
    assert made.verify().findings == []
    made.database.close()
    for statement in REFUSED:
        with (
            psycopg.connect(url.replace("postgres@", "dmp_server@"), autocommit=True) as server,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            server.execute(statement)
        count("G", "statements refused to the server's account")
    postgres_server.drop_database("granted")  # type: ignore[attr-defined]
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as owner:  # type: ignore[attr-defined]
        owner.execute("DROP ROLE dmp_server")


@pytest.mark.parametrize("role", ["", "A", "a; DROP TABLE x", "a b", 'a"', "x" * 70])
def test_a_role_is_a_plain_name(role: str) -> None:
    with pytest.raises(ValueError, match="name of a role"):
        grants_for(role)
