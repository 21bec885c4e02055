"""JSON that means one thing only, for what others say about a caller: tokens, keys, answers of their services."""

from __future__ import annotations

import json
from typing import Any, NoReturn

_LONGEST_NUMBER = 15


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate names (TF-066)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("number too long")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError("not an integer")


def json_object(raw: bytes) -> dict[str, Any]:
    """The object of a JSON text in UTF-8: no duplicate names, whole numbers only. ValueError when it is not that."""
    try:
        tree = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except RecursionError as deep:
        raise ValueError("nested too deep") from deep
    if not isinstance(tree, dict):
        raise ValueError("not an object")
    return tree
