"""The one door to the database: hand-written SQL with `:name` parameters in, plain tuples out, on SQLite and
PostgreSQL.

A snapshot is one consistent view, read only. A transaction commits when its block ends and rolls back when anything is
raised out of it. Each session has a connection to itself, of those that are free or a new one: a process has as many as
it had sessions at once.

Portable SQL: a flag is written `archived` or `NOT archived` (never `= 1`) and tested by truthiness when it comes out
(SQLite answers 0 and 1); a parameter that may be NULL and stands alone is cast (`CAST(:since AS BIGINT) IS NULL`).
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from dmp_fhir.store.errors import (
    ConstraintViolation,
    StoreDamaged,
    StoreUnavailable,
    TransactionConflict,
    UniqueViolation,
)
from dmp_fhir.store.postgresql import PostgresqlConnection
from dmp_fhir.store.sqlite import BUSY_SECONDS, SqliteConnection, path_of
from dmp_fhir.store.statements import insert_into
from dmp_fhir.store.turns import Turns

if TYPE_CHECKING:
    from dmp_fhir.store.key_ring import KeyRing

__all__ = [
    "ConstraintViolation",
    "Database",
    "Reader",
    "StoreDamaged",
    "StoreUnavailable",
    "Transaction",
    "TransactionConflict",
    "UniqueViolation",
]

T = TypeVar("T")
Params = Mapping[str, Any]
Row = tuple[Any, ...]
Connection = SqliteConnection | PostgresqlConnection

CONFLICT_RETRIES = 3
# Connections of a parent process: never used here and never closed, closing would end the parent's session.
_left_to_the_parent: list[Connection] = []
_open: weakref.WeakSet[Database] = weakref.WeakSet()


class Reader:
    """Reads inside one snapshot or one transaction."""

    __slots__ = ("_connection", "dialect", "keys")

    def __init__(self, connection: Connection, dialect: str, keys: KeyRing | None = None) -> None:
        self._connection = connection
        self.dialect = dialect
        self.keys = keys

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        return self._connection.rows(sql, params)

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        """The first row, or None. The statement is run to its end: ask for one row."""
        found = self._connection.rows(sql, params)
        return found[0] if found else None


class Transaction(Reader):
    """Reads and writes. After a statement was refused by the database, leave the block: PostgreSQL accepts nothing
    more. `sealing` is that of the database."""

    __slots__ = ("_committed", "_last", "sealing")

    def __init__(self, connection: Connection, dialect: str, keys: KeyRing | None = None, sealing: Any = None) -> None:
        super().__init__(connection, dialect, keys)
        self.sealing = sealing
        self._last: dict[Callable[[Transaction, list[Any]], None], list[Any]] = {}
        self._committed: list[Callable[[], None]] = []

    def at_the_end(self, work: Callable[[Transaction, list[Any]], None], items: Sequence[Any]) -> None:
        """Run `work` once, with all that was given for it, as the last thing before the commit: for what takes a lock
        that everybody needs."""
        self._last.setdefault(work, []).extend(items)

    def once_committed(self, act: Callable[[], None]) -> None:
        """Call `act` after the commit; it must not raise."""
        self._committed.append(act)

    def finish(self) -> None:
        for work, items in self._last.items():
            if items:
                work(self, items)

    def tell_committed(self) -> None:
        for act in self._committed:
            act()

    def execute(self, sql: str, params: Params | None = None) -> int:
        """Run a statement that answers no rows; how many rows it changed."""
        return self._connection.execute(sql, params)

    def insert(self, table: str, values: Params) -> None:
        """Insert one row; UniqueViolation when its key is taken."""
        self._connection.insert(table, values)

    def insert_many(self, table: str, rows: Sequence[Params]) -> None:
        """Insert rows that all have the same columns."""
        if rows:
            self._connection.insert_many(table, rows)

    def claim(self, table: str, values: Params) -> bool:
        """Insert the row unless its key is taken: True for the winner of a race. A loser waits for the winner's end,
        and reads its row in the same transaction (TF-186)."""
        return self._connection.execute(f"{insert_into(table, tuple(values))} ON CONFLICT DO NOTHING", values) == 1


class _Holder:
    """A connection, used by one session after the other."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.process = os.getpid()
        self.busy = False
        self.writing: threading.Lock | None = None

    @property
    def inherited(self) -> bool:
        """Whether a parent process opened it."""
        return self.process != os.getpid()

    def written(self) -> None:
        """Let the next writer of this process begin."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.release()

    def close(self) -> None:
        if self.inherited:
            _left_to_the_parent.append(self.connection)
        else:
            self.connection.close()

    __del__ = close


class Database:
    """`sqlite:////path/of/file` or `postgresql://user@host/name`, migrated before (store/schema.py).

    `keys` opens and seals what belongs to records; `store.opening.open_registry` gives a database with them. Without
    them nothing can be sealed, nor anything sealed be read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: KeyRing | None = None
        self.dialect = dialect_of(url)
        self.turns = Turns()
        # SQLite has one writer at a time: those of one process wait for each other here, which costs less than asking
        # the engine again and again.
        self._writer = threading.Lock() if self.dialect == "sqlite" else None
        # Signs the heads of the trace (audit/heads.py); None where no key is at hand.
        self.sealing: Any = None
        # Whether this thread is in a session; the connections that no session uses, the latest used first.
        self._local = threading.local()
        self._free: deque[_Holder] = deque()
        self._holders: weakref.WeakSet[_Holder] = weakref.WeakSet()

    @classmethod
    def open(cls, url: str) -> Database:
        """Open and try the database; StoreUnavailable when it does not answer, ValueError for an address of no known
        kind."""
        database = cls(url)
        database._free.append(database._holder())
        return database

    def snapshot(self) -> AbstractContextManager[Reader]:
        """One consistent view of the latest committed state, read only."""
        return _Snapshot(self)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """All of the block or nothing. May raise TransactionConflict: prefer `write`, which runs the work again."""
        return _Writing(self)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction and commit. Run again, at most three times, after a deadlock or a serialisation
        failure, and once after a UniqueViolation: the second run sees who won. So `work` has no effect but on its
        transaction."""
        conflicts = 0
        raced = False
        while True:
            try:
                with self.transaction() as tx:
                    return work(tx)
            except UniqueViolation:
                if raced:
                    raise
                raced = True
            except TransactionConflict:
                if conflicts == CONFLICT_RETRIES:
                    raise
                conflicts += 1
                time.sleep(0.01 * conflicts * (0.5 + random.random()))  # noqa: S311 - spreads retries, keeps no secret

    def close(self) -> None:
        """Close all connections of this process; a later use opens new ones."""
        if self.keys is not None:
            self.keys.close()
        for holder in list(self._holders):
            holder.close()
        self._holders.clear()
        self._free.clear()
        self._local = threading.local()

    def _begin(self, write: bool) -> _Holder:
        if getattr(self._local, "busy", False):
            raise RuntimeError("a session of this thread is still open: hand it down, do not open a second one")
        writer = self._writer if write else None
        if writer is not None and not self.turns.acquire(writer, BUSY_SECONDS):
            raise StoreUnavailable("another writer does not end")
        try:
            holder = self._begun(write)
        except BaseException:
            if writer is not None:
                writer.release()
            raise
        self._local.busy = holder.busy = True
        holder.writing = writer
        return holder

    def _end(self, holder: _Holder) -> None:
        self._local.busy = holder.busy = False
        holder.written()
        self._free.append(holder)

    def _begun(self, write: bool) -> _Holder:
        holder = self._holder()
        try:
            holder.connection.begin(write)
        except StoreUnavailable:
            if holder.connection.usable:
                self._free.append(holder)
                raise
            # The server went away since the last session; nothing was asked yet, so a new connection is tried.
            holder = self._holder(new=True)
            holder.connection.begin(write)
        return holder

    def _holder(self, *, new: bool = False) -> _Holder:
        """A connection for one session."""
        while self._free and not new:
            try:
                holder = self._free.pop()
            except IndexError:
                break  # another thread was faster
            if not holder.inherited and holder.connection.usable:
                return holder
        self._refuse_after_fork_in_session()
        holder = _Holder(self._connect())
        self._holders.add(holder)
        _open.add(self)
        return holder

    def _connect(self) -> Connection:
        if self.dialect == "sqlite":
            return SqliteConnection(path_of(self.url), self.turns)
        return PostgresqlConnection(self.url)

    def _refuse_after_fork_in_session(self) -> None:
        if self.dialect == "sqlite" and any(holder.inherited and holder.busy for holder in list(self._holders)):
            raise RuntimeError("this process was forked while a session was open: SQLite cannot be used in it")

    def _let_go(self) -> None:
        """Close the connections that no session uses; the next session opens its own again."""
        for holder in list(self._holders):
            if not (holder.busy or holder.inherited):
                holder.close()

    @property
    def has_connections(self) -> bool:
        """Whether this process is connected."""
        return any(not holder.inherited and holder.connection.usable for holder in list(self._holders))


class _Session:
    """A connection from BEGIN to COMMIT, or to ROLLBACK when anything is raised."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _begin(self, write: bool) -> Connection:
        self._holder = self._database._begin(write)
        self._connection = self._holder.connection
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        except BaseException:
            self._connection.rollback()
            raise
        else:
            if kind is not None:
                self._connection.rollback()
        finally:
            self._database._end(self._holder)

    def _commit(self) -> None:
        if self._connection.refused:
            raise RuntimeError("the database refused a statement: its exception has to leave the session")
        self._connection.commit()


