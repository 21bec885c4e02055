"""Giving entries their place: position in the log, sequence in the record, leaf in the tree (D33).

Done at the end of the transaction of the act, under the lock of the one row of `audit_tree`, which is kept until the
commit: the order of positions is the order of commits. Nothing is locked after it, so it takes part in no deadlock.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from dmp_fhir.audit.entries import NONCE_BYTES, columns_digest, leaf_of, marks_of, seal_of
from dmp_fhir.audit.tree import HASH_BYTES, Frontier, root_of
from dmp_fhir.store.bodies import event_place, seal_body
from dmp_fhir.store.database import StoreDamaged, StoreUnavailable, Transaction, UniqueViolation
from dmp_fhir.store.errors import KeyDestroyed

Row = dict[str, Any]
_log = logging.getLogger("dmp_fhir.audit")

# Leaves, or nodes of the level below, that one row of `audit_tile` holds.
TILE_BITS = 8
TILE = 1 << TILE_BITS
# A head is signed at the latest after so many entries.
ENTRIES_PER_HEAD = 1_000
_LOCK = {
    "sqlite": "SELECT size, frontier FROM audit_tree WHERE id = 1",
    "postgresql": "SELECT size, frontier FROM audit_tree WHERE id = 1 FOR UPDATE",
}
_RECORDS_AT_ONCE = 20


def append_rows(tx: Transaction, rows: Sequence[Row]) -> None:
    """Insert rows of `audit_event` (log.py), which lack only what is given here, as the last entries of the log. Their
    bodies are sealed, their digests are those of the JSON.

    StoreUnavailable (503) whatever hinders it: nothing is answered without its trace (TF-166)."""
    try:
        _append(tx, rows)
    except (UniqueViolation, StoreUnavailable):
        raise
    except Exception as fault:
        _log.error("ALERT: the trace can't be written: %s", type(fault).__name__)
        raise StoreUnavailable("the trace can't be written") from fault


def _append(tx: Transaction, rows: Sequence[Row]) -> None:
    rows = [_sealed(tx, row) | {"nonce": os.urandom(NONCE_BYTES), "marks": marks_of(row)} for row in rows]
    assert tx.keys is not None  # or nothing could be sealed
    key = tx.keys.trace
    digests = [columns_digest(row) for row in rows]
    tree = lock_tree(tx)
    first = tree.size
    sequences = _sequences(tx, {row["record_id"] for row in rows})
    for row, digest in zip(rows, digests, strict=True):
        record_id = row["record_id"]
        sequences[record_id] += 1
        row["position"], row["sequence"] = tree.size, sequences[record_id]
        row["leaf"] = leaf_of(row, digest)
        tree.append(row["leaf"])
        row["seal"] = seal_of(key, tree, row)
    try:
        tx.insert_many("audit_event", rows)
    except UniqueViolation as taken:
        # Under the lock of the tree nobody else writes here: somebody put an entry behind its end.
        raise StoreDamaged("the place of the next entry is taken: dmp-fhir audit verify") from taken
    for number in range(first >> TILE_BITS, tree.size >> TILE_BITS):
        _complete_tile(tx, number, [row["leaf"] for row in rows], first)
    tx.execute(
        "UPDATE audit_tree SET size = :size, frontier = :frontier WHERE id = 1",
        {"size": tree.size, "frontier": bytes(tree)},
    )
    if tx.sealing is not None and first // ENTRIES_PER_HEAD != tree.size // ENTRIES_PER_HEAD:
        tx.sealing.seal(tx, tree)


def _sealed(tx: Transaction, row: Row) -> Row:
    """The row with its body under the key of its record; that of the directory for what is to last longer (Act), and
    for what is still asked of a record that was erased."""
    kept = {name: value for name, value in row.items() if name != "lasting"}
    record_id, place = row["record_id"], event_place(row["record_id"], row["id"])
    try:
        kept["body"] = seal_body(tx.keys, record_id, place, row["body"], lasting=row.get("lasting", False))
    except KeyDestroyed:
        kept["body"] = seal_body(tx.keys, record_id, place, row["body"], lasting=True)
    return kept


def lock_tree(tx: Transaction) -> Frontier:
    """The tree as it is, and nobody else's until the end of the transaction."""
    found = tx.row(_LOCK[tx.dialect])
    if found is None:
        raise StoreDamaged("the tree of the trace has no row")
    try:
        return Frontier.of_bytes(found[0], found[1])
    except ValueError as error:
        raise StoreDamaged("the tree of the trace is damaged: dmp-fhir audit verify") from error


def _sequences(tx: Transaction, records: Iterable[str]) -> dict[str, int]:
    """The latest sequence of each record."""
    found: dict[str, int] = {}
    waiting = sorted(records)
    while waiting:
        some, waiting = waiting[:_RECORDS_AT_ONCE], waiting[_RECORDS_AT_ONCE:]
        row = tx.row(_latest(len(some)), {f"r{n}": record_id for n, record_id in enumerate(some)})
        found |= {record_id: latest or 0 for record_id, latest in zip(some, row or (), strict=True)}
    return found


@lru_cache
def _latest(count: int) -> str:
    # One lookup in the index for each; with GROUP BY, SQLite would read all entries of the records.
    each = (f"(SELECT MAX(sequence) FROM audit_event WHERE record_id = :r{n})" for n in range(count))
    return f"SELECT {', '.join(each)}"


def _complete_tile(tx: Transaction, number: int, new: list[bytes], first: int) -> None:
    """Write tile `number` of the leaves, whose last leaf came now, and those above that it completes."""
    start, end = number << TILE_BITS, (number + 1) << TILE_BITS
    leaves = new[max(start - first, 0) : end - first]
    if start < first:
        before = tx.rows(
            "SELECT leaf FROM audit_event WHERE position >= :start AND position < :first ORDER BY position",
            {"start": start, "first": first},
        )
        leaves = [row[0] for row in before] + leaves
    level = 0
    while True:
        if len(leaves) != TILE:
            raise StoreDamaged("entries are missing from the trace: dmp-fhir audit verify")
        row = {"level": level, "number": number, "root": root_of(leaves), "hashes": b"".join(leaves)}
        tx.insert("audit_tile", row)
        number += 1
        if number % TILE:
            return
        nodes = tx.rows(
            "SELECT root FROM audit_tile WHERE level = :level AND number >= :start AND number < :end ORDER BY number",
            {"level": level, "start": number - TILE, "end": number},
        )
        leaves, level, number = [row[0] for row in nodes], level + 1, (number >> TILE_BITS) - 1


def hashes_in(joined: bytes) -> list[bytes]:
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
