"""Two answers to the same case, side by side: verdict, and the elements that errors stand on.

An error of one side has its counterpart in an error of the other on the same element, on the element that holds it or
on one it holds (a missing element is blamed on itself here, on its parent there). What has none is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Error:
    """`rule` is our rule id or HAPI's message id; `path` the element, written the same way on both sides."""

    rule: str
    path: str
    text: str


@dataclass(frozen=True)
class Answer:
    errors: tuple[Error, ...]
    seconds: float


@dataclass(frozen=True)
class Difference:
    """An error that one side alone has; `verdict` when the other side has no error at all."""

    case: str
    side: str
    error: Error
    verdict: bool


_NOTE = re.compile(r"/\*.*?\*/")
_TYPED = re.compile(r"\.ofType\((\w+)\)")
_INDEX = re.compile(r"\[\d+\]")


def element(path: str | None) -> str:
    """HAPI writes `Bundle.entry[0].resource/*List/null*/.extension[1].value.ofType(Reference)`; a choice is named
    `value` on both sides, and `_status` is `status`."""
    path = _TYPED.sub("", _NOTE.sub("", path or ""))
    path = re.sub(r"\.value[A-Z]\w*", ".value", path)
    return re.sub(r"\._(\w)", r".\1", path)


def near(one: str, other: str) -> bool:
    """Whether two ways name the same element, or one the parent of the other."""
    return one == other or _parent(one) == other or _parent(other) == one or _list(one) == _list(other)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _list(path: str) -> str:
    """The way to a list, for one of its items."""
    return path[: path.rfind("[")] if path.endswith("]") else path


def differences(case: str, ours: Iterable[Error], hapi: Iterable[Error]) -> list[Difference]:
    sides = {"ours": list(ours), "HAPI": list(hapi)}
    found = []
    for side, other in (("ours", "HAPI"), ("HAPI", "ours")):
        for each in sides[side]:
            if not any(near(each.path, theirs.path) for theirs in sides[other]):
                found.append(Difference(case, side, each, not sides[other]))
    return found
