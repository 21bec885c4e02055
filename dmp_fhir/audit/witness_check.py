"""The heads of the database against those of the file outside, both ways (TF-172)."""

from __future__ import annotations

import json
import time

from dmp_fhir.audit.heads import Head, PublicKey, Witness
from dmp_fhir.store.database import Database

# A head is on its way from the commit to the file for a moment.
_WAITS_S = (0.0, 0.2, 0.8, 2.0)
Fault = tuple[str, int | None]


def heads_outside(database: Database, heads: list[Head], keys: dict[str, PublicKey], witness: Witness) -> list[Fault]:
    """What differs between the heads of a snapshot and the file: a sentence and the size of the head."""
    inside = {head.size: head for head in heads}
    largest = max(inside, default=0)
    faults: list[Fault] = []
    for wait in _WAITS_S:
        time.sleep(wait)
        faults, outside = _read(witness.lines(), keys)
        missing = [size for size in sorted(inside) if size not in outside]
        if not missing:
            break
    faults += [(f"the head of size {size} is not in the file outside", size) for size in missing]
    later = {size for size in outside if size > largest}
    if later:
        # Signed since the snapshot, or taken out of the database.
        with database.snapshot() as reader:
            later -= {row[0] for row in reader.rows(f"SELECT size FROM audit_head WHERE size > {largest:d}")}
    for size, head in sorted(outside.items()):
        if size in later or (size <= largest and size not in inside):
            faults.append((f"the head of size {size} in the file outside is not in the database", size))
        elif size in inside and (inside[size].root, inside[size].time) != (head.root, head.time):
            faults.append((f"the head of size {size} in the file outside is another one", size))
    return faults


def _read(lines: list[str], keys: dict[str, PublicKey]) -> tuple[list[Fault], dict[int, Head]]:
    """What is wrong with the file itself, and its heads by size."""
    faults: list[Fault] = []
    heads: dict[int, Head] = {}
    told: set[str] = set()
    for number, (line, following) in enumerate(zip(lines, [*lines, None][1:], strict=True), 1):
        try:
            if "kid" in json.loads(line):
                key_id = _known_key(line, keys)
                if key_id in told:
                    faults.append((f"line {number} of the file outside tells a key again", None))
                told.add(key_id)
                continue
            head = Head.of_line(line)
        except (ValueError, KeyError, TypeError):
            if not (following and following.startswith(line)):  # cut by a power failure, and repeated
                faults.append((f"line {number} of the file outside is no head and no key of this registry", None))
            continue
        key = keys.get(head.key_id)
        if key is None or head.key_id not in told or not key.signed(head.text, head.signature):
            faults.append((f"line {number} of the file outside is not signed by a key that it tells", head.size))
        elif head.line != line + "\n":
            faults.append((f"line {number} of the file outside is not written as we write it", head.size))
        elif heads and head.size <= max(heads):
            faults.append((f"line {number} of the file outside is not in the order of the log", head.size))
        heads.setdefault(head.size, head)
    return faults, heads


def _known_key(line: str, keys: dict[str, PublicKey]) -> str:
    """The id of a key line; ValueError when it is not the key that we know under this id."""
    told = json.loads(line)["kid"]
    if told not in keys:
        raise ValueError("an unknown key")
    shown = keys[told].jwk
    # Told when it was in use, or after it was replaced.
    if line not in (json.dumps(shown), json.dumps({name: shown[name] for name in shown if name != "until"})):
        raise ValueError("another key")
    return str(told)
