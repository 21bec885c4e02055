"""The schema's versions: up, down, which one is here.  https://alembic.sqlalchemy.org/

A migration runs in one transaction on both databases, so that a kill in its middle leaves the version before
(TF-219). It runs with SQLAlchemy, on SQLite with Python's own sqlite3: two SQLite libraries on one file within one
process would break each other's POSIX locks, so a process that is connected through apsw must close before it migrates.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from dmp_fhir.store.database import Database, StoreUnavailable, connected_here, dialect_of
from dmp_fhir.store.errors import MigrationRefused
from dmp_fhir.store.sqlite import path_of
from dmp_fhir.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
# All processes that migrate one PostgreSQL database take this advisory lock first.
MIGRATION_LOCK = 0x646D70
# How long a migration waits for a table that somebody else has; then it is taken back, and said.
LOCK_SECONDS = 30
# sqlite3 has one exception for a database that cannot be used now and for a statement that is wrong.
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}
# Alembic keeps what it works on in module variables.
_one_at_a_time = threading.Lock()


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to `revision`; creates the SQLite file. A database that is there already is left as it is."""
    from alembic import command

    target = _known(url, revision, "head")
    _migrate(url, lambda config: command.upgrade(config, target))


def downgrade(url: str, revision: str) -> None:
    """Take the database back to `revision` (`-1`: one step, `base`: empty)."""
    from alembic import command

    target = _known(url, revision, "base", "-1")
    _migrate(url, lambda config: command.downgrade(config, target))


@dataclass(frozen=True, slots=True)
class Loss:
    """What a way back drops: a table, or a column of it, and how many rows hold something there."""

    table: str
    column: str | None
    rows: int

    def __str__(self) -> str:
        if self.column is None:
            return f"table {self.table}: {self.rows} rows"
        return f"column {self.column} of {self.table}: {self.rows} values"


def losses(url: str, revision: str) -> list[Loss]:
    """What `downgrade` to `revision` would lose (TF-239). Found by going back in a transaction that is then rolled
    back: it takes as long. MigrationRefused when there is no way back."""
    from alembic import command

    target = _known(url, revision, "base", "-1")
    found: list[Loss] = []

    def look(config: Config) -> None:
        connection: Connection = config.attributes["connection"]
        with connection.begin() as transaction:
            before = _columns(connection)
            command.downgrade(config, target)
            after = _columns(connection)
            transaction.rollback()
        with connection.begin():
            for table, columns in before.items():
                if table not in after:
                    found.append(Loss(table, None, _count(connection, table, "TRUE")))
                    continue
                gone = sorted(columns - after[table])
                found.extend(Loss(table, name, _count(connection, table, f'"{name}" IS NOT NULL')) for name in gone)

    _migrate(url, look)
    return [each for each in found if each.rows]


def drop(url: str) -> None:
    """Remove the tables of a registry and all that is in them, in one transaction, whatever version made them. There
    need be no way back for that."""
    ours = (*metadata.tables, "alembic_version")
    with _migrating(url) as connection, connection.begin():
        there = inspect(connection).get_table_names()
        for table in (name for name in ours if name in there):
            connection.exec_driver_sql(f'DROP TABLE "{table}"')
        if dialect_of(url) == "postgresql":
            found = connection.exec_driver_sql(
                "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace"
                " AND p.prorettype = 'trigger'::regtype AND p.proname LIKE 'refuse%%'"
            )
            for (function,) in found.fetchall():
                connection.exec_driver_sql(f"DROP FUNCTION {function}")


def _columns(connection: Connection) -> dict[str, set[str]]:
    inspector = inspect(connection)
    tables = sorted(set(inspector.get_table_names()) - {"alembic_version"})
    return {table: {column["name"] for column in inspector.get_columns(table)} for table in tables}


def _count(connection: Connection, table: str, condition: str) -> int:
    return int(connection.exec_driver_sql(f'SELECT COUNT(*) FROM "{table}" WHERE {condition}').scalar_one())


def _known(url: str, revision: str, *words: str) -> str:
    """A revision that this program can go to, from where the database is; `words` are not numbers and mean one."""
    here, numbers = current(url), sorted(path.name.partition("_")[0] for path in _files())
    if here is not None and here not in numbers:
        raise MigrationRefused(
            f"the schema is at version {here}, and this program knows {numbers[-1]} as the newest: use the program that"
            " made it, or go back to a backup (dmp-fhir restore)"
        )
    if revision not in (*words, *numbers) or (here is None and revision == "-1"):
        raise MigrationRefused(
            f"version {revision} is none to go to: {numbers[0]} to {numbers[-1]}, or {' or '.join(words)}"
        )
    return revision


def _files() -> list[Path]:
    return list((MIGRATIONS / "versions").glob("[0-9]*.py"))


def current(url: str) -> str | None:
    """The revision of the database, None when it was never migrated. Read through the store's own driver."""
    if dialect_of(url) == "sqlite" and not Path(path_of(url)).exists():
        return None
    table = {
        "sqlite": "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'alembic_version'",
        "postgresql": "SELECT 1 FROM pg_catalog.pg_tables WHERE tablename = 'alembic_version'",
    }
    database = Database(url)
    try:
        with database.snapshot() as reader:
            if reader.row(table[database.dialect]) is None:
                return None
            found = reader.row("SELECT version_num FROM alembic_version")
            return found[0] if found else None
    finally:
        database.close()


def head() -> str:
    """The revision this program works with. Migrations are one line and numbered, so a server that starts needs no
    Alembic to tell (a tenth of its start)."""
    return max(path.name.partition("_")[0] for path in _files())


def is_current(url: str) -> bool:
    """Whether the database has the schema this program works with."""
    return current(url) == head()


def forget(url: str, tables: Sequence[str]) -> None:
    """Write tables anew, so that the files of the database hold no more what was deleted or replaced in them. SQLite
    does it for all tables. The caller has closed the database."""
    if dialect_of(url) == "sqlite":
        with closing(sqlite3.connect(path_of(url), timeout=30, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        for table in tables:
            connection.execute(f"VACUUM FULL {table}")


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(url: str, act: Callable[[Config], None]) -> None:
    with _migrating(url) as connection:
        act(_config(connection))


@contextmanager
def _migrating(url: str) -> Iterator[Connection]:
    """A connection for changes of the schema, one at a time."""
    if dialect_of(url) == "sqlite" and connected_here(url):
        raise RuntimeError("close the database before migrating it: this process is connected to it")
    engine = migration_engine(url)
    try:
        with _one_at_a_time, engine.connect() as connection:
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode & 0xFF not in _UNAVAILABLE:
            raise
        raise StoreUnavailable(type(error.orig).__name__) from error
    finally:
        engine.dispose()


def migration_engine(url: str) -> Engine:
    """A SQLAlchemy engine for migrations and schema comparison only. Dispose of it before the store opens the
    database."""
    if dialect_of(url) == "sqlite":
        path = path_of(url)
        engine = create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None),
            poolclass=NullPool,
        )
        # sqlite3 would not put DDL into a transaction by itself.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url, connect_timeout=5), poolclass=NullPool
    )
    event.listen(engine, "begin", _begin_on_postgresql)
    return engine


def _begin_on_postgresql(connection: Connection) -> None:
    # Another program that migrates may take its time; somebody who reads or writes meanwhile was not to be there.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{int(LOCK_SECONDS * 1000)}ms'")


def sqlalchemy_url(url: str) -> str:
    """The address of the database as SQLAlchemy writes it."""
    if dialect_of(url) == "sqlite":
        return f"sqlite:///{path_of(url)}"
    return "postgresql+psycopg://" + url.partition("://")[2]
