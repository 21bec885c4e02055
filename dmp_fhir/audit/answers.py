"""Proofs as FHIR Parameters: `$inclusion-proof`, `$consistency-proof`, `$tree-head` (docs/audit.md)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from dmp_fhir.audit.heads import Head
from dmp_fhir.audit.proofs import Consistency, Inclusion

Tree = dict[str, Any]


def inclusion_answer(found: Inclusion, *, open_place: bool) -> Tree:
    """With `open_place`, the nonce and the sequence in the record: for who may see all of it."""
    parameters: list[Tree] = [
        {"name": "entry", "valueString": found.line.decode()},
        {"name": "index", "valueDecimal": found.index},
        *_path(found.path),
        _head("head", found.head),
    ]
    if open_place:
        parameters.append({"name": "sequence", "valueDecimal": found.sequence})
        parameters.append({"name": "nonce", "valueBase64Binary": _base64(found.nonce)})
    return {"resourceType": "Parameters", "parameter": parameters}


def consistency_answer(found: Consistency) -> Tree:
    heads = [_head("first", found.first), _head("second", found.second)]
    return {"resourceType": "Parameters", "parameter": [*heads, *_path(found.path)]}


def head_answer(head: Head) -> Tree:
    return {"resourceType": "Parameters", "parameter": [_head("head", head)]}


def _head(name: str, head: Head) -> Tree:
    parts = [
        {"name": "text", "valueString": head.text},
        {"name": "key", "valueString": head.key_id},
        {"name": "signature", "valueBase64Binary": _base64(head.signature)},
    ]
    return {"name": name, "part": parts}


def _path(hashes: Iterable[bytes]) -> list[Tree]:
    return [{"name": "path", "valueBase64Binary": _base64(each)} for each in hashes]


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
