"""What FHIRPath operators do with values: equality, order, arithmetic, truth.

An item of a collection is a value of a resource tree, or a `Primitive` when the value has an id or extensions beside it
(`_status`). http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from dmp_fhir.profiles.primitives import date_interval

_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?")


class Primitive:
    """A primitive with what stands beside it: `value` is None when only extensions are given."""

    __slots__ = ("beside", "value")

    def __init__(self, value: Any, beside: dict[str, Any]) -> None:
        self.value = value
        self.beside = beside


def plain(item: Any) -> Any:
    """The item without what stands beside it."""
    return item.value if type(item) is Primitive else item


def is_number(value: Any) -> bool:
    return (type(value) is int or isinstance(value, Decimal)) and type(value) is not bool


def truth(items: Sequence[Any]) -> bool | None:
    """A collection where a boolean is expected: empty is None, one item that is no boolean is true
    (http://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections)."""
    if not items:
        return None
    value = plain(items[0])
    return value if type(value) is bool else True


def same(left: Any, right: Any) -> bool | None:
    """Whether two items are equal; None when dates of different precision don't tell."""
    left, right = plain(left), plain(right)
    if type(left) is bool or type(right) is bool:
        return left is right
    if is_number(left) and is_number(right):
        return bool(left == right)
    if type(left) is str and type(right) is str:
        if left == right:
            return True
        if len(left) > 10 and len(right) > 10 and _DATE.fullmatch(left) and _DATE.fullmatch(right):
            order = compare(left, right)
            return None if order is None else order == 0
        return False
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(_same_json(left[name], right[name]) for name in left)
    return False


def _same_json(left: Any, right: Any) -> bool:
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(_same_json, left, right))
    return left is right or same(left, right) is True


def compare(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; None when the two can't be ordered (different kinds, or dates whose precision doesn't tell)."""
    left, right = plain(left), plain(right)
    if is_number(left) and is_number(right):
        return (left > right) - (left < right)
    if type(left) is str and type(right) is str:
        if _DATE.fullmatch(left) and _DATE.fullmatch(right):
            return _compare_dates(left, right)
        return (left > right) - (left < right)
    if type(left) is dict and type(right) is dict and _unit(left) == _unit(right):
        return compare(left["value"], right["value"]) if "value" in left and "value" in right else None
    return None


def _unit(quantity: dict[str, Any]) -> tuple[Any, Any]:
    return quantity.get("system"), quantity.get("code", quantity.get("unit"))


def _compare_dates(left: str, right: str) -> int | None:
    try:
        one, other = date_interval(left), date_interval(right)
    except ValueError:
        return None
    if one == other:
        return 0
    if one[1] <= other[0]:
        return -1
    if one[0] >= other[1]:
        return 1
    if len(left) > 10 and len(right) > 10:  # seconds and milliseconds are one precision
        return (one[0] > other[0]) - (one[0] < other[0])
    return None


def equal(left: Sequence[Any], right: Sequence[Any]) -> list[bool]:
    """`=`: empty when a side is empty."""
    if not left or not right:
        return []
    if len(left) != len(right):
        return [False]
    answers = [same(a, b) for a, b in zip(left, right, strict=True)]
    if False in answers:
        return [False]
    return [] if None in answers else [True]


def holds(items: Sequence[Any], wanted: Any) -> bool:
    return any(same(item, wanted) is True for item in items)


def distinct(items: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    seen: set[Any] = set()
    for item in items:
        value = plain(item)
        if type(value) is str:
            if value not in seen:
                seen.add(value)
                kept.append(item)
        elif not holds(kept, value):
            kept.append(item)
    return kept


def arithmetic(operator: str, left: Any, right: Any) -> list[Any]:
    left, right = plain(left), plain(right)
    if operator == "+" and type(left) is str and type(right) is str:
        return [left + right]
    if not is_number(left) or not is_number(right):
        return []
    try:
        return [_ARITHMETIC[operator](Decimal(left), Decimal(right))]
    except ArithmeticError:  # division by zero, more digits than decimals have
        return []


_ARITHMETIC: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "div": lambda left, right: left // right,
    "mod": lambda left, right: left % right,
}


def text_of(value: Any) -> str | None:
    """toString()."""
    value = plain(value)
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str:
        return value
    return getattr(value, "text", None) or str(value) if is_number(value) else None
