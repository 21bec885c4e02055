"""Inclusion and consistency proofs of the log, from the tiles: a few rows are read, whatever the size of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dmp_fhir.audit.entries import COLUMNS, line_of
from dmp_fhir.audit.heads import Head, head_of_size, latest_head
from dmp_fhir.audit.placing import TILE, TILE_BITS, hashes_in
from dmp_fhir.audit.tree import Frontier, Nodes, consistency_path, inclusion_path, root_of
from dmp_fhir.store.database import Reader, StoreDamaged

_ROW = ("position", "sequence", "record_id", "id", "recorded", *COLUMNS, "nonce", "digest")


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That an entry is in the tree of a signed head. `line` is what is hashed (entries.py), `nonce` and `sequence` open
    its last part: for who may see all of the record."""

    line: bytes
    index: int
    path: list[bytes]
    head: Head
    record_id: str
    recorded: int
    nonce: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the log of the second head begins with that of the first."""

    first: Head
    second: Head
    path: list[bytes]


def position_of(reader: Reader, event_id: str) -> int | None:
    row = reader.row("SELECT position FROM audit_event WHERE id = :id", {"id": event_id})
    return row[0] if row else None


def inclusion(reader: Reader, event_id: str) -> Inclusion | None:
    """The proof of an entry in the tree of the latest head; None when there is no such entry, or no head over it."""
    values = reader.row(f"SELECT {', '.join(_ROW)} FROM audit_event WHERE id = :id", {"id": event_id})
    head = latest_head(reader)
    if values is None or head is None:
        return None
    row: dict[str, Any] = dict(zip(_ROW, values, strict=True))
    if row["position"] >= head.size:
        return None
    path = inclusion_path(row["position"], head.size, stored_nodes(reader))
    place = (row["record_id"], row["recorded"], row["nonce"], row["sequence"])
    return Inclusion(line_of(row), row["position"], path, head, *place)


def consistency(reader: Reader, first: int, second: int | None) -> Consistency | None:
    """The proof between two signed heads, the second the latest when None; None when one is not there."""
    one = head_of_size(reader, first)
    two = latest_head(reader) if second is None else head_of_size(reader, second)
    if one is None or two is None or one.size > two.size:
        return None
    return Consistency(one, two, consistency_path(one.size, two.size, stored_nodes(reader)))


def frontier_of(reader: Reader, size: int) -> Frontier:
    """The tree over the first `size` entries, from the stored tiles; StoreDamaged when they have a hole."""
    nodes, hashes, start = stored_nodes(reader), [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            hashes.append(nodes(level, start >> level))
            start += 1 << level
    return Frontier(size, hashes)


def stored_nodes(reader: Reader) -> Nodes:
    """The nodes of the stored tree. A node is in the tile of its level, in the last tile of a level among the rows
    below it, or computed from those under it; each row is read once."""
    kept: dict[tuple[int, int], list[bytes]] = {}

    def hashes(level: int, number: int) -> list[bytes]:
        """What is known of a tile: 256 hashes, or those there are when it is the last of its level."""
        if (level, number) not in kept:
            tile = reader.row(
                "SELECT hashes FROM audit_tile WHERE level = :level AND number = :number",
                {"level": level, "number": number},
            )
            kept[level, number] = hashes_in(tile[0]) if tile else _unfinished(reader, level, number)
        return kept[level, number]

    def node(level: int, number: int) -> bytes:
        tile_level, within = divmod(level, TILE_BITS)
        first = number << within
        found = hashes(tile_level, first >> TILE_BITS)[first % TILE : first % TILE + (1 << within)]
        if len(found) != 1 << within:
            raise StoreDamaged("the tree of the trace has a hole: dmp-fhir audit verify")
        return root_of(found)

    return node


def _unfinished(reader: Reader, level: int, number: int) -> list[bytes]:
    span = {"start": number << TILE_BITS, "end": (number + 1) << TILE_BITS}
    if level == 0:
        rows = reader.rows(
            "SELECT leaf FROM audit_event WHERE position >= :start AND position < :end ORDER BY position", span
        )
    else:
        rows = reader.rows(
            "SELECT root FROM audit_tile WHERE level = :below AND number >= :start AND number < :end ORDER BY number",
            span | {"below": level - 1},
        )
    return [row[0] for row in rows]
