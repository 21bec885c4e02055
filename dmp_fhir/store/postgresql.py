"""PostgreSQL through psycopg 3: prepared statements, bounded waits, connections that are replaced when they break.

Booleans are `bool` and bytea is `bytes` in both directions. Every integer is sent as int8, so that a statement is
prepared once whatever the magnitude of its numbers.  https://www.psycopg.org/psycopg3/docs/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.types.numeric import Int8Dumper

from dmp_fhir.store.errors import (
    ConstraintViolation,
    StoreDamaged,
    StoreUnavailable,
    TransactionConflict,
    UniqueViolation,
)
from dmp_fhir.store.statements import for_psycopg, insert_arrays_into, insert_into

Params = Mapping[str, Any]

# A lock or a statement that does not end is given up before the client gives up (TF-216).
_SESSION = """
SET lock_timeout = '5s'; SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s';
SET timezone = 'UTC'; SET standard_conforming_strings = on;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_BEGIN_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_BEGIN_WRITE = b"BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"


def translated(error: psycopg.Error) -> Exception:
    """The store's own exception for a driver error; the error itself when it is a bug."""
    if isinstance(error, errors.UniqueViolation):
        return UniqueViolation(error.diag.table_name or "", error.diag.message_primary or "")
    if isinstance(error, psycopg.IntegrityError):
        return ConstraintViolation(error.diag.table_name or "", error.diag.message_primary or "")
    if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
        return TransactionConflict(type(error).__name__)
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return StoreDamaged(type(error).__name__)
    # A bare DatabaseError is a result without a code of the server: the connection broke meanwhile.
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or type(error) is psycopg.DatabaseError:
        return StoreUnavailable(type(error).__name__)
    return error


class PostgresqlConnection:
    """One connection of one thread: begins, ends, and runs statements for the sessions of store/database.py."""

    def __init__(self, url: str) -> None:
        try:
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=5,
                client_encoding="utf8",
                application_name="dmp-fhir",
                keepalives_idle=30,
                tcp_user_timeout=15000,
                prepare_threshold=2,
            )
            self._connection.execute(_SESSION)
        except psycopg.Error as error:
            raise translated(error) from error
        self.refused = False
        self._connection.prepared_max = 512
        self._connection.adapters.register_dumper(int, Int8Dumper)
        self._cursor = self._connection.cursor(binary=True)

    def begin(self, write: bool) -> None:
        self.refused = False
        self._command(_BEGIN_WRITE if write else _BEGIN_READ)

    def commit(self) -> None:
        self._command(b"COMMIT")

    def rollback(self) -> None:
        if self.usable:
            try:
                self._command(b"ROLLBACK")
            except StoreUnavailable:
                # The server has forgotten the transaction with the connection; `usable` tells the owner to replace it.
                self._connection.close()

    def _command(self, text: bytes) -> None:
        # libpq directly: this is done twice per request, and needs nothing of what a cursor costs.
        try:
            result = self._connection.pgconn.exec_(text)
            if result.status != ExecStatus.COMMAND_OK:
                raise errors.error_from_result(result)
        except psycopg.Error as error:
            raise translated(error) from error

    def rows(self, sql: str, params: Params | None = None) -> list[tuple[Any, ...]]:
        try:
            cursor = self._cursor.execute(for_psycopg(sql), params or {})
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise self._noted(error) from error

    def execute(self, sql: str, params: Params | None = None) -> int:
        try:
            return self._cursor.execute(for_psycopg(sql), params or {}).rowcount
        except psycopg.Error as error:
            raise self._noted(error) from error

    def insert(self, table: str, values: Params) -> None:
        self.execute(insert_into(table, tuple(values)), values)

    def insert_many(self, table: str, rows: Sequence[Params]) -> None:
        columns = tuple(rows[0])
        if len(rows) == 1:
            self.insert(table, rows[0])
            return
        try:
            # One statement instead of one per row: half the time for the values that searches look for.
            arrays = {column: [row[column] for row in rows] for column in columns}
            self._cursor.execute(insert_arrays_into(table, columns), arrays)
        except psycopg.Error as error:
            raise self._noted(error) from error

    def _noted(self, error: psycopg.Error) -> Exception:
        self.refused = True
        return translated(error)

    @property
    def usable(self) -> bool:
        """Whether the next session may use this connection; if not it is replaced."""
        return not self._connection.closed

    def close(self) -> None:
        self._connection.close()
