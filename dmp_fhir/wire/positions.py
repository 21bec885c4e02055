"""Where in the bytes an element stands: line and column, from 1, of the FHIRPath of an issue.

For an element that isn't there, the nearest one above it that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

Position = tuple[int, int]
Step = tuple[str, int | None]

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[([0-9]+)\])?")
_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\s]+")


def locator(data: bytes) -> Callable[[str | None], Position | None]:
    """Reads the bytes of a resource, JSON or XML, that have been parsed safely (wire/json.py, wire/xml.py); the answer
    tells the position of an expression."""
    if data.lstrip()[:1] == b"<":
        root = _xml_elements(data)
        return lambda expression: _in_xml(root, _steps(expression)) if expression else None
    text = data.decode("utf-8-sig")
    return lambda expression: _in_json(text, _steps(expression)) if expression else None


def _steps(expression: str) -> list[Step]:
    """The steps below the resource; what isn't a name and an index ends them."""
    steps: list[Step] = []
    for part in expression.split(".")[1:]:
        found = _STEP.fullmatch(part)
        if found is None:
            break
        steps.append((found[1], int(found[2]) if found[2] else None))
    return steps


# JSON -----------------------------------------------------------------------------------------------------------------


def _in_json(text: str, steps: list[Step]) -> Position:
    at = _blank(text, 0)
    for name, index in steps:
        below = _member(text, at, name)
        if below is not None and index is not None:
            below = _item(text, below, index)
        if below is None:
            break
        at = below
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _blank(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr]


def _string(text: str, at: int) -> int:
    return _STRING.match(text, at).end()  # type: ignore[union-attr]


def _past(text: str, at: int) -> int:
    """The place after the value that begins here."""
    if text[at] == '"':
        return _string(text, at)
    if text[at] not in "{[":
        return _SCALAR.match(text, at).end()  # type: ignore[union-attr]
    depth = 0
    while True:
        mark = text[at]
        if mark == '"':
            at = _string(text, at)
            continue
        depth += (mark in "{[") - (mark in "}]")
        at += 1
        if not depth:
            return at


def _member(text: str, at: int, name: str) -> int | None:
    """Where the value of a member of the object at this place begins."""
    if text[at] != "{":
        return None
    at = _blank(text, at + 1)
    while text[at] == '"':
        end = _string(text, at)
        key = text[at + 1 : end - 1]
        at = _blank(text, _blank(text, end) + 1)
        if key == name:
            return at
        at = _blank(text, _past(text, at))
        if text[at] == ",":
            at = _blank(text, at + 1)
    return None


def _item(text: str, at: int, index: int) -> int | None:
    if text[at] != "[":
        return None
    at = _blank(text, at + 1)
    while text[at] != "]":
        if not index:
            return at
        index -= 1
        at = _blank(text, _past(text, at))
        if text[at] == ",":
            at = _blank(text, at + 1)
    return None


# XML ------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Element:
    name: str
    position: Position
    below: list[_Element] = field(default_factory=list)


def _xml_elements(data: bytes) -> _Element:
    """The elements with their places. The bytes have no document type (wire/xml.py refuses it), so nothing expands."""
    root = _Element("", (1, 1))
    open_elements = [root]
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, attributes: dict[str, str]) -> None:
        position = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        element = _Element(name.rpartition(" ")[2], position)
        open_elements[-1].below.append(element)
        open_elements.append(element)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: open_elements.pop() and None
    parser.Parse(data, True)
    return root.below[0]


def _in_xml(element: _Element, steps: list[Step]) -> Position:
    for name, index in steps:
        same = [each for each in element.below if each.name == name.removeprefix("_")]
        if (index or 0) >= len(same):
            break
        element = same[index or 0]
        if name in ("contained", "resource") and element.below:
            element = element.below[0]  # the resource inside
    return element.position
