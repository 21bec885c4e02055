"""The functions of FHIRPath that invariants call. `LAMBDAS` take a criterion evaluated on each item, `FUNCTIONS` take
collections; each with the numbers of arguments it understands. http://hl7.org/fhirpath/N1/#functions
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from dmp_fhir.profiles.fhirpath_values import Primitive, distinct, holds, plain, text_of, truth
from dmp_fhir.profiles.narrative import read_div

Items = list[Any]
Criterion = Callable[[Items, Any], Items]


def _where(items: Items, criterion: Criterion, env: Any) -> Items:
    return [item for item in items if truth(criterion([item], env))]


def _select(items: Items, criterion: Criterion, env: Any) -> Items:
    return [found for item in items for found in criterion([item], env)]


def _all(items: Items, criterion: Criterion, env: Any) -> Items:
    return [all(truth(criterion([item], env)) for item in items)]


def _exists(items: Items, criterion: Criterion | None, env: Any) -> Items:
    if criterion is None:
        return [bool(items)]
    return [any(truth(criterion([item], env)) for item in items)]


def _repeat(items: Items, criterion: Criterion, env: Any) -> Items:
    found: Items = []
    fresh = items
    while fresh:
        fresh = [item for item in _select(fresh, criterion, env) if not holds(found, item)]
        found += fresh
    return found


LAMBDAS: dict[str, tuple[Callable[..., Items], tuple[int, ...]]] = {
    "where": (_where, (1,)),
    "select": (_select, (1,)),
    "all": (_all, (1,)),
    "exists": (_exists, (0, 1)),
    "repeat": (_repeat, (1,)),
}


def _not(items: Items) -> Items:
    value = truth(items)
    return [] if value is None else [not value]


def _has_value(items: Items) -> Items:
    return [len(items) == 1 and type(plain(items[0])) is not dict and plain(items[0]) is not None]


def children(item: Any) -> Items:
    """Every element directly under an item."""
    if type(item) is Primitive:
        return children(item.beside)
    found: Items = []
    if type(item) is dict:
        for name, value in item.items():
            if name == "resourceType":
                continue
            for each in value if type(value) is list else (value,):
                if name[:1] != "_":
                    found.append(each)
                elif type(each) is dict and name[1:] not in item:
                    found.append(Primitive(None, each))
    return [each for each in found if each is not None]


def _descendants(items: Items) -> Items:
    found: Items = []
    fresh = items
    while fresh:
        fresh = [child for item in fresh for child in children(item)]
        found += fresh
    return found


def _text(items: Items) -> str | None:
    value = plain(items[0]) if items else None
    return value if type(value) is str else None


def _on_text(function: Callable[..., Any]) -> Callable[..., Items]:
    """A function of a text and of texts or whole numbers; empty when one is missing."""

    def run(items: Items, *arguments: Items) -> Items:
        text = _text(items)
        given = [_argument(each) for each in arguments]
        if text is None or None in given:
            return []
        return [answer] if (answer := function(text, *given)) is not None else []

    return run


def _argument(items: Items) -> Any:
    value = plain(items[0]) if items else None
    return int(value) if isinstance(value, Decimal) and abs(value) < 2**31 else value


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not 0 <= start < len(text):
        return None
    return text[start:] if length is None else text[start : start + length]


def _to_integer(items: Items) -> Items:
    value = plain(items[0]) if items else None
    if type(value) is bool:
        return [int(value)]
    if type(value) is int:
        return [value]
    return [int(value)] if type(value) is str and re.fullmatch(r"[+-]?[0-9]{1,18}", value, re.ASCII) else []


def _to_decimal(items: Items) -> Items:
    value = plain(items[0]) if items else None
    if type(value) is int or isinstance(value, Decimal):
        return [Decimal(value)]
    try:
        return [Decimal(value)] if type(value) is str else []
    except InvalidOperation:
        return []


def _to_string(items: Items) -> Items:
    text = text_of(items[0]) if items else None
    return [] if text is None else [text]


def _count(argument: Items) -> int:
    value = _argument(argument)
    return max(value, 0) if type(value) is int else 0


def _html_checks(items: Items) -> Items:
    for item in items:
        try:
            read_div(str(plain(item)))
        except ValueError:
            return [False]
    return [True]


def _extension(items: Items, url: Items) -> Items:
    wanted, found = _text(url), []
    for item in items:
        holder = item.beside if type(item) is Primitive else item
        given = holder.get("extension") if type(holder) is dict else None
        if type(given) is list:
            found += [each for each in given if type(each) is dict and each.get("url") == wanted]
    return found


FUNCTIONS: dict[str, tuple[Callable[..., Items], tuple[int, ...]]] = {
    "empty": (lambda items: [not items], (0,)),
    "not": (_not, (0,)),
    "hasValue": (_has_value, (0,)),
    "count": (lambda items: [len(items)], (0,)),
    "distinct": (distinct, (0,)),
    "isDistinct": (lambda items: [len(distinct(items)) == len(items)], (0,)),
    "first": (lambda items: items[:1], (0,)),
    "last": (lambda items: items[-1:], (0,)),
    "single": (lambda items: items if len(items) == 1 else [], (0,)),
    "tail": (lambda items: items[1:], (0,)),
    "skip": (lambda items, number: items[_count(number) :], (1,)),
    "take": (lambda items, number: items[: _count(number)], (1,)),
    "children": (lambda items: [child for item in items for child in children(item)], (0,)),
    "descendants": (_descendants, (0,)),
    "trace": (lambda items, *_: items, (1, 2)),
    "combine": (lambda items, other: [*items, *other], (1,)),
    "union": (lambda items, other: distinct([*items, *other]), (1,)),
    "intersect": (lambda items, other: distinct([item for item in items if holds(other, item)]), (1,)),
    "exclude": (lambda items, other: [item for item in items if not holds(other, item)], (1,)),
    "subsetOf": (lambda items, other: [all(holds(other, item) for item in items)], (1,)),
    "supersetOf": (lambda items, other: [all(holds(items, item) for item in other)], (1,)),
    "allTrue": (lambda items: [all(plain(item) is True for item in items)], (0,)),
    "anyTrue": (lambda items: [any(plain(item) is True for item in items)], (0,)),
    "allFalse": (lambda items: [all(plain(item) is False for item in items)], (0,)),
    "anyFalse": (lambda items: [any(plain(item) is False for item in items)], (0,)),
    "startsWith": (_on_text(lambda text, other: text.startswith(other)), (1,)),
    "endsWith": (_on_text(lambda text, other: text.endswith(other)), (1,)),
    "contains": (_on_text(lambda text, other: other in text), (1,)),
    # The whole text: so mean the unanchored patterns of R4's own invariants (adf-0, eld-20).
    "matches": (_on_text(lambda text, other: _pattern(other).fullmatch(text) is not None), (1,)),
    "replace": (_on_text(lambda text, old, new: text.replace(old, new)), (2,)),
    "replaceMatches": (_on_text(lambda text, old, new: _pattern(old).sub(new, text)), (2,)),
    "substring": (_on_text(_substring), (1, 2)),
    "indexOf": (_on_text(lambda text, other: text.find(other)), (1,)),
    "length": (_on_text(len), (0,)),
    "upper": (_on_text(str.upper), (0,)),
    "lower": (_on_text(str.lower), (0,)),
    "toString": (_to_string, (0,)),
    "toInteger": (_to_integer, (0,)),
    "toDecimal": (_to_decimal, (0,)),
    "htmlChecks": (_html_checks, (0,)),
    "extension": (_extension, (1,)),
}
