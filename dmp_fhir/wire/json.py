"""JSON bytes to resource trees and back. https://hl7.org/fhir/R4/json.html

A tree is made of dict, list, str, bool, int, None and `Digits`. Reading is strict: what two parsers could read
differently is refused (duplicate names, NaN, broken text). orjson reads; a body with anything unusual in it is read a
second time, token by token, to find the fault and its place, or to keep the digits of its decimals.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from dmp_fhir.wire.limits import DEFAULT, Limits, check_entries, check_sizes, refuse_at, too_long

# A number longer than this is no measurement; Python and other readers would spend long on it (TF-103).
LONGEST_NUMBER = 64
NONCHARACTERS = "\ufdd0-\ufdef" + "".join(chr((p << 16) + 0xFFFE) + chr((p << 16) + 0xFFFF) for p in range(17))
# Not text: C0 controls but tab, line feed and return, and code points that are no characters (TF-104).
FORBIDDEN_TEXT = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f{NONCHARACTERS}]")
_ESCAPED_CONTROL = re.compile(rb"\\(?:u00[01]|u[Ff]|ud[89ab]|uD[89AB]|[bf])")
_NAME_END = re.compile(rb'"[ \t\r\n]*:')
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Digits(Decimal):
    """A decimal that keeps the digits it was written with: 1.50 is not written back as 1.5.
    https://hl7.org/fhir/R4/datatypes.html#decimal"""

    text: str

    def __new__(cls, text: str) -> Digits:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __reduce__(self) -> tuple[type[Digits], tuple[str]]:
        return Digits, (self.text,)

    def __copy__(self) -> Digits:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Digits:
        return self


def number(text: str) -> int | Digits:
    """The value of a JSON number whose form has been checked."""
    return Digits(text) if text == "-0" or not text.lstrip("-").isdigit() else int(text)


def parse_json(data: bytes, limits: Limits = DEFAULT) -> dict[str, Any]:
    """Read one JSON object. Refuses with 400 `structure` (place in the text) or 413 `too-long`."""
    tree = parse_value(data, limits)
    if type(tree) is not dict:
        fr, en = "un objet JSON (une ressource) est attendu.", "a JSON object (a resource) is expected."
        refuse_at(1, 1, fr, en, rule="TF-108")
    check_entries(tree, limits)
    return tree


def parse_value(data: bytes, limits: Limits = DEFAULT) -> Any:
    """Read any JSON text (a JSON Patch is an array); as strict as `parse_json`."""
    if len(data) > limits.body:
        too_long(f"{len(data)} bytes", f"{limits.body} bytes")
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as fault:
        _refuse_unreadable(data, fault)
    names, odd_numbers = _survey(tree, limits)
    if len(data) > limits.resource:
        check_sizes(len(data), *_content(tree), limits)
    # A text has at least as many name ends as names: equal to those of the tree only if none was written twice.
    if odd_numbers or names != len(_NAME_END.findall(data)) or _unusual(data):
        text = data.decode()
        _check_tokens(text)
        tree = json.loads(text, parse_float=number, parse_int=number)
    return tree


def dump_json(tree: Any) -> bytes:
    """Write a tree, without white space, decimals with their digits."""
    return orjson.dumps(tree, default=_write_digits)


def _write_digits(value: Any) -> orjson.Fragment:
    if isinstance(value, Digits):
        return orjson.Fragment(value.text.encode())
    raise TypeError(f"not part of a resource tree: {type(value).__name__}")


def _unusual(data: bytes) -> bool:
    """Escapes or code points that may stand for what is no text."""
    if b"\\" in data and _ESCAPED_CONTROL.search(data):
        return True
    return not data.isascii() and (b"\xbf\xbe" in data or b"\xbf\xbf" in data or b"\xef\xb7" in data)