class _Snapshot(_Session, AbstractContextManager[Reader]):
    def __enter__(self) -> Reader:
        return Reader(self._begin(write=False), self._database.dialect, self._database.keys)


class _Writing(_Session, AbstractContextManager[Transaction]):
    def __enter__(self) -> Transaction:
        database = self._database
        self._tx = Transaction(self._begin(write=True), database.dialect, database.keys, database.sealing)
        return self._tx

    def _commit(self) -> None:
        self._tx.finish()
        with self._database.turns.waiting():
            super()._commit()
            self._holder.written()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        super().__exit__(kind, fault, where)
        if kind is None:
            self._tx.tell_committed()


def dialect_of(url: str) -> str:
    """`sqlite` or `postgresql`; ValueError for any other address."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        path_of(url)
        return "sqlite"
    if scheme in ("postgresql", "postgres"):
        return "postgresql"
    raise ValueError("a database address begins with sqlite:/// or postgresql://")


def connected_here(url: str) -> bool:
    """Whether this process has a Database on this address with open connections."""
    return any(database.url == url and database.has_connections for database in list(_open))


def _before_fork() -> None:
    # The SQLite library of a child would believe it holds the locks of its parent: no file may be open across a fork.
    for database in list(_open):
        if database.dialect == "sqlite":
            database._let_go()


def _after_fork() -> None:
    # A writer of the parent writes there, not here.
    for database in list(_open):
        if database._writer is not None:
            database._writer = threading.Lock()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
