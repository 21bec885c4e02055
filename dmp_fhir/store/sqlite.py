"""SQLite through apsw, which brings its own recent engine (TF-210) and is the fastest way from Python to it.

Every connection loses nothing on a crash (WAL, synchronous=FULL) and trusts nothing in the file (trusted_schema off,
defensive). Booleans come out as 0 and 1, BLOBs as bytes.
https://www.sqlite.org/pragma.html https://rogerbinns.github.io/apsw/
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import apsw

from dmp_fhir.store.errors import ConstraintViolation, StoreDamaged, StoreUnavailable, UniqueViolation
from dmp_fhir.store.statements import insert_into
from dmp_fhir.store.turns import Turns

Params = Mapping[str, Any]

# Before it, a checkpoint and a writer at the same moment could corrupt a database in WAL mode.
OLDEST_SAFE_ENGINE = (3, 51, 3)
BUSY_SECONDS = 5.0
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "recursive_triggers = ON",  # REPLACE must not go round the triggers that forbid deletion
    "cell_size_check = ON",
    "temp_store = MEMORY",
    "cache_size = -8192",
    "mmap_size = 268435456",  # halves the cost of a read by id in a database larger than the cache
    "wal_autocheckpoint = 4000",  # pages: fewer commits wait for a checkpoint (95th percentile of a publish halved)
    "journal_size_limit = 67108864",
)
_UNIQUE = {apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID}
_UNAVAILABLE = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.InterruptError,
    apsw.ProtocolError,
)


def path_of(url: str) -> str:
    """The file of `sqlite:///relative` or `sqlite:////absolute`."""
    path = unquote(url.removeprefix("sqlite:///").partition("?")[0])
    if not url.startswith("sqlite:///") or path in ("", ":memory:"):
        raise ValueError("a SQLite address is sqlite:/// followed by the path of a file")
    return path


def translated(error: apsw.Error) -> Exception:
    """The store's own exception for an engine error; the error itself when it is a bug."""
    if isinstance(error, apsw.ConstraintError):
        message = str(error)
        if error.extendedresult in _UNIQUE:  # type: ignore[attr-defined]
            return UniqueViolation(message.rpartition(": ")[2].partition(".")[0], message)
        return ConstraintViolation("", message)
    if isinstance(error, _UNAVAILABLE):
        return StoreUnavailable(type(error).__name__)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreDamaged(type(error).__name__)
    return error


class SqliteConnection:
    """One connection of one thread: begins, ends, and runs statements for the sessions of store/database.py."""

    def __init__(self, path: str, turns: Turns) -> None:
        if tuple(map(int, apsw.sqlite_lib_version().split("."))) < OLDEST_SAFE_ENGINE:
            raise RuntimeError("this SQLite can damage a database in WAL mode: install apsw 3.54 or later from PyPI")
        self._turns = turns
        self._ended = False
        self.refused = False
        try:
            self._connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=512)
            self._connection.set_busy_handler(self._wait)
            self._connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            # Without it a prepared statement is planned again at each run with other values: 8 times the cost of the
            # standing query.
            self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
            self._give_up = 0.0
            for pragma in _PRAGMAS:
                self._set(pragma)
        except apsw.Error as error:
            raise translated(error) from error
        self._cursor = self._connection.cursor()

    def _set(self, pragma: str) -> None:
        # The engine asks no busy handler when it changes a file to WAL: a new one that another program migrates.
        attempts = 0
        while True:
            try:
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
                return
            except apsw.BusyError:
                if not self._wait(attempts):
                    raise
                attempts += 1

    def _wait(self, attempts: int) -> bool:
        # The engine's own handler sleeps up to 100 ms; waiters here come back after about the length of a transaction.
        now = time.monotonic()
        if attempts == 0:
            self._give_up = now + BUSY_SECONDS
        elif now > self._give_up:
            return False
        with self._turns.waiting():
            time.sleep(min(0.0002 * (attempts + 1), 0.002) * (0.5 + random.random()))  # noqa: S311 - spreads retries, keeps no secret
        return True

    def begin(self, write: bool) -> None:
        self.refused = False
        # IMMEDIATE: a transaction that reads first and writes later would fail at once when another writer came
        # between.
        self.execute("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")

    def commit(self) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
        except apsw.Error:
            self._ended = True

    def rows(self, sql: str, params: Params | None = None) -> list[tuple[Any, ...]]:
        try:
            return self._cursor.execute(sql, params).fetchall()
        except apsw.Error as error:
            raise self._noted(error) from error

    def execute(self, sql: str, params: Params | None = None) -> int:
        self.rows(sql, params)
        return self._connection.changes()

    def insert(self, table: str, values: Params) -> None:
        self.rows(insert_into(table, tuple(values)), values)

    def insert_many(self, table: str, rows: Sequence[Params]) -> None:
        try:
            self._cursor.executemany(insert_into(table, tuple(rows[0])), rows)
        except apsw.Error as error:
            raise self._noted(error) from error

    def _noted(self, error: apsw.Error) -> Exception:
        self.refused = True
        # After a read, write or sync that failed, what this connection believes about the file may be false (TF-204).
        self._ended = self._ended or isinstance(error, apsw.IOError)
        return translated(error)

    @property
    def usable(self) -> bool:
        """Whether the next session may use this connection; if not it is replaced."""
        return not self._ended

    def close(self) -> None:
        self._ended = True
        self._connection.close()
