"""How values are written in the search tables, so that what is stored and what is asked for meet."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# An entry of a PostgreSQL index holds 2.7 kB: longer values are indexed by their digest, longer texts by their start.
LONGEST_VALUE = 512
LONGEST_TEXT = 256

_LITERAL = re.compile(r"([A-Z][A-Za-z]{1,31})/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
_JOINERS = str.maketrans(dict.fromkeys("-‐‑–'’ʼ", " "))


def fold(text: str) -> str:
    """Letters without case nor accents, hyphens and apostrophes as blanks, single blanks: what texts are compared by.

    >>> fold("  Élodie LE-GOFF ")
    'elodie le goff'
    """
    letters = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(unicodedata.normalize("NFC", plain).translate(_JOINERS).split())


def bounded(value: str) -> str:
    """The value as indexed: itself, or its digest when it is too long for an index."""
    raw = value.encode()
    return value if len(raw) <= LONGEST_VALUE else "sha256:" + hashlib.sha256(raw).hexdigest()


def literal(reference: str) -> tuple[str, str] | None:
    """Type and id of a relative literal reference (`DocumentReference/1`, a version of it included); None for any
    other."""
    match = _LITERAL.fullmatch(reference)
    return (match[1], match[2]) if match else None
