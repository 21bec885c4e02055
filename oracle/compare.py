"""Two answers to the same case, side by side: verdict, and the elements that errors stand on.

An error of one side has its counterpart in an error of the other on the same element, on the element that holds it or
on one it holds (what lacks is blamed on itself here, on what should hold it there). What has none is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dmp_fhir.profiles.definitions import is_choice_name, is_choice_property


@dataclass(frozen=True)
class Error:
    """`rule` is our rule id or HAPI's message id; `path` the element, written the same way on both sides."""

    rule: str
    path: str
    text: str


@dataclass(frozen=True)
class Difference:
    """An error that one side alone has (`side`: ours or HAPI); `verdict` when the other side has no error at all."""

    case: str
    side: str
    error: Error
    verdict: bool


# What HAPI says of the holder of something wrong (the slice it should be, the reference to it) beside what is wrong, or
# in its place: we say where it is, once.
HOLDERS = frozenset({"Validation_VAL_Profile_NotSlice", "Validation_VAL_Profile_Minimum_SLICE"})
REFERRERS = frozenset({"Reference_REF_CantMatchChoice", "Reference_REF_CantMatchType"})
# What it says of a concept of which a part is wrong.
CONCEPTS = frozenset({"TYPE_CHECKS_PATTERN_CC", "Terminology_TX_NoValid_1_CC", "Terminology_PassThrough_TX_Message"})
# What HAPI's reader could not read has no message id; HAPI then misses it wherever it was needed.
UNREAD = ""
_NOTE = re.compile(r"/\*.*?\*/")
_TYPED = re.compile(r"\.ofType\(\w+\)")
_URL = re.compile(r"\[url='[^']*'\]")
_STEP = re.compile(r"[a-z]\w*")


def element(path: str | None) -> str:
    """HAPI writes `Bundle.entry[0].resource/*List/null*/.extension[1].value.ofType(Reference)` or `value[x]`,
    and `$` for what is no resource; a choice is named `value` on both sides, and `_status` is `status`."""
    plain = _URL.sub("", _TYPED.sub("", _NOTE.sub("", path or ""))).replace("[x]", "")
    plain = re.sub(r"\._(\w)", r".\1", "Resource" if plain == "$" else plain)
    return _STEP.sub(lambda step: _choice(step[0]), plain)


def _choice(name: str) -> str:
    """`value` for `valueReference`."""
    if is_choice_property(name):
        return next((name[:n] for n in range(1, len(name)) if name[n].isupper() and is_choice_name(name[:n])), name)
    return name


def near(one: str, other: str) -> bool:
    """Whether two ways name the same element, or one the element that holds the other."""
    return one == other or _parent(one) == other or _parent(other) == one or _list(one) == _list(other)


def holds(holder: str, path: str) -> bool:
    return path == holder or path.startswith((holder + ".", holder + "["))


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _list(path: str) -> str:
    """The way to a list, for one of its items."""
    return path[: path.rfind("[")] if path.endswith("]") else path


def primary(errors: Sequence[Error]) -> list[Error]:
    """The errors of HAPI that are no consequence of another one in the same answer."""
    unread = [each for each in errors if each.rule == UNREAD]
    own = unread or [each for each in errors if each.rule not in HOLDERS | REFERRERS]
    return own or list(errors)


def same(ours: Error, hapi: Error) -> bool:
    """Whether the two blame the same thing."""
    if near(ours.path, hapi.path) or hapi.rule in REFERRERS:
        return True
    key = hapi.rule.rsplit("#", 1)[-1]
    return (hapi.rule in HOLDERS | CONCEPTS or key == ours.rule.rsplit("#", 1)[-1]) and holds(hapi.path, ours.path)


def differences(case: str, ours: Sequence[Error], hapi: Sequence[Error]) -> list[Difference]:
    found = [Difference(case, "ours", each, not hapi) for each in ours if not any(same(each, other) for other in hapi)]
    for each in primary(hapi):
        if not any(same(other, each) for other in ours):
            found.append(Difference(case, "HAPI", each, not ours))
    return found
