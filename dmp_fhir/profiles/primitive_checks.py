"""The checks on primitive values: format, and code of a required binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmp_fhir.profiles.definitions import Property
from dmp_fhir.profiles.primitives import TEXTS, VALUES
from dmp_fhir.profiles.walk import Walk, Way, bad_code, bad_value

Check = Callable[[Walk, Any, Way, str, "int | None"], None]


def primitive_check(known: Property) -> Check:
    if known.type in VALUES:
        return _value_check(known)
    test, element = TEXTS[known.type], known.element
    address = known.type in ("uri", "url", "canonical")
    codes = frozenset().union(*element.codes.values()) if element.codes is not None and known.type == "code" else None

    def check(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        if type(value) is not str or not test(value):
            bad_value(walk, value, known.type, (way, name, n))
        elif address and value[0] == "#":
            walk.point(value)

    if codes is None:
        return check
    known_codes = codes

    def check_code(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        if type(value) is str and value in known_codes:
            return
        if type(value) is not str or not test(value):
            bad_value(walk, value, known.type, (way, name, n))
        else:
            bad_code(walk, value, known_codes, element, (way, name, n))

    return check_code


def _value_check(known: Property) -> Check:
    test = VALUES[known.type]

    def check(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        if not test(value):
            bad_value(walk, value, known.type, (way, name, n))

    return check
