"""What of an entry is in the tree: one line, whose hash is the leaf.

    ["dmp-fhir-audit-2", position, record, id, recorded, body, columns, place]

is JSON without blanks, UTF-8. `position` is the place in the whole log, from 0; `record` the id of the Patient, empty
for what belongs to no record; `id` that of the AuditEvent; `recorded` its instant in milliseconds. The rest is SHA-256
in hexadecimal: `body` of the AuditEvent, byte for byte as it is served in JSON; `columns` of the columns that searches
and rights use (`COLUMNS`, as a JSON array); `place` of the nonce of the entry followed by its sequence number in the
record, in decimal. The sequence is blinded because its holes would tell a representative of entries that are not for
them (AR-99); a nonce is given to who may see all of the record (docs/audit.md).

What is in the row beside has a seal: a keyed hash of the tree that ends with the entry, of its stored body and of its
marks, under a key that is not in the database. Whoever has the database alone can compute leaves, and no seal.

Entries are never rewritten: those of the first form, "dmp-fhir-audit-1", have no `words`, in the row or hashed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import sha256
from operator import itemgetter
from typing import Any
from zlib import crc32

import orjson

from dmp_fhir.audit.tree import Frontier, leaf_hash
from dmp_fhir.store.sealing import TraceKey

FIRST_VERSION, VERSION = "dmp-fhir-audit-1", "dmp-fhir-audit-2"
NONCE_BYTES = 16
_FIRST_COLUMNS = (
    *("type", "subtype", "action", "outcome", "agent_category", "agent_id", "agent_name", "structure_id", "purpose"),
    *("entity_type", "entity_id", "secret"),
)
COLUMNS = (*_FIRST_COLUMNS, "words")
# A short checksum for each, kept in the row: it proves nothing, and tells which column was touched.
MARKED = ("record_id", "id", "recorded", *COLUMNS)
_columns, _marked = itemgetter(*_FIRST_COLUMNS), itemgetter(*MARKED[:-1])
_MARKS = {count: struct.Struct(f">{count}H") for count in (len(MARKED) - 1, len(MARKED))}

Row = Mapping[str, Any]


def seal_of(key: TraceKey, tree: Frontier, row: Row) -> bytes:
    """The seal of the entry that `tree` ends with."""
    return key.seal(b"dmp-fhir trace 1%d|%b%b%b" % (tree.size, bytes(tree), sha256(row["body"]).digest(), row["marks"]))


def columns_digest(row: Row) -> str:
    *values, secret = _columns(row)
    return sha256(orjson.dumps([*values, bool(secret), *_words(row)])).hexdigest()


def marks_of(row: Row) -> bytes:
    """Two bytes for each column of `MARKED`; flags count as 0 and 1, as SQLite has them."""
    texts = [each if each.__class__ is str else str(int(each)) for each in _marked(row)]
    texts += _words(row)
    return _MARKS[len(texts)].pack(*[crc32(text.encode()) & 0xFFFF for text in texts])


def touched(row: Row, marks: bytes) -> list[str]:
    """The columns that are not what the marks say; `marks` when they are none of ours."""
    form = _MARKS.get(len(marks) // 2)
    if form is None or len(marks) % 2:
        return ["marks"]
    now = marks_of(row)
    found = zip(MARKED, _MARKS[len(now) // 2].unpack(now), form.unpack(marks), strict=False)
    return [name for name, mine, before in found if mine != before] + ["words"] * (len(now) != len(marks))


def _words(row: Row) -> list[str]:
    """The words of an entry that has some: one of the first form has none."""
    words = row.get("words")
    return [] if words is None else [words]


def place_digest(nonce: bytes, sequence: int) -> str:
    return sha256(nonce + str(sequence).encode()).hexdigest()


def line_of(row: Row, columns: str | None = None) -> bytes:
    """The line of a row that has its place; `columns` when that digest is known already."""
    return orjson.dumps(
        [
            VERSION if _words(row) else FIRST_VERSION,
            row["position"],
            row["record_id"],
            row["id"],
            row["recorded"],
            row["digest"].hex(),
            columns or columns_digest(row),
            place_digest(row["nonce"], row["sequence"]),
        ]
    )


def leaf_of(row: Row, columns: str | None = None) -> bytes:
    return leaf_hash(line_of(row, columns))
