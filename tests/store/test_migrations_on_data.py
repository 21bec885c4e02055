"""Every released schema to the newest and back, on data: nothing lost or changed (TF-237), whatever interrupts it
(TF-238), and what a way back loses is told before (TF-239)."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import event
from sqlalchemy.engine import Engine

from dmp_fhir.app import build_services
from dmp_fhir.cli import main
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store import schema
from dmp_fhir.store.database import dialect_of
from dmp_fhir.store.errors import MigrationRefused
from dmp_fhir.store.sqlite import path_of
from tests.store.bulk import checksums, columns_of, common, put
from tests.support import tally
from tests.writing.campaigns import Figures, seed_of

REVISIONS = sorted(path.name[:4] for path in (schema.MIGRATIONS / "versions").glob("0*.py"))


def compared(url: str, migrate: Callable[[], object], newer: dict[str, list[str]]) -> list[str]:
    """Tables that are not the same after a migration to the schema with the columns `newer`."""
    shared = common(columns_of(url), newer)
    before = checksums(url, shared)
    migrate()
    after = checksums(url, shared)
    return [table for table in shared if before[table] != after[table]]


@pytest.fixture
def newer(request: pytest.FixtureRequest, empty_url: str, tmp_path: Path) -> Callable[[str], dict[str, list[str]]]:
    """The columns of a revision."""

    def columns(revision: str) -> dict[str, list[str]]:
        url = f"sqlite:///{tmp_path}/columns.sqlite"
        schema.upgrade(url, revision)
        return columns_of(url)

    return columns


# --- killed -----------------------------------------------------------------------------------------


def statements_of(url: str, revision: str) -> int:
    """How many statements a migration runs; it is rolled back."""
    ran = [0]

    def count(*_: Any) -> None:
        ran[0] += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        engine = schema.migration_engine(url)
        with engine.connect() as connection, connection.begin() as transaction:
            from alembic import command

            command.upgrade(schema._config(connection), revision)
            transaction.rollback()
        engine.dispose()
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    return ran[0]


def _forked(work: Callable[[], object]) -> int:
    """How a child process that does this ends (negative: by this signal)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(url: str, revision: str, at: int) -> int:
    """Migrate in a process that is killed as it begins its statement number `at`."""
    ran = 0

    def die(*_: Any) -> None:
        nonlocal ran
        ran += 1
        if ran == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        event.listen(Engine, "before_cursor_execute", die)
        schema.upgrade(url, revision)

    return _forked(work)


def through_every_step(url: str, newer: Callable[[str], dict[str, list[str]]], kills: int, draw: random.Random) -> int:
    """Up one revision at a time, documents written at each; each step is killed first. How many kills."""
    done, previous = 0, None
    for revision in REVISIONS:
        columns = newer(revision)
        if previous is not None:
            there = columns_of(url)
            content, steps = checksums(url, there), statements_of(url, revision)
            for at in draw.sample(range(1, steps + 1), min(kills, steps)):
                assert killed(url, revision, at) == -signal.SIGKILL
                assert schema.current(url) == previous, "neither old nor new"
                assert checksums(url, there) == content
                done += 1
            with pytest.raises(BadSetting, match="dmp-fhir init"):  # no service in between
                build_services(Settings(database_url=url))
        assert compared(url, lambda revision=revision: schema.upgrade(url, revision), columns) == []
        assert schema.current(url) == revision
        put(url, 60, revision)
        previous = revision
    return done


def test_tf_238_every_step_is_killed_and_run_again(empty_url: str, newer: Any) -> None:
    kills = through_every_step(empty_url, newer, 1, random.Random(20261122))
    tally.count("K", "migrations killed", kills)
    tally.count("K", "migrations that left neither old nor new", 0)
    assert kills == len(REVISIONS) - 1
    content = checksums(empty_url, columns_of(empty_url))
    schema.upgrade(empty_url)
    assert checksums(empty_url, columns_of(empty_url)) == content, "a second run does nothing"


