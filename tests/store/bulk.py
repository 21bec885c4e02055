"""Thousands of documents as rows, for a database of any version of the schema: what has no column there is left out."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg

from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import dialect_of
from dmp_fhir.store.sqlite import path_of
from tests.store import rows

PER_RECORD = 50
_COLUMNS = {
    "sqlite": "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'",
    "postgresql": "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    " ORDER BY table_name, ordinal_position",
}
Row = dict[str, Any]


def put(url: str, documents: int, prefix: str) -> int:
    """Write documents with what goes with them, by the driver; how many rows. `prefix` tells one call from another.
    Entries of the trace are written before it is a tree only: since then they have one place each."""
    columns, count = columns_of(url), 0
    batches: dict[str, list[Row]] = {}
    with closing(_Writer(url)) as writer:

        def send(table: str) -> None:
            nonlocal count
            names = [name for name in batches[table][0] if name in columns[table]]
            writer.insert(table, names, [[row[name] for name in names] for row in batches[table]])
            count += len(batches.pop(table))

        for table, row in _rows(documents, prefix):
            if table not in columns or (table == "audit_event" and "position" in columns[table]):
                continue
            batches.setdefault(table, []).append(row)
            if len(batches[table]) == 2_000:
                send(table)
        for table in list(batches):
            send(table)
        writer.commit()
    return count


def columns_of(url: str) -> dict[str, list[str]]:
    """The tables of a database with their columns."""
    with closing(sqlite3.connect(path_of(url)) if dialect_of(url) == "sqlite" else psycopg.connect(url)) as connection:
        found: dict[str, list[str]] = {}
        for table, column in connection.execute(_COLUMNS[dialect_of(url)]).fetchall():
            found.setdefault(table, []).append(column)
    found.pop("alembic_version", None)
    return found


class _Writer:
    """One transaction of the bare driver."""

    def __init__(self, url: str) -> None:
        self._sqlite = dialect_of(url) == "sqlite"
        self._connection: Any = sqlite3.connect(path_of(url)) if self._sqlite else psycopg.connect(url)

    def insert(self, table: str, names: list[str], values: list[list[Any]]) -> None:
        quoted = ", ".join(f'"{name}"' for name in names)
        if self._sqlite:
            marks = ", ".join("?" * len(names))
            self._connection.executemany(f'INSERT INTO "{table}" ({quoted}) VALUES ({marks})', values)
            return
        with self._connection.cursor().copy(f'COPY "{table}" ({quoted}) FROM STDIN') as copying:
            for each in values:
                copying.write_row(each)

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def _rows(documents: int, prefix: str) -> Iterator[tuple[str, Row]]:
    for number in range(documents):
        record = f"{prefix}-r{number // PER_RECORD}"
        if number % PER_RECORD == 0:
            yield from _record(record, number)
        yield from _document(record, f"{prefix}-d{number}", number)


def _record(record: str, number: int) -> Iterator[tuple[str, Row]]:
    closed = number % (7 * PER_RECORD) == 0
    status = "closed" if closed else "open"
    yield "record", rows.record(record, status=status, birth_date="1974-03-01", gender="female", last_updated=5)
    yield "resource_home", rows.home(record, "Patient", record)
    yield "resource_version", rows.version(record, "Patient", record)
    yield "ins", {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": record, "record_id": record}
    if closed:
        yield "record_state", {"record_id": record, "closed": 5, "held": 6}
    consent = {"record_id": record, "id": f"c-{record}", "version": 1, "created": 1, "last_updated": 1}
    decided = {"status": "active", "kind": "DELEGATION", "decision": "permit", "actor_kind": "person", "decided": 1}
    yield "consent", consent | decided | {"actor_id": "899700000112", "period_low": 1, "period_high": None}
    to = {"recipient_kind": "patient", "recipient_id": record, "kind": "DEPOSIT", "created": 1}
    yield "notification", {"record_id": record, "topic": "DEPOSIT|1", "id": f"n-{record}"} | to
    grant = {"person": "899700000120", "structure": "", "session": "s", "purpose": "ETREAT", "person_name": "é"}
    given = {"motive": "…", "granted": 1, "expires": 2, "review": True}
    yield "emergency_grant", {"record_id": record, "id": f"g-{record}"} | grant | given


def _document(record: str, name: str, number: int) -> Iterator[tuple[str, Row]]:
    body = pack(b'{"resourceType":"DocumentReference","id":"%s","description":"%d \xc3\xa9"}' % (name.encode(), number))
    digest = hashlib.sha256(name.encode()).digest()
    yield "resource_home", rows.home(record, "DocumentReference", name)
    for version in range(1, 2 + (number % 5 == 0)):
        yield "resource_version", rows.version(record, "DocumentReference", name, version, body=body)
    yield "unique_identifier", rows.unique_id(f"urn:oid:{name}", record, name)
    changes = {"title": f"Compte rendu {number}", "date_low": 2**41 + number, "date_high": 2**41 + number, "version": 1}
    yield "document", rows.document(record, name, type_code=f"{number % 90}", archived=number % 9 == 0, **changes)
    yield "payload", rows.payload(record, f"b-{name}", name, name.encode(), digest) | {"sha1": digest[:20]}
    for kind, identifier in (("person", f"8997{number % 400:08}"), ("structure", "1990000010")):
        yield "document_author", {"record_id": record, "document_id": name, "kind": kind, "identifier": identifier}
    found = {"record_id": record, "resource_type": "DocumentReference", "resource_id": name}
    for parameter, code in (("identifier", f"urn:oid:{name}"), ("format", "urn:ihe:pcc"), ("setting", f"{number % 7}")):
        yield "search_token", found | {"parameter": parameter, "code": code, "system": "urn:ietf:rfc:3986"}
    yield "search_text", found | {"parameter": "description", "folded": f"{number} e", "exact": f"{number} é"}
    reference = {"parameter": "author", "target_type": "Practitioner", "target_id": f"p{number % 400}"}
    yield "search_reference", found | reference | {"identifier_value": "", "identifier_system": ""}
    yield "audit_event", rows.trace(record, f"t-{name}") | {"recorded": 1 + number, "body": body}


# --- what a database holds --------------------------------------------------------------------------


def checksums(url: str, columns: dict[str, list[str]]) -> dict[str, tuple[int, int]]:
    """Of these columns of each table: how many rows, and the sum of their hashes, whatever their order."""
    if dialect_of(url) == "sqlite":
        with closing(sqlite3.connect(path_of(url))) as connection:
            return {table: _sum(map(repr, connection.execute(_select(table, columns)))) for table in columns}
    with psycopg.connect(url) as connection:
        found = {}
        for table in columns:
            with connection.cursor().copy(f"COPY ({_select(table, columns)}) TO STDOUT") as copying:
                found[table] = _sum(bytes(line).decode() for line in copying)
        return found


def _select(table: str, columns: dict[str, list[str]]) -> str:
    names = ", ".join(f'"{name}"' for name in columns[table]) or "1"
    return f'SELECT {names} FROM "{table}"'


def _sum(lines: Iterator[str]) -> tuple[int, int]:
    count, total = 0, 0
    for line in lines:
        count += 1
        total += int.from_bytes(hashlib.blake2b(line.encode(), digest_size=16).digest())
    return count, total % 2**128


def common(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    """Tables and columns of both, without what a migration makes anew."""
    return {
        table: [name for name in names if name in other[table] and (table, name) not in MADE_ANEW]
        for table, names in one.items()
        if table in other
    }


MADE_ANEW = {("audit_event", name) for name in ("nonce", "leaf")} | {("audit_tree", "frontier")}
