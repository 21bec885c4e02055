"""Addresses below the endpoint, of a request or of an entry of a bundle: each has one meaning, or none (TF-115).

https://hl7.org/fhir/R4/http.html#general
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TYPE = re.compile(r"[A-Za-z]{1,40}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_OPERATION = re.compile(r"[_$][A-Za-z0-9-]{1,64}", re.ASCII)


class Address(NamedTuple):
    """`[type]`, `[type]/[operation]`, `[type]/[id]`, `[type]/[id]/$[operation]`, `[type]/[id]/_history` or
    `[type]/[id]/_history/[version]`."""

    resource_type: str
    id: str | None = None
    operation: str | None = None
    version: str | None = None


def address_of(path: str) -> Address | None:
    """The address that a decoded path spells, without query; None when it spells none."""
    steps = path.split("/")
    if len(steps) > 4 or not _TYPE.fullmatch(steps[0]):
        return None
    if len(steps) == 2 and _OPERATION.fullmatch(steps[1]):
        return Address(steps[0], operation=steps[1])
    if len(steps) == 3 and _ID.fullmatch(steps[1]) and steps[2][:1] == "$" and _OPERATION.fullmatch(steps[2]):
        return Address(steps[0], steps[1], steps[2])
    if not all(_ID.fullmatch(step) for step in (*steps[1:2], *steps[3:])) or steps[2:3] not in ([], ["_history"]):
        return None
    return Address(steps[0], *steps[1:])
