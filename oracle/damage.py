"""One thing wrong in a resource, whatever its profile: a property taken away, a value of another kind, a stray name…

Not every damage is a mistake (an optional element may go): it is for the two validators to say.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from dmp_fhir.profiles.definitions import is_choice_property

Tree = dict[str, Any]
# Values that are right somewhere and wrong elsewhere.
_ODD: tuple[Any, ...] = (
    "", " ", " a", "a b", "zz", "é", "2020-13-01", "2020-02-30", "2020-1-1", "2026-01-01T10:00:00", "24:00:00",
    "2026-01-01T25:00:00Z", "urn:oid:0.1.a", "urn:oid:1.2.250.1.999", "urn:uuid:ABC", "http://a b", "Group/g1",
    "#nothing", "Nothing/1", "Patient/a/b", "QQ=", "a" * 65, -1, 0, 1, 1.5, 2**31, True, False, None,
    [], {}, ["a"], {"a": 1},
)  # fmt: skip
_NAMES = ("odd", "value", "valueString", "_status", "_id", "resourceType", "extension", "id", "code", "url", "fhir_x")


def damaged(tree: Tree, chance: random.Random) -> tuple[str, Tree]:
    """A copy with one damage, and what was done to it: `drop Patient.name`."""
    while True:
        broken = copy.deepcopy(tree)
        way, node = chance.choice(list(_objects(broken, str(broken["resourceType"]))))
        name = chance.choice(_WAYS)(node, chance)
        if name is not None and broken != tree:
            return f"{name[0]} {way}.{name[1]}", broken


def _objects(node: Any, way: str) -> Iterator[tuple[str, Tree]]:
    """Every object, with the way to it."""
    if type(node) is dict:
        if node:
            yield way, node
        for name, value in node.items():
            yield from _objects(value, f"{way}.{name}")
    elif type(node) is list:
        for n, value in enumerate(node):
            yield from _objects(value, f"{way}[{n}]")


Way = Callable[[Tree, random.Random], tuple[str, str] | None]


def _some(node: Tree, chance: random.Random, *kinds: type) -> str | None:
    names = [name for name, value in node.items() if not kinds or type(value) in kinds]
    return chance.choice(names) if names else None


def _drop(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = _some(node, chance)
    if name is None or len(node) == 1:
        return None
    del node[name]
    return "drop", name


def _odd_value(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = _some(node, chance, str, int, float, bool)
    if name is None or name == "resourceType":
        return None
    value = chance.choice(_ODD)
    node[name] = copy.deepcopy(value)
    return f"put {str(value)[:20]!r} in", name


def _repeat(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = _some(node, chance, list)
    if name is None or not node[name]:
        return None
    node[name].append(copy.deepcopy(chance.choice(node[name])))
    return "repeat an item of", name


def _one_for_many(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = _some(node, chance)
    if name is None:
        return None
    value = node[name]
    node[name] = value[0] if type(value) is list and value else [value]
    return "list or item in", name


def _stray(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = chance.choice(_NAMES)
    if name in node:
        return None
    node[name] = copy.deepcopy(chance.choice(_ODD))
    return f"stray {str(node[name])[:20]!r} in", name


def _rename(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = _some(node, chance)
    if name is None or name == "resourceType":
        return None
    other = "valueString" if is_choice_property(name) else name + "s"
    node[other] = node.pop(name)
    return f"to {other} rename", name


def _borrow(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    """The value of another property of the same object."""
    name, other = _some(node, chance), _some(node, chance)
    if name is None or other is None or name == other or "resourceType" in (name, other):
        return None
    node[name] = copy.deepcopy(node[other])
    return f"from {other} copy into", name


def _turn(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    name = _some(node, chance, list)
    if name is None or len(node[name]) < 2:
        return None
    node[name].reverse()
    return "reverse", name


def _other_text(node: Tree, chance: random.Random) -> tuple[str, str] | None:
    """A code, system, url or reference that is well formed and another one."""
    name = _some(node, chance, str)
    others = {
        "system": ("http://example.org/codes", "urn:oid:1.2.250.1.999", "urn:ietf:rfc:3986", "http://loinc.org"),
        "url": ("http://example.org/x", "Binary/b2", "Patient/b2"),
        "code": ("other", "AMBU", "1"),
        "reference": ("Patient/a", "Organization/a", "Device/a", "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "#"),
        "use": ("usual", "official", "temp", "home", "work", "secondary"),
        "status": ("current", "active", "final", "entered-in-error", "superseded"),
        "type": ("transaction", "searchset", "collection", "document", "Patient"),
        "method": ("GET", "DELETE", "PUT", "POST"),
        "fullUrl": ("http://example.org/Patient/a", "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "Patient/a"),
    }
    if name not in others:
        return None
    node[name] = chance.choice(others[name])
    return f"put {node[name]!r} in", name


_WAYS: tuple[Way, ...] = (
    _drop, _drop, _odd_value, _odd_value, _other_text, _other_text,
    _repeat, _one_for_many, _stray, _rename, _borrow, _turn,
)  # fmt: skip
