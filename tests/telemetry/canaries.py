"""Markers that must be seen nowhere, and the forms in which they might be: area F of the catalogue."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

# What a refusal never says: statements, places and names of the program (TF-152). XDSRepositoryMetadataError and
# UnresolvedReferenceException are codes of IHE (ITI TF-3, table 4.2.4.1-2), not classes.
INNER = re.compile(
    r"\bSELECT\b|INSERT INTO|UPDATE \w+ SET|sqlite|apsw|psycopg|postgres|Traceback|\.py\b|site-packages"
    r"|/(tmp|home|root|usr)/|\b(?!XDS|UnresolvedReferenceException)\w+(Error|Exception)\b|dmp_fhir\.|object at 0x"
    r"|werkzeug|flask|granian"
)


def forms(value: str | bytes) -> dict[str, set[bytes]]:
    """Every form of a value, by the name of the encoding; base64 at its three alignments, without the ends."""
    raw = value if isinstance(value, bytes) else value.encode()
    found = {
        "base64": {each for shift in range(3) for each in _base64(raw, shift)},
        "hex": {raw.hex().encode(), raw.hex().upper().encode()},
        "URL": {b"".join(b"%%%02X" % byte for byte in raw), b"".join(b"%%%02x" % byte for byte in raw)},
    }
    if isinstance(value, str):
        found["plain"] = {raw, value.lower().encode(), value.upper().encode()}
        found["URL"] |= {quote(value).encode(), quote(value, safe="").encode(), quote_plus(value).encode()}
        found["JSON"] = {json.dumps(value)[1:-1].encode(), "".join(f"\\u{ord(each):04x}" for each in value).encode()}
        found["UTF-16"] = {value.encode("utf-16-le"), value.encode("utf-16-be")}
    else:
        found["plain"] = {raw}
    return found


def _base64(raw: bytes, shift: int) -> Iterator[bytes]:
    for encode in (b64encode, urlsafe_b64encode):
        text = encode(bytes(shift) + raw)
        yield text[-(-shift * 4 // 3) : len(text) - 4 if len(text) > 12 else len(text)]


class Scanner:
    """Looks for canaries, in all their forms, in texts and files."""

    def __init__(self, canaries: dict[str, str | bytes]) -> None:
        self._forms = [
            (name, encoding, form)
            for name, value in canaries.items()
            for encoding, each in forms(value).items()
            for form in each
        ]
        self.names = list(canaries)
        self.looked = 0

    def found_in(self, content: bytes, where: str) -> list[str]:
        self.looked += len(self._forms)
        return [f"{name} ({encoding}) in {where}" for name, encoding, form in self._forms if form in content]

    def found_below(self, folder: Path) -> list[str]:
        """In the files of a folder, their names included."""
        found = []
        for path in sorted(folder.rglob("*")):
            found += self.found_in(str(path.relative_to(folder)).encode(), f"the name of {path.name}")
            if path.is_file():
                found += self.found_in(path.read_bytes(), path.name)
        return found
