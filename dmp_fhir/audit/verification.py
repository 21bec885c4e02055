"""Proving the whole log, or naming the first entry that is not what it was (`dmp-fhir audit verify`).

Everything is read once, in one snapshot, in the order of positions: each leaf is computed again from its row, each body
compared with its digest, each sequence with the one before, each tile, head and the frontier with the tree over the
leaves; heads are also compared with the file outside, both ways. Each entry has to carry the seal of this registry
(entries.py). Nothing is changed. Findings name positions and ids. `verify_span` does the same for a part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from dmp_fhir.audit.entries import COLUMNS, NONCE_BYTES, leaf_of, seal_of, touched
from dmp_fhir.audit.findings import Finding, Report
from dmp_fhir.audit.heads import Head, PublicKey, Witness
from dmp_fhir.audit.placing import TILE, TILE_BITS, hashes_in
from dmp_fhir.audit.proofs import frontier_of
from dmp_fhir.audit.tree import HASH_BYTES, Frontier, root_of
from dmp_fhir.audit.witness_check import heads_outside
from dmp_fhir.store.bodies import BodyDamaged, event_place, open_body
from dmp_fhir.store.database import Database, Reader
from dmp_fhir.store.errors import KeyDestroyed, KeysUnavailable, StoreDamaged

BATCH = 2_000
# Without an index on positions, which an insider may drop, each batch reads the whole table.
BATCH_WITHOUT_INDEX = 50_000
_INDEXED = {
    "sqlite": "SELECT 1 FROM pragma_index_list('audit_event') i, pragma_index_info(i.name) c"
    " WHERE c.seqno = 0 AND c.name = 'position' AND NOT i.partial",
    "postgresql": "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
    " WHERE i.indrelid = 'audit_event'::regclass AND a.attname = 'position' AND i.indisvalid AND i.indpred IS NULL",
}
# Unsealed entries older than this are a finding: the sealer does not work, or no server runs.
STALE_MS = 10 * 60_000
# Findings after which reading goes on no further: the first is what matters.
MOST_FINDINGS = 20
_BLOBS = ("body", "nonce", "digest", "marks", "leaf")
_ROW = ("position", "sequence", "record_id", "id", "recorded", *COLUMNS, *_BLOBS, "seal")
_KINDS: dict[str, type] = dict.fromkeys(("position", "sequence", "recorded"), int) | dict.fromkeys(_BLOBS, bytes)


def verify(database: Database, keys: dict[str, PublicKey], witness: Witness | None, now_ms: int) -> Report:
    """Look at everything. `keys` are those that may have signed; without `witness` the file outside is not looked
    at."""
    started = time.monotonic()
    with database.snapshot() as reader:
        if reader.dialect == "postgresql":
            reader.rows("SET LOCAL statement_timeout = 0")
        report = _Verification(reader, keys, now_ms).run()
        heads = _heads(reader)
    if witness is not None:
        report.findings += [Finding("outside", text, at) for text, at in heads_outside(database, heads, keys, witness)]
    report.findings.sort(key=lambda each: (each.kind == "stale", each.position is None, each.position or 0))
    report.seconds = time.monotonic() - started
    return report


def verify_span(reader: Reader, keys: dict[str, PublicKey], start: int, end: int) -> Report:
    """Look at the entries from `start`, where a tile begins, to below `end`, with the tiles and signed heads of that
    span. Their seals say that what comes before is what it was when they were written."""
    assert start % TILE == 0
    try:
        tree = frontier_of(reader, start)
    except StoreDamaged:
        text = "a tile before this entry is not there, or not what it was"
        return Report(findings=[Finding("tile", text, start)])
    return _Verification(reader, keys, 0, tree, end).run()


def _heads(reader: Reader, above: int = 0, up_to: int | None = None) -> list[Head]:
    where = f"WHERE size > {above:d} AND size <= {up_to:d}" if up_to is not None else ""
    return [Head(*row) for row in reader.rows(f"SELECT size, root, time, key_id, signature FROM audit_head {where}")]


class _Verification:
    def __init__(
        self, reader: Reader, keys: dict[str, PublicKey], now_ms: int, tree: Frontier | None = None, end: int = 0
    ) -> None:
        self.reader, self.keys, self.now = reader, keys, now_ms
        self.report = Report()
        # Of a span: the tree before it, and where it ends.
        self.whole, self.tree, self.end = tree is None, tree or Frontier(), end
        self.start = self.tree.size
        self.trace_key = reader.keys.trace if reader.keys is not None else None
        self.sequences: dict[str, int] = {}
        # Positions without an entry, until a hole in the sequences tells the record.
        self.holes: list[int] = []
        self.sound = True
        self.heads: dict[int, Head] = {}
        self.oldest_unsealed: int | None = None
        self.latest_recorded = 0
        self.latest_head = 0
        # Up to here the entries are those of a signed head.
        self.sealed = self.start
        self.kept_tile: tuple[tuple[int, int], list[bytes] | None] = ((-1, -1), None)
        # Of each level of tiles, the nodes of the tile under way.
        self.nodes: list[list[bytes]] = []

    def run(self) -> Report:
        self._read_heads()
        stored = self._stored_tree()
        for row in self._rows():
            if len(self.report.findings) >= MOST_FINDINGS:
                break
            self._entry(row, stored)
        else:
            self._end(stored)
        if self.whole:
            self._freshness()
        self.report.size, self.report.root = self.tree.size, self.tree.root.hex()
        self.report.records = len(self.sequences) - ("" in self.sequences)
        return self.report

    def find(self, kind: str, text: str, *place: Any, tree: bool = True) -> None:
        """Note a finding; what it does to the tree is not found again, unless `tree` is false."""
        self.report.findings.append(Finding(kind, text, *place))
        if tree:
            self.sound = False

    # --- entries ----------------------------------------------------------------------------------

    def _rows(self) -> Iterator[dict[str, Any]]:
        """All rows in the order of their positions; those of one position in the order of their ids."""
        span = "" if self.whole else f"WHERE position >= {self.start:d} AND position < {self.end:d}"
        select = f"SELECT {', '.join(_ROW)} FROM (SELECT * FROM audit_event {span}) AS entries"
        batch = BATCH if self.reader.row(_INDEXED[self.reader.dialect]) else BATCH_WITHOUT_INDEX
        order = f"ORDER BY position, record_id, id LIMIT {batch}"
        rows = self.reader.rows(f"{select} {order}")
        while rows:
            for values in rows:
                yield dict(zip(_ROW, values, strict=True))
            last = dict(zip(_ROW, rows[-1], strict=True))
            # Positions are unique, and an altered database may lack the index that says so.
            rows = self.reader.rows(
                f"{select} WHERE position >= :position AND (position > :position OR record_id > :record_id"
                f" OR (record_id = :record_id AND id > :id)) {order}",
                {name: last[name] for name in ("position", "record_id", "id")},
            )

    def _entry(self, row: dict[str, Any], stored: Frontier | None) -> None:
        report, position = self.report, row["position"]
        report.entries += 1
        place = (position, row["record_id"], row["id"])
        for name, wanted in _KINDS.items():
            if not isinstance(row[name], wanted):
                self.find("altered", "a column holds what it cannot hold", None, *map(str, place[1:]), name)
                return
        if position < self.tree.size:
            kind = "duplicated" if position >= 0 else "inserted"
            self.find(kind, "an entry has the position of another", *place, "position", tree=False)
            return
        if stored is not None and position >= stored.size:
            self.find("inserted", "an entry follows the end of the log", *place, tree=False)
            return
        while self.tree.size < position and len(report.findings) < MOST_FINDINGS:
            self._hole()
        before = len(report.findings)
        leaf = self._leaf(row)
        tile = self._stored_leaf(row, leaf)
        self._sequence(row, told=len(report.findings) > before)
        self._clock(row)
        self._grow(leaf if len(report.findings) == before else (tile or leaf), row)

    def _hole(self) -> None:
        self.holes.append(self.tree.size)
        self.find("missing", "an entry is not there", self.tree.size)
        self._grow(bytes(HASH_BYTES))

    def _sequence(self, row: dict[str, Any], *, told: bool) -> None:
        """`told`: something is wrong with the row already."""
        record_id, sequence = row["record_id"], row["sequence"]
        expected = self.sequences.get(record_id, 0 if self.whole else sequence - 1) + 1
        self.sequences[record_id] = expected if told else sequence
        if sequence == expected or told:
            return
        if sequence > expected and len(self.holes) == sequence - expected:
            # What is missing was of this record.
            for missed, hole in zip(range(expected, sequence), self.holes, strict=True):
                at = next(n for n, each in enumerate(self.report.findings) if each.position == hole)
                text = f"an entry is not there, number {missed} of its record"
                self.report.findings[at] = Finding("missing", text, hole, record_id)
            self.holes.clear()
            return
        if sequence > expected and self.holes:
            return
        place = (row["position"], record_id, row["id"], "sequence")
        self.find("altered", f"number {sequence} of its record comes after {expected - 1}", *place)
        self.sequences[record_id] = expected

    def _leaf(self, row: dict[str, Any]) -> bytes:
        """The leaf of a row, computed; a finding names the column that does not fit."""
        place = (row["position"], row["record_id"], row["id"])
        try:
            leaf, columns = leaf_of(row), touched(row, row["marks"])
        except (TypeError, ValueError):
            self.find("altered", "a column holds what it cannot hold", *place)
            return bytes(HASH_BYTES)
        body = self._body_digest(row)
        if leaf == row["leaf"] and not columns and body in (None, row["digest"]):
            return leaf
        # A sealed body does not open in another place: what was touched is then the place.
        if body is not None and body != row["digest"] and not (body == b"" and columns):
            # Which of the two: the leaf knows the digest that it was made with.
            named = "digest" if leaf_of(row | {"digest": body}) == row["leaf"] else "body"
        elif columns:
            named = ", ".join(columns) if leaf != row["leaf"] else "marks"
        else:
            named = self._place_column(row)
        kind = "reordered" if named == "position" else "altered"
        self.find(kind, "an entry is not what was hashed", *place, named)
        return leaf

    def _place_column(self, row: dict[str, Any]) -> str:
        """Which column of those without a mark was touched: position, sequence, nonce or leaf."""
        if len(row["nonce"]) != NONCE_BYTES:
            return "nonce"
        near = range(max(row["position"] - TILE, 0), row["position"] + TILE)
        if any(leaf_of(row | {"position": at}) == row["leaf"] for at in near):
            return "position"
        if any(leaf_of(row | {"sequence": at}) == row["leaf"] for at in range(max(row["sequence"] + TILE, TILE))):
            return "sequence"
        return "leaf" if self._tile_says(row["position"]) == leaf_of(row) else "nonce or leaf"

    def _body_digest(self, row: dict[str, Any]) -> bytes | None:
        """The digest of the body as it would be served; None when its key was destroyed with the record."""
        try:
            place = event_place(row["record_id"], row["id"])
            return sha256(open_body(self.reader.keys, row["record_id"], place, row["body"])).digest()
        except KeyDestroyed:
            self.report.erased += 1
            return None
        except (BodyDamaged, KeysUnavailable):
            return b""

    def _stored_leaf(self, row: dict[str, Any], leaf: bytes) -> bytes | None:
        """The leaf that the tile of a row holds; a finding when it is another and the row itself is consistent."""
        tile = self._tile_says(row["position"])
        if tile is None or tile == leaf or row["leaf"] != leaf:
            return tile
        place = (row["position"], row["record_id"], row["id"])
        number = row["position"] >> TILE_BITS
        hashes = self._tile(0, number) or []
        roots = self.reader.rows("SELECT root FROM audit_tile WHERE level = 0 AND number = :number", {"number": number})
        if roots != [(root_of(hashes),)]:
            self.find("tile", f"tile {number} of level 0 is not what it was", *place)
        elif leaf in hashes:
            self.find("reordered", f"an entry of position {(number << TILE_BITS) + hashes.index(leaf)}", *place)
        else:
            self.find("altered", "an entry is not what was hashed; what proves it was changed too", *place)
        return tile

    def _clock(self, row: dict[str, Any]) -> None:
        recorded = row["recorded"]
        if recorded < self.latest_recorded - 1_000:
            self.report.clock_steps += 1
        self.latest_recorded = recorded
        if row["position"] >= self.latest_head:
            self.report.unsealed += 1
            if self.oldest_unsealed is None:
                self.oldest_unsealed = recorded

    # --- tree -------------------------------------------------------------------------------------

    def _seal(self, row: dict[str, Any]) -> None:
        """That the entry which the tree now ends with was written by this registry, after those before it."""
        key = self.trace_key
        if key is None or not self.sound or row["position"] < key.since:
            return
        if row["seal"] != seal_of(key, self.tree, row):
            text = "this registry did not write this entry in this place"
            self.find("forged", text, row["position"], row["record_id"], row["id"], "seal")

    def _grow(self, leaf: bytes, row: dict[str, Any] | None = None) -> None:
        self.tree.append(leaf)
        if row is not None:
            self._seal(row)
        self._node(0, leaf)
        head = self.heads.pop(self.tree.size, None)
        if head is None:
            return
        if self.sound and head.root != self.tree.root:
            text = f"an entry before {head.size} is not what it was when that head was signed, this one or a later one"
            self.find("altered", text, self.sealed)
        self.sealed = self.tree.size
        self.report.heads += 1

    def _node(self, level: int, node: bytes) -> None:
        """Count a node in; a complete tile is compared with the stored one."""
        if level == len(self.nodes):
            self.nodes.append([])
        hashes = self.nodes[level]
        hashes.append(node)
        if len(hashes) < TILE:
            return
        number = (self.tree.size >> TILE_BITS * (level + 1)) - 1
        root = root_of(hashes)
        found = self.reader.rows(
            "SELECT root, hashes FROM audit_tile WHERE level = :level AND number = :number",
            {"level": level, "number": number},
        )
        first = number << TILE_BITS * (level + 1)
        if self.sound and found != [(root, b"".join(hashes))]:
            what = "is not there" if not found else "is not what it was"
            self.find("tile", f"tile {number} of level {level} {what}", first, tree=False)
        hashes.clear()
        if self.whole:
            self._node(level + 1, root)

    def _tile(self, level: int, number: int) -> list[bytes] | None:
        if self.kept_tile[0] != (level, number):
            row = self.reader.row(
                "SELECT hashes FROM audit_tile WHERE level = :level AND number = :number",
                {"level": level, "number": number},
            )
            self.kept_tile = ((level, number), hashes_in(row[0]) if row else None)
        return self.kept_tile[1]

    def _tile_says(self, position: int) -> bytes | None:
        hashes = self._tile(0, position >> TILE_BITS)
        return hashes[position % TILE] if hashes is not None and len(hashes) == TILE else None

    def _stored_tree(self) -> Frontier | None:
        rows = self.reader.rows("SELECT size, frontier FROM audit_tree")
        try:
            ((size, frontier),) = rows
            return Frontier.of_bytes(size, frontier)
        except ValueError:
            self.find("tree", "the frontier of the tree is not one", tree=False)
            return None

    def _end(self, stored: Frontier | None) -> None:
        """What can be said once every entry was read."""
        if not self.whole:
            while self.tree.size < self.end and len(self.report.findings) < MOST_FINDINGS:
                self._hole()
            return
        known = [stored.size] if stored is not None else []
        size = max([*known, *(size for size, head in self.heads.items() if self._is_signed(head))], default=0)
        while self.tree.size < size and len(self.report.findings) < MOST_FINDINGS:
            self._hole()
        if self.sound and stored is not None and (stored.size, stored.root) != (self.tree.size, self.tree.root):
            self.find("tree", "the frontier of the tree is not that of this entry and the later ones", self.sealed)
        for head in self.heads.values():
            self.find("head", f"a head of size {head.size} is none of this log", head.size, tree=False)
        levels = [len(hashes) for hashes in self.nodes]
        complete = [self.tree.size >> TILE_BITS * (level + 1) for level in range(len(levels))]
        expected = {(level, number) for level, count in enumerate(complete) for number in range(count)}
        tiles = self.reader.rows("SELECT level, number FROM audit_tile")
        for level, number in sorted(set(tiles) - expected)[:MOST_FINDINGS]:
            self.find("tile", f"tile {number} of level {level} is none of this tree", None, tree=False)

    # --- heads ------------------------------------------------------------------------------------

    def _read_heads(self) -> None:
        earlier: Head | None = None
        of_span = _heads(self.reader) if self.whole else _heads(self.reader, self.start, self.end)
        heads = sorted(of_span, key=lambda each: each.size)
        for head in heads:
            if not self._is_signed(head):
                text = f"the head of size {head.size} is not signed by a key of this registry, valid at its time"
                self.find("head", text, head.size, tree=False)
                continue
            if earlier is not None and head.size == earlier.size:
                self.find("head", f"there are two heads of size {head.size}", head.size, tree=False)
            elif earlier is not None and head.time < earlier.time - 1_000:
                self.report.clock_steps += 1
            self.heads[head.size] = earlier = head
        self.latest_head = earlier.size if earlier else 0

    def _is_signed(self, head: Head) -> bool:
        key = self.keys.get(head.key_id)
        in_time = key is not None and (key.until is None or head.time <= key.until)
        return key is not None and in_time and key.signed(head.text, head.signature)

    def _freshness(self) -> None:
        if self.oldest_unsealed is not None and self.now > self.oldest_unsealed + STALE_MS:
            text = f"{self.report.unsealed} entries have no signed head after more than {STALE_MS // 60_000} minutes"
            self.find("stale", f"{text}: dmp-fhir audit seal", self.latest_head, tree=False)