def _survey(tree: Any, limits: Limits) -> tuple[int, bool]:
    """Number of property names, and whether a number may lose its digits: a decimal, or a zero that may have been -0.
    Level by level, so that depth costs no recursion."""
    names = 0
    odd_numbers = type(tree) in (float, int)
    level: list[Any] = [tree] if type(tree) in (dict, list) else []
    depth = 0
    while level:
        depth += 1
        if depth > limits.depth:
            refuse_at(
                1,
                1,
                f"plus de {limits.depth} niveaux d'imbrication.",
                f"nested more than {limits.depth} levels deep.",
                rule="TF-101",
            )
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                names += len(node)
                values: Any = node.values()
            else:
                if len(node) > limits.items:
                    too_long(f"{len(node)} array elements", str(limits.items))
                values = node
            for value in values:
                kind = type(value)
                if kind is dict or kind is list:
                    below.append(value)
                elif kind is float or (kind is int and value == 0):
                    odd_numbers = True
        level = below
    return names, odd_numbers


def _content(tree: Any) -> tuple[int, int]:
    """Characters in `data` properties, and number of resources."""
    characters = 0
    resources = 0
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        if type(node) is dict:
            data = node.get("data")
            if type(data) is str:
                characters += len(data)
            resources += "resourceType" in node
            pending.extend(node.values())
        elif type(node) is list:
            pending.extend(node)
    return characters, resources


def _refuse_text(text: str, position: int, fr: str, en: str, rule: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    refuse_at(line, position - text.rfind("\n", 0, position), fr, en, rule=rule)


def _refuse_unreadable(data: bytes, fault: orjson.JSONDecodeError) -> NoReturn:
    if not data.strip(b" \t\r\n"):
        fr, en = "le corps est vide ; une ressource est attendue.", "the body is empty; send a resource."
        refuse_at(1, 1, fr, en, rule="TF-108")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00")) or data[1:2] == b"\x00":
        refuse_at(
            1,
            1,
            "envoyez de l'UTF-8 sans marque d'ordre (BOM).",
            "send UTF-8 without a byte order mark.",
            rule="TF-104",
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as broken:
        good = data[: broken.start].decode()
        _refuse_text(good, len(good), "ces octets ne sont pas de l'UTF-8.", "these bytes are not UTF-8.", "TF-104")
    if "depth" in fault.msg:
        _refuse_text(text, fault.pos, "trop de niveaux d'imbrication.", "nested too deeply.", "TF-101")
    rule = "TF-103" if "number" in fault.msg else "TF-104"
    position = min(fault.pos, len(text))
    _refuse_text(text, position, "ce n'est pas du JSON (RFC 8259).", f"this is not JSON (RFC 8259): {fault.msg}.", rule)


def _check_tokens(text: str) -> None:
    """Refuse the first duplicate name, forbidden character or number out of range of a well-formed JSON text."""
    open_names: list[set[str] | None] = []
    at_name = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first == '"':
            value = orjson.loads(token) if "\\" in token else token[1:-1]
            if FORBIDDEN_TEXT.search(value):
                fr = "ce texte contient un caractère de contrôle ou un code qui n'est pas un caractère."
                en = "this text holds a control character or a code point that is no character."
                _refuse_text(text, match.start(), fr, en, "TF-104")
            names = open_names[-1] if open_names else None
            if at_name and names is not None:
                if value in names:
                    fr = f"la propriété « {value[:64]} » est donnée deux fois dans le même objet."
                    en = f"property '{value[:64]}' is given twice in the same object."
                    _refuse_text(text, match.start(), fr, en, "TF-102")
                names.add(value)
            at_name = False
        elif first == "{":
            open_names.append(set())
            at_name = True
        elif first == "[":
            open_names.append(None)
            at_name = False
        elif first in "}]":
            open_names.pop()
        elif first == ",":
            at_name = open_names[-1] is not None
        elif first in "-0123456789" and not in_range(token):
            fr = f"nombre hors limites ({LONGEST_NUMBER} caractères, grandeur d'un flottant double)."
            en = f"number out of range ({LONGEST_NUMBER} characters, magnitude of a double)."
            _refuse_text(text, match.start(), fr, en, "TF-103")


def in_range(token: str) -> bool:
    """Whether a written number has a reasonable length and neither overflows nor vanishes as a double."""
    if len(token) > LONGEST_NUMBER:
        return False
    value = abs(float(token))
    mantissa = token.lower().split("e")[0]
    return value != float("inf") and (value > 0.0 or not mantissa.strip("-0."))
