"""The checks on primitive values: format, and code of a required binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmp_fhir.profiles.definitions import Property
from dmp_fhir.profiles.primitives import AT_ONCE, TEXTS, VALUES
from dmp_fhir.profiles.walk import Walk, Way, bad_code, bad_value

# Of one value, at the end of the way.
Check = Callable[[Walk, Any, Way], None]


def quick_test(known: Property) -> Callable[[str], object] | None:
    """A test that only a right text passes, one that needs no look at its check; None when there is none."""
    if known.type == "code" and known.element.codes is not None:
        return frozenset().union(*known.element.codes.values()).__contains__
    return AT_ONCE.get(known.type)


def primitive_check(known: Property) -> Check:
    if known.type in VALUES:
        return _value_check(known)
    test, element = TEXTS[known.type], known.element
    address = known.type in ("uri", "url", "canonical")
    codes = frozenset().union(*element.codes.values()) if element.codes is not None and known.type == "code" else None

    def check(walk: Walk, value: Any, way: Way) -> None:
        if type(value) is not str or not test(value):
            bad_value(walk, value, known.type, way)
        elif address and value[0] == "#":
            walk.point(value)

    if codes is None:
        return check
    known_codes = codes

    def check_code(walk: Walk, value: Any, way: Way) -> None:
        if type(value) is str and value in known_codes:
            return
        if type(value) is not str or not test(value):
            bad_value(walk, value, known.type, way)
        else:
            bad_code(walk, value, known_codes, element, way)

    return check_code


def _value_check(known: Property) -> Check:
    test = VALUES[known.type]

    def check(walk: Walk, value: Any, way: Way) -> None:
        if not test(value):
            bad_value(walk, value, known.type, way)

    return check
