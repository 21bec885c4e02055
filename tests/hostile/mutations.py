"""Random damage to valid messages: bytes flipped, cut, doubled; parts of a tree removed, swapped, retyped (TF-128)."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from dmp_fhir.wire.xml import dump_xml

Tree = dict[str, Any]
Place = tuple[Any, Any]

BOUNDARIES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31 - 1, 2**31, 2**53 + 1, 1.5, -0.0, 1e308, "", " ", "a", "a" * 65, "a" * 5000,
    "\u0000", "é", "\ud83d\ude00", "null", "true", "0", "-1", "NaN", "2021-02-30", "9999-12-31", "0001-01-01", "#",
    "#x", "urn:uuid:x", "http://", "Patient/", "Patient?identifier=", "DocumentReference/x", "../", "%00", "'", "\"",
    "<a/>", "&", [], {}, [[]], [None], {"a": 1}, [{}], "current", "Bundle", "Binary", "List", "transaction", "POST",
    "PUT", "GET", "DELETE", "urn:oid:1.2.250.1.213.1.4.10", "http://loinc.org", "application/pdf", "AAAA", "extension",
    "contained", "resourceType",
)  # fmt: skip


def mutated(tree: Tree, chance: random.Random) -> tuple[bytes, str]:
    """A damaged copy of a message and the media type it is sent with."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        _damage_tree(tree, chance)
    body, kind = _written(tree, chance)
    damaged = bytearray(body)
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 5))):
        _damage_bytes(damaged, chance)
    return bytes(damaged), kind


def _written(tree: Tree, chance: random.Random) -> tuple[bytes, str]:
    if chance.random() < 0.4:
        try:
            return dump_xml(tree), "application/fhir+xml"
        except Exception:
            pass  # what has no XML form is sent as JSON
    return json.dumps(tree, ensure_ascii=chance.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    ), "application/fhir+json"


def _places(tree: Any) -> Iterator[Place]:
    """(container, key) of every value of a tree."""
    pending = [tree]
    while pending:
        node = pending.pop()
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield node, key
            if isinstance(value, dict | list):
                pending.append(value)


def _damage_tree(tree: Tree, chance: random.Random) -> None:
    places = list(_places(tree))
    if not places:
        return
    node, key = chance.choice(places)
    other, other_key = chance.choice(places)
    match chance.randrange(8):
        case 0:
            del node[key]
        case 1 | 2:
            node[key] = copy.deepcopy(chance.choice(BOUNDARIES))
        case 3:
            node[key] = copy.deepcopy(other[other_key])
        case 4:
            node[key] = [copy.deepcopy(node[key])]
        case 5:
            node[key], other[other_key] = copy.deepcopy(other[other_key]), copy.deepcopy(node[key])
        case 6 if isinstance(node, list):
            node.insert(chance.randrange(len(node) + 1), copy.deepcopy(node[key]))
        case 6:
            node[chance.choice(("_" + str(key), str(key).upper(), "extension", "valueString", "id", "x"))] = node.pop(
                key
            )
        case 7:
            node[key] = str(node[key])


def _damage_bytes(body: bytearray, chance: random.Random) -> None:
    if not body:
        return
    start = chance.randrange(len(body))
    end = min(len(body), start + chance.choice((1, 1, 2, 5, 50, 500)))
    match chance.randrange(6):
        case 0:
            body[start] ^= 1 << chance.randrange(8)
        case 1:
            del body[start:end]
        case 2:
            body[start:start] = body[start:end]
        case 3:
            body[start:end] = chance.randbytes(end - start)
        case 4:
            body[start:start] = json.dumps(chance.choice(BOUNDARIES)).encode()
        case 5:
            del body[start:]
