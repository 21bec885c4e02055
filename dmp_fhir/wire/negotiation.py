"""Which format a body is in and which one the answer takes; what `Prefer` asks for. Pure functions over header texts.

https://hl7.org/fhir/R4/http.html#mime-type, https://hl7.org/fhir/R4/http.html#ops, RFC 9110 sections 8.3 and 12.5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NoReturn

from dmp_fhir.outcome import refuse

FHIR_VERSIONS = frozenset({"4.0", "4.0.1"})


class Format(StrEnum):
    """A wire format; the value is its media type."""

    JSON = "application/fhir+json"
    XML = "application/fhir+xml"

    @property
    def content_type(self) -> str:
        return f"{self.value}; charset=utf-8"


class PatchFormat(StrEnum):
    """A patch body; the value is its media type. FHIRPath patches come as FHIR `Parameters`."""

    JSON_PATCH = "application/json-patch+json"
    XML_PATCH = "application/xml-patch+xml"
    PARAMETERS_JSON = Format.JSON.value
    PARAMETERS_XML = Format.XML.value


_BODIES = {
    "application/fhir+json": Format.JSON,
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    "application/fhir+xml": Format.XML,
    "application/xml": Format.XML,
    "text/xml": Format.XML,
}
# `_format` also takes short names, and '+' reaches us as a blank when a client did not encode it.
_FORMATS = _BODIES | {"json": Format.JSON, "xml": Format.XML, "application/fhir json": Format.JSON}
_FORMATS |= {"application/fhir xml": Format.XML, "html": Format.JSON, "text/html": Format.JSON}
_PATCHES = {each.value: each for each in PatchFormat}
# More media ranges than any client sends; reading a longer list would be work for nothing.
_MOST_RANGES = 50


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type in lower case with its parameters, names in lower case."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        return next((value for key, value in self.parameters if key == name), None)


@dataclass(frozen=True, slots=True)
class Preferences:
    """`returns`: minimal, representation or OperationOutcome; `lenient`: unknown search parameters ignored (D11)."""

    returns: str | None = None
    lenient: bool = False
    async_answer: bool = False


def media_type(text: str) -> MediaType | None:
    """Read a media type; None when it is not one or when a parameter is repeated."""
    name, *rest = _split(text, ";")
    name = name.strip().lower()
    main, slash, sub = name.partition("/")
    if not (slash and _is_token(main) and _is_token(sub)):
        return None
    parameters: list[tuple[str, str]] = []
    for part in rest:
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if not equals or not _is_token(key) or any(key == known for known, _ in parameters):
            return None
        parameters.append((key, value.strip().strip('"')))
    return MediaType(name, tuple(parameters))


def _split(text: str, separator: str) -> list[str]:
    """Split outside of quoted strings."""
    if '"' not in text:
        return text.split(separator)
    parts, start, quoted = [], 0, False
    for at, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == separator and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in text)


def body_format(content_type: str | None, content_encoding: str | None = None) -> Format:
    """The format of a request body. Refuses with 415 what is no FHIR R4 in UTF-8 (TF-111) or is compressed (TF-112)."""
    return _BODIES[_accepted(content_type, content_encoding, _BODIES).name]


def patch_format(content_type: str | None, content_encoding: str | None = None) -> PatchFormat:
    """The format of a PATCH body. Refuses with 415."""
    return _PATCHES[_accepted(content_type, content_encoding, _PATCHES).name]


def native_type(content_type: str | None, content_encoding: str | None = None) -> MediaType:
    """The media type of a body that is a document itself (`POST Binary`). Refuses with 415 what names none."""
    check_encoding(content_encoding)
    kind = media_type(content_type or "")
    if kind is None:
        _unsupported("un en-tête Content-Type valable est attendu.", "a valid Content-Type header is expected.")
    return kind


def is_fhir(content_type: str | None) -> bool:
    """Whether a body says it is a FHIR resource (and not a document that happens to be JSON or XML)."""
    kind = media_type(content_type or "")
    return kind is not None and kind.name in (Format.JSON.value, Format.XML.value)


def check_encoding(content_encoding: str | None) -> None:
    """Bodies are read as they are: any coding but `identity` is 415."""
    if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
        _unsupported(
            "envoyez le corps sans compression (Content-Encoding absent ou identity).",
            "send the body uncompressed (no Content-Encoding, or identity).",
            "TF-112",
            headers=(("Accept-Encoding", "identity"),),
        )


def _accepted(content_type: str | None, content_encoding: str | None, known: Mapping[str, object]) -> MediaType:
    check_encoding(content_encoding)
    kind = media_type(content_type or "")
    if kind is None or kind.name not in known:
        names = ", ".join(sorted(name for name in known if name.startswith("application/")))
        _unsupported(f"types de contenu acceptés ici : {names}.", f"content types accepted here: {names}.")
    charset = kind.parameter("charset")
    if charset is not None and charset.lower() not in ("utf-8", "utf8"):
        _unsupported("seul le jeu de caractères UTF-8 est accepté.", "only the character set UTF-8 is accepted.")
    _check_version(kind, 415)
    return kind


def _check_version(kind: MediaType, status: int) -> None:
    version = kind.parameter("fhirversion")
    if version is not None and version not in FHIR_VERSIONS:
        refuse(
            status,
            "not-supported",
            "Ce serveur parle FHIR 4.0 (R4) : fhirVersion=4.0.",
            "This server speaks FHIR 4.0 (R4): fhirVersion=4.0.",
            rule="TF-111",
        )


def _unsupported(fr: str, en: str, rule: str = "TF-111", headers: tuple[tuple[str, str], ...] = ()) -> NoReturn:
    refuse(415, "not-supported", fr[0].upper() + fr[1:], en[0].upper() + en[1:], rule=rule, headers=headers)


def response_format(asked: str | None, accept: str | None) -> Format:
    """The format of the answer: `_format`, then `Accept`, JSON when neither chooses. Refuses with 406 if none fits."""
    if len(asked or "") + len(accept or "") <= _REMEMBERED:
        return _remembered_format(asked, accept)
    return _chosen_format(asked, accept)


def _chosen_format(asked: str | None, accept: str | None) -> Format:
    if asked is not None and asked.strip():
        kind = media_type(asked)
        name = asked.split(";")[0].strip().lower() if kind is None else kind.name
        if name in _FORMATS:
            if kind is not None:
                _check_version(kind, 406)
            return _FORMATS[name]
        _not_acceptable()
    if accept is None or not accept.strip():
        return Format.JSON
    best = max(((quality(accept, each), -place, each) for place, each in enumerate(Format)), default=None)
    if best is None or best[0] <= 0.0:
        _not_acceptable()
    return best[2]


# Clients repeat their headers. What is long is worked out again, so that nobody fills the memory with it.
_REMEMBERED = 200
_remembered_format = lru_cache(maxsize=1024)(_chosen_format)


def document_format(asked: str | None, accept: str | None) -> Format | None:
    """The FHIR format in which a stored document is asked for, as a Binary; None for its own bytes, which is what
    anything but an explicit FHIR media type means (https://hl7.org/fhir/R4/binary.html#rest)."""
    if asked is not None and asked.strip():
        return response_format(asked, None)
    names = [kind.name for kind in map(media_type, _split(accept or "", ",")[:_MOST_RANGES]) if kind]
    return response_format(None, accept) if set(names) & {each.value for each in Format} else None


def quality(accept: str, wanted: Format) -> float:
    """The q-value `Accept` gives a format, by its most specific range (RFC 9110 section 12.5.1); 0 when it has none.
    Pages of browsers (`text/html`) get JSON."""
    specific, found = -1, 0.0
    for part in _split(accept, ",")[:_MOST_RANGES]:
        kind = media_type(part)
        if kind is None:
            continue
        version = kind.parameter("fhirversion")
        if version is not None and version not in FHIR_VERSIONS:
            continue
        rank = _rank(kind.name, wanted)
        if rank > specific:
            specific, found = rank, _q(kind.parameter("q"))
        elif rank == specific and rank >= 0:
            found = max(found, _q(kind.parameter("q")))
    return found


def _rank(name: str, wanted: Format) -> int:
    if name == wanted.value:
        return 3
    if _BODIES.get(name) is wanted:
        return 2
    if name == "application/*":
        return 1
    if name == "*/*" or (name == "text/html" and wanted is Format.JSON):
        return 0
    return -1


def _q(text: str | None) -> float:
    if text is None:
        return 1.0
    digits = text.replace(".", "", 1)
    if len(text) > 5 or not (digits.isascii() and digits.isdigit()):
        return 0.0
    return min(float(text), 1.0)


def _not_acceptable() -> NoReturn:
    refuse(
        406,
        "not-supported",
        "Ce serveur répond en application/fhir+json ou application/fhir+xml (FHIR 4.0) : demandez l'un des deux.",
        "This server answers in application/fhir+json or application/fhir+xml (FHIR 4.0): ask for one of them.",
        rule="TF-111",
    )


def preferences(prefer: str | None) -> Preferences:
    """Read `Prefer` (RFC 7240); what it does not know is ignored, as the RFC wants, and the first of two wins."""
    returns: str | None = None
    handling: str | None = None
    answer_later = False
    for part in _split(prefer or "", ",")[:_MOST_RANGES]:
        name, _, value = part.split(";")[0].partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "return" and returns is None and value in ("minimal", "representation", "OperationOutcome"):
            returns = value
        elif name == "handling" and handling is None and value in ("strict", "lenient"):
            handling = value
        elif name == "respond-async":
            answer_later = True
    return Preferences(returns, handling == "lenient", answer_later)
