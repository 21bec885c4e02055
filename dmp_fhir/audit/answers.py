"""Proofs as FHIR Parameters: `$inclusion-proof`, `$consistency-proof`, `$tree-head` (docs/audit.md).

First comes where the way begins, then its steps from below with their sides, then the signed heads: they are checked in
one pass.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from dmp_fhir.audit.heads import Head
from dmp_fhir.audit.proofs import Consistency, Inclusion
from dmp_fhir.audit.tree import Step, consistency_steps, sides

Tree = dict[str, Any]


def inclusion_answer(found: Inclusion, *, open_place: bool) -> Tree:
    """With `open_place`, the nonce and the sequence in the record: for who may see all of it."""
    parameters: list[Tree] = [
        {"name": "entry", "valueString": found.line.decode()},
        {"name": "index", "valueDecimal": found.index},
        *_path(zip(sides(found.index, found.head.size), found.path, strict=True)),
        _head("head", found.head),
    ]
    if open_place:
        parameters.append({"name": "sequence", "valueDecimal": found.sequence})
        parameters.append({"name": "nonce", "valueBase64Binary": _base64(found.nonce)})
    return {"resourceType": "Parameters", "parameter": parameters}


def consistency_answer(found: Consistency) -> Tree:
    one, two = found.first, found.second
    start, steps = consistency_steps(one.size, two.size, found.path, one.root)
    begin = {"name": "start", "valueBase64Binary": _base64(start)}
    return {
        "resourceType": "Parameters",
        "parameter": [begin, *_path(steps), _head("first", one), _head("second", two)],
    }


def head_answer(head: Head) -> Tree:
    return {"resourceType": "Parameters", "parameter": [_head("head", head)]}


def _head(name: str, head: Head) -> Tree:
    parts = [
        {"name": "text", "valueString": head.text},
        {"name": "key", "valueString": head.key_id},
        {"name": "signature", "valueBase64Binary": _base64(head.signature)},
    ]
    return {"name": name, "part": parts}


def _path(steps: Iterable[Step]) -> list[Tree]:
    """One parameter, whose parts are named for their sides; none for a way without steps."""
    parts = [{"name": side, "valueBase64Binary": _base64(each)} for side, each in steps]
    return [{"name": "path", "part": parts}] if parts else []


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
