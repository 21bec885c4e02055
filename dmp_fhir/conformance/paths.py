"""A small subset of FHIRPath, enough to say where to look in an answer (http://hl7.org/fhirpath/N1/).

    entry.where(search.mode = 'match').resource.id      names flatten; where keeps
    issue[0].details.coding.code                        one item
    extension('https://…').valueBoolean                 by url
    entry.resource.ofType(List).title                   resources of a type
    link.count()    total.exists()    entry.last()

Anything else is a `BadPath`, said when the scenarios are loaded, never during a run. Values are compared as the text
that FHIR writes (`text_of`), so that a path means the same on an answer in JSON and in XML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

Step = Callable[[list[Any]], list[Any]]
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)|'([^']*)'|(-?[0-9]+)|(!=|[.=()\[\]]))")


class BadPath(ValueError):
    """A path that this subset can't read."""


def evaluate(path: str, tree: Any) -> list[Any]:
    """The items that a path finds in a tree, in order; [] when there are none."""
    items = [tree]
    for step in _compiled(path):
        items = step(items)
    return items


def check(path: str) -> None:
    """BadPath when the path can't be read."""
    _compiled(path)


def text_of(value: Any) -> str:
    """The text that FHIR writes for a primitive value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@cache
def _compiled(path: str) -> tuple[Step, ...]:
    tokens = _tokens(path)
    steps = _steps(tokens)
    if tokens:
        raise BadPath(f"{path}: what is {tokens[0]!r} doing there?")
    return tuple(steps)


def _tokens(path: str) -> list[str]:
    tokens, at = [], 0
    while at < len(path.rstrip()):
        match = _TOKEN.match(path, at)
        if match is None:
            raise BadPath(f"{path}: unreadable from {path[at:]!r}")
        name, text, number, sign = match.groups()
        tokens.append(f"'{text}" if text is not None else name or number or sign)
        at = match.end()
    return tokens


def _steps(tokens: list[str]) -> list[Step]:
    """A chain of names, functions and indexes; takes its tokens away."""
    steps = [_one(tokens)]
    while tokens and tokens[0] in (".", "["):
        if tokens.pop(0) == ".":
            steps.append(_one(tokens))
        else:
            number = _expect(tokens, str.isdigit, "an index")
            _expect(tokens, "]".__eq__, "]")
            steps.append(_index(int(number)))
    return steps


def _expect(tokens: list[str], wanted: Callable[[str], bool], what: str) -> str:
    if not tokens or not wanted(tokens[0]):
        raise BadPath(f"{what} is expected before {' '.join(tokens) or 'the end'}")
    return tokens.pop(0)


def _one(tokens: list[str]) -> Step:
    name = _expect(tokens, lambda each: each[0].isalpha() or each[0] == "_", "a name")
    if not tokens or tokens[0] != "(":
        return lambda items: [value for item in items for value in children(item, name)]
    tokens.pop(0)
    if name == "where":
        conditions = [_condition(tokens)]
        while tokens and tokens[0] == "and":
            tokens.pop(0)
            conditions.append(_condition(tokens))
        step: Step = lambda items: [each for each in items if all(holds(each) for holds in conditions)]  # noqa: E731
    elif name == "extension":
        url = _expect(tokens, lambda each: each[0] == "'", "a text")[1:]
        step = lambda items: [  # noqa: E731
            each
            for item in items
            for each in children(item, "extension")
            if isinstance(each, dict) and each.get("url") == url
        ]
    elif name == "ofType":
        kind = _expect(tokens, str.isalpha, "a type")
        step = lambda items: [  # noqa: E731
            each for each in items if isinstance(each, dict) and each.get("resourceType") == kind
        ]
    elif name in _FUNCTIONS:
        step = _FUNCTIONS[name]
    else:
        raise BadPath(f"there is no function {name}()")
    _expect(tokens, ")".__eq__, ")")
    return step


def _condition(tokens: list[str]) -> Callable[[Any], bool]:
    steps = _steps(tokens)
    wanted: str | None = None
    sign = "="
    if tokens and tokens[0] in ("=", "!="):
        sign = tokens.pop(0)
        literal = _expect(tokens, lambda each: each not in (".", "(", ")", "[", "]"), "a value")
        wanted = literal[1:] if literal[0] == "'" else literal

    def holds(item: Any) -> bool:
        found = [item]
        for step in steps:
            found = step(found)
        if wanted is None:
            return found not in ([], [False])
        return (wanted in map(text_of, found)) == (sign == "=")

    return holds


def _index(number: int) -> Step:
    return lambda items: items[number : number + 1]


_FUNCTIONS: dict[str, Step] = {
    "first": lambda items: items[:1],
    "last": lambda items: items[-1:],
    "count": lambda items: [len(items)],
    "exists": lambda items: [bool(items)],
}


def children(item: Any, name: str) -> Iterable[Any]:
    """The values of an element of one item."""
    if not isinstance(item, dict) or name not in item:
        return []
    value = item[name]
    return value if isinstance(value, list) else [value]