@pytest.mark.campaign
def test_tf_238_every_step_five_times(request: pytest.FixtureRequest, empty_url: str, newer: Any) -> None:
    seed = seed_of(request)
    kills = through_every_step(empty_url, newer, 5, random.Random(seed))
    counted = f"{kills} kills, 5 in each of {len(REVISIONS) - 1} steps; each left the version before, whole"
    Figures().add(f"migrations killed (TF-238), {dialect_of(empty_url)}", counted, seed=seed)


# --- no room, no lock -------------------------------------------------------------------------------


def test_tf_238_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite: no page more than there are, in each step that needs one."""
    url, refused = f"sqlite:///{tmp_path}/registry.sqlite", 0
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    schema.upgrade(url, REVISIONS[0])
    put(url, 200, "full")

    def full(connection: Any, _: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    for previous, revision in pairwise(REVISIONS):
        content = checksums(url, columns_of(url))
        event.listen(Engine, "connect", full)
        try:
            said = CliRunner().invoke(main, ["migrate", revision])
        finally:
            event.remove(Engine, "connect", full)
        if schema.current(url) == previous:
            refused += 1
            assert said.exit_code == 1
            assert "run it again" in said.output
            assert checksums(url, columns_of(url)) == content
        schema.upgrade(url, revision)
    tally.count("K", "migrations without room or lock", refused)
    assert refused >= 4


def test_tf_238_somebody_holds_a_lock(empty_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    monkeypatch.setattr(schema, "LOCK_SECONDS", 0.1)
    schema.upgrade(empty_url, REVISIONS[-2])
    with held(empty_url):
        said = CliRunner().invoke(main, ["migrate"])
    assert said.exit_code == 1
    assert "somebody else holds it" in said.output
    assert schema.current(empty_url) == REVISIONS[-2]
    tally.count("K", "migrations without room or lock")
    schema.upgrade(empty_url)
    assert schema.is_current(empty_url)


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(url: str) -> Iterator[None]:
    """Somebody has not finished; on SQLite another process, as the locks of one process are not for itself."""
    if dialect_of(url) == "postgresql":
        with closing(psycopg.connect(url)) as reader:
            reader.execute("SELECT 1 FROM audit_event")
            yield
        return
    command = [sys.executable, "-c", HOLDER, path_of(url)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.kill()


# --- the way back -----------------------------------------------------------------------------------


def ways_back(url: str, newer: Callable[[str], dict[str, list[str]]], targets: list[str]) -> tuple[int, int]:
    """Up with writes at each revision, then down from one target to the next; how many ways, and losses told."""
    columns = {}
    for revision in REVISIONS:
        columns[revision] = newer(revision)
        schema.upgrade(url, revision)
        put(url, 60, revision)
    losses = 0
    for revision in targets:
        there = columns_of(url)
        rows = {table: found[0] for table, found in checksums(url, there).items()}
        said = CliRunner().invoke(main, ["migrate", revision, "--down"])
        told = [line.removeprefix("lost: ") for line in said.output.splitlines() if line.startswith("lost: ")]
        assert said.exit_code == bool(told)
        if told:
            assert schema.current(url) != revision
            yes = ["migrate", revision, "--down", "--yes"]
            assert compared(url, lambda yes=yes: CliRunner().invoke(main, yes), columns[revision]) == []
        assert schema.current(url) == revision
        left = columns_of(url)
        for table in there:
            if table not in left:
                assert (f"table {table}: {rows[table]} rows" in told) == (rows[table] > 0)
            for name in set(there[table]) - set(left.get(table, there[table])):
                values = [each for each in told if each.startswith(f"column {name} of {table}: ")]
                assert values or rows[table] == 0 or (table, name) in MAY_BE_EMPTY
        losses += len(told)
    tally.count("K", "ways back tried", len(targets))
    tally.count("K", "losses told before", losses)
    return len(targets), losses


# Columns without a value in the rows of tests/store/bulk.py.
MAY_BE_EMPTY = {("audit_event", "words"), ("audit_event", "seal"), ("ins", "sealed")}


@pytest.fixture
def environment(empty_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("DATABASE_URL", empty_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    return empty_url


def test_tf_239_what_a_way_back_loses_is_told_before(environment: str, newer: Any) -> None:
    ways, losses = ways_back(environment, newer, ["0009", "0006", "0001"])
    assert losses > ways


@pytest.mark.campaign
def test_tf_239_each_way_back(environment: str, newer: Any) -> None:
    ways, losses = ways_back(environment, newer, REVISIONS[-2::-1])
    counted = f"{ways} ways back, one revision each, with writes at each; {losses} losses told before, all others kept"
    Figures().add(f"way back (TF-239), {dialect_of(environment)}", counted, seed="none")


def test_tf_239_no_way_back_is_said_in_a_sentence(
    seeded_url: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", seeded_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(data_folder))
    for arguments in (
        ["0011", "--down"],
        ["0010", "--down"],
        ["base", "--down", "--yes"],
        ["9999"],
        ["0099", "--down", "--yes"],
    ):
        said = CliRunner().invoke(main, ["migrate", *arguments])
        assert said.exit_code == 1
        assert "backup" in said.output or "none to go to" in said.output
        assert schema.is_current(seeded_url)


def test_a_database_of_a_later_program(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    with closing(_writer(database_url)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for command in ("init", "migrate"):
        said = CliRunner().invoke(main, [command])
        assert said.exit_code == 1
        assert "use the program that made it" in said.output
    with pytest.raises(MigrationRefused):
        schema.downgrade(database_url, "base")


def _writer(url: str) -> Any:
    return sqlite3.connect(path_of(url)) if dialect_of(url) == "sqlite" else psycopg.connect(url)


# --- a full base ------------------------------------------------------------------------------------


@pytest.mark.campaign
def test_tf_237_from_every_released_schema(
    request: pytest.FixtureRequest, tmp_path: Path, empty_url: str, newer: Any
) -> None:
    documents = int(os.environ.get("DOCUMENTS", 100_000))
    newest, times, rows_of_all = newer(REVISIONS[-1]), [], 0
    for revision in REVISIONS:
        if schema.current(empty_url) is not None:
            _emptied(empty_url)
        # Entries of the trace are written as rows before they are a tree (0007), and get their places on the way.
        if revision >= "0007":
            schema.upgrade(empty_url, "0006")
            rows_of_all += put(empty_url, documents // 2, "before")
            schema.upgrade(empty_url, revision)
        else:
            schema.upgrade(empty_url, revision)
        rows_of_all += put(empty_url, documents - (documents // 2 if revision >= "0007" else 0), "d")
        took = [0.0]

        def migrate(took: list[float] = took) -> None:
            begun = time.monotonic()
            schema.upgrade(empty_url)
            took[0] = time.monotonic() - begun

        assert compared(empty_url, migrate, newest) == []
        columns = columns_of(empty_url)
        content, begun = checksums(empty_url, columns), time.monotonic()
        schema.upgrade(empty_url)
        again = time.monotonic() - begun
        assert checksums(empty_url, columns) == content
        times.append(f"{revision} {took[0]:.0f} s")
        print(f"{dialect_of(empty_url)} from {revision}: {took[0]:.1f} s, again {again:.2f} s", flush=True)
    counted = (
        f"{len(REVISIONS)} schemas, {documents:,} documents each ({rows_of_all:,} rows in all), differences 0; to the"
        f" newest from {', '.join(times)}; a second run changed nothing"
    )
    Figures().add(f"migration of a full base (TF-237), {dialect_of(empty_url)}", counted, seed="none")


def _emptied(url: str) -> None:
    if dialect_of(url) == "sqlite":
        for path in Path(path_of(url)).parent.glob(Path(path_of(url)).name + "*"):
            path.unlink()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
