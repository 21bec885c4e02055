"""Every row of every table, out of either database and into either.

A row is a line: a JSON array in the order of the table's columns, bytes as base64, flags as true and false. Rows come
in the order of the primary key or of their position, which is the same on both databases (tables.py), so two registries
with the same content have the same lines, and the digests of their tables are equal.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Boolean, Integer, LargeBinary, String, Table

from dmp_fhir.store.check import in_batches
from dmp_fhir.store.database import Reader, Transaction
from dmp_fhir.store.tables import metadata

_BATCH = 500
# Tables that grow at their end only (migration 0007) go out and in in that order.
_ORDERS = {"audit_event": ("position",)}
_ARRAYS = {"text": "text[]", "number": "bigint[]", "flag": "boolean[]", "bytes": "bytea[]"}
# Tables that a backup leaves out; each says why.
LEFT_OUT: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as a backup describes it: its columns with their kinds, key first."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """How many rows a table has, and the SHA-256 of its lines in hexadecimal."""

    rows: int
    sha256: str


def shapes() -> list[Shape]:
    """The tables of this program that a backup holds."""
    return [_shape(table) for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def _shape(table: Table) -> Shape:
    # SQLAlchemy's names are a kind of str of its own.
    key = _ORDERS.get(table.name) or tuple(str(column.name) for column in table.primary_key.columns)
    if not key:
        raise ValueError(f"{table.name} has no key: its rows have no order")
    columns = key + tuple(str(column.name) for column in table.columns if column.name not in key)
    return Shape(str(table.name), key, columns, tuple(_kind(table.c[name].type) for name in columns))


def _kind(kind: Any) -> str:
    known = ((Boolean, "flag"), (Integer, "number"), (LargeBinary, "bytes"), (String, "text"))
    return next(name for each, name in known if isinstance(kind, each))


def lines_of(reader: Reader, shape: Shape) -> Iterator[bytes]:
    """The rows of a table as lines."""
    flags = [n for n, kind in enumerate(shape.kinds) if kind == "flag"]
    binary = [n for n, kind in enumerate(shape.kinds) if kind == "bytes"]
    for row in in_batches(reader, shape.name, shape.key, shape.columns[len(shape.key) :]):
        values = list(row)
        for n in flags:
            values[n] = None if values[n] is None else bool(values[n])
        for n in binary:
            values[n] = None if values[n] is None else b64encode(values[n]).decode("ascii")
        yield orjson.dumps(values) + b"\n"


def digest_of(reader: Reader, shape: Shape) -> Digest:
    digest, count = hashlib.sha256(), 0
    for line in lines_of(reader, shape):
        digest.update(line)
        count += 1
    return Digest(count, digest.hexdigest())


def without_limit(reader: Reader) -> None:
    """Let this session take hours: PostgreSQL gives up long statements and idle sessions (store/postgresql.py)."""
    if reader.dialect == "postgresql":
        reader.rows("SET LOCAL statement_timeout = 0")
        reader.rows("SET LOCAL idle_in_transaction_session_timeout = 0")


def is_empty(reader: Reader) -> bool:
    """Whether nobody worked in this registry yet: no record, no version, no trace."""
    looks = ("record WHERE status <> 'directory'", "resource_version", "audit_event")
    return not any(reader.row(f"SELECT 1 FROM {look} LIMIT 1") for look in looks)


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much a registry holds."""

    records: int
    documents: int
    entries: int

    def __str__(self) -> str:
        return f"{self.records} records, {self.documents} documents, {self.entries} entries of the trace"


def holdings(reader: Reader, since_ms: int) -> Holdings:
    """What was opened, written or changed, and traced after an instant."""
    looks = (
        "record WHERE status <> 'directory' AND created > :since",
        "document WHERE last_updated > :since",
        "audit_event WHERE recorded > :since",
    )
    return Holdings(*(reader.rows(f"SELECT COUNT(*) FROM {look}", {"since": since_ms})[0][0] for look in looks))


def empty(tx: Transaction, shape: Shape) -> None:
    """Remove the rows that a migration put into a table: the backup brings its own."""
    if tx.row(f'SELECT 1 FROM "{shape.name}" LIMIT 1'):
        tx.execute(f'DELETE FROM "{shape.name}"')


def insert_lines(tx: Transaction, shape: Shape, lines: Iterable[bytes]) -> None:
    """Put rows into a table. The shape is the backup's, which may be of an earlier version of the program."""
    batch: list[list[Any]] = []
    for line in lines:
        batch.append(_values(shape, line))
        if len(batch) == _BATCH:
            _insert(tx, shape, batch)
            batch = []
    if batch:
        _insert(tx, shape, batch)


def _values(shape: Shape, line: bytes) -> list[Any]:
    values: list[Any] = orjson.loads(line)
    for n, kind in enumerate(shape.kinds):
        if kind == "bytes" and values[n] is not None:
            values[n] = b64decode(values[n], validate=True)
    return values


def _insert(tx: Transaction, shape: Shape, rows: list[list[Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in shape.columns)
    if tx.dialect == "postgresql":
        arrays = ", ".join(f":v{n}::{_ARRAYS[kind]}" for n, kind in enumerate(shape.kinds))
        columns = {f"v{n}": [row[n] for row in rows] for n in range(len(shape.columns))}
        tx.execute(f'INSERT INTO "{shape.name}" ({names}) SELECT * FROM unnest({arrays})', columns)
        return
    values = ", ".join(f":v{n}" for n in range(len(shape.columns)))
    statement = f'INSERT INTO "{shape.name}" ({names}) VALUES ({values})'
    for row in rows:
        tx.execute(statement, {f"v{n}": value for n, value in enumerate(row)})
