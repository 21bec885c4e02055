"""Read the header of a CDA R2 document, trusting nothing of it.

The bytes are parsed whole: a document that is not well-formed to its end is no document, and the parser is quicker
over a body than Python is at stopping before it (docs/decisions/0028-cda-headers.md). Three shapes exist: plain
(root ClinicalDocument), self-presenting (root xsl:stylesheet) and signed (root ds:Signature); the document is the
one ClinicalDocument inside (CI-SIS « Structuration minimale »).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import NoReturn

from lxml import etree

from dmp_fhir.profiles.primitives import PARIS, date_interval, is_oid, is_uuid

V3 = "urn:hl7-org:v3"
DOCUMENT = f"{{{V3}}}ClinicalDocument"
_SHAPES = {
    DOCUMENT: "plain",
    "{http://www.w3.org/1999/XSL/Transform}stylesheet": "self-presenting",
    "{http://www.w3.org/2000/09/xmldsig#}Signature": "signed",
}
# As in wire/xml.py: tags of one body, and the length from which libxml2 asks for its own limits to be lifted.
_TAGS = 250_000
_LIBRARY_TEXT = 9_900_000
_DECLARATION = re.compile(rb"<\?xml[ \t\r\n]([^>]{0,200}?)\?>")
_ENCODING = re.compile(rb"encoding[ \t\r\n]{0,8}=[ \t\r\n]{0,8}[\"']([A-Za-z0-9._-]{1,40})[\"']")
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
# Old producers; read, and told to change.
_LATIN = frozenset({"iso-8859-1", "iso-8859-15", "windows-1252"})
_TIME = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.[0-9]{1,6})?)?)?"
    r"(Z|[+-][0-9]{4})?)?)?)?"
)


class UnreadableCda(ValueError):
    """Bytes that are no safe, well-formed XML. `fr` and `en` say why; `line` is where, when it is known."""

    def __init__(self, fr: str, en: str, line: int | None = None) -> None:
        super().__init__(en)
        self.fr, self.en, self.line = fr, en, line


@dataclass(frozen=True, slots=True)
class Header:
    """The ClinicalDocument of some bytes. `shape` is plain, self-presenting, signed or other."""

    document: etree._Element
    shape: str
    encoding: str
    children: dict[str, list[etree._Element]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.document.iterchildren(f"{{{V3}}}*"):
            self.children.setdefault(each.tag[len(V3) + 2 :], []).append(each)

    def all(self, path: str) -> list[etree._Element]:
        """Elements below ClinicalDocument by their names, as in `author/assignedAuthor/id`."""
        name, _, rest = path.partition("/")
        found = self.children.get(name, [])
        return [each for child in found for each in child.findall(qualified(rest))] if rest else found

    def first(self, path: str) -> etree._Element | None:
        return next(iter(self.all(path)), None)

    def keys(self, path: str) -> dict[str, etree._Element]:
        """The identifiers (II) at a path, as keys (see `key`), with their elements."""
        return {found: each for each in self.all(path) if (found := key(each))}

    @property
    def main_act(self) -> etree._Element | None:
        """The serviceEvent that has a performer."""
        performed = (each for each in self.all("documentationOf/serviceEvent") if below(each, "performer") is not None)
        return next(performed, None)

    @property
    def version(self) -> int | None:
        element = self.first("versionNumber")
        text = "" if element is None else element.get("value", "")
        return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) else None

    @property
    def set_key(self) -> str | None:
        element = self.first("setId")
        return None if element is None else key(element)


@cache
def qualified(path: str) -> str:
    """The path with the namespace of CDA at each step that has none (`{urn:dicom-org:ps3-20}accessionNumber`)."""
    return "/".join(step if step.startswith("{") else f"{{{V3}}}{step}" for step in path.split("/"))


def below(element: etree._Element, path: str) -> etree._Element | None:
    return element.find(qualified(path))


def key(element: etree._Element) -> str | None:
    """An identifier as FHIR writes it: `urn:oid:ROOT` or `urn:uuid:ROOT`, or `urn:oid:ROOT|EXTENSION`; None when the
    element has none. A root that is neither OID nor UUID stays as it is."""
    root, extension = element.get("root", "").strip(), element.get("extension", "").strip()
    if not root:
        return None
    if is_oid(f"urn:oid:{root}"):
        root = f"urn:oid:{root}"
    elif is_uuid(f"urn:uuid:{root.lower()}"):
        root = f"urn:uuid:{root.lower()}"
    return f"{root}|{extension}" if extension else root


def text_of(element: etree._Element) -> str:
    """The whole text, white space collapsed."""
    if not len(element):
        return " ".join((element.text or "").split())
    return " ".join("".join(element.itertext()).split())


def xpath(element: etree._Element, attribute: str = "") -> str:
    """The absolute path of an element (names of CDA without prefix), or of an attribute of it."""
    steps: list[str] = []
    node: etree._Element | None = element
    while node is not None:
        parent = node.getparent()
        name = etree.QName(node)
        step = name.localname if name.namespace == V3 or not node.prefix else f"{node.prefix}:{name.localname}"
        same = [each for each in parent if each.tag == node.tag] if parent is not None else [node]
        steps.append(step if len(same) == 1 else f"{step}[{same.index(node) + 1}]")
        node = parent
    return "/" + "/".join(reversed(steps)) + (f"/@{attribute}" if attribute else "")


def time_interval(text: str) -> tuple[int, int]:
    """The half-open interval of milliseconds since 1970 UTC that a CDA time stamp stands for. Without an offset it is
    one of France. Raises ValueError, in English."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a CDA time stamp: YYYYMMDDhhmmss+zzzz")
    year, month, day, hour, minute, second, zone = match.groups()
    if hour is None:
        return date_interval("-".join(each for each in (year, month, day) if each))
    if day is None:
        raise ValueError("an hour without a day")
    local = f"{year}-{month}-{day}T{hour}:{minute or '00'}:{second or '00'}"
    offset = "Z" if zone == "Z" else f"{zone[:3]}:{zone[3:]}" if zone else _offset(local)
    low = date_interval(local + offset)[0]
    return low, low + (1_000 if second else 60_000 if minute else 3_600_000)


def _offset(local: str) -> str:
    minutes = (datetime.fromisoformat(local).replace(tzinfo=PARIS).utcoffset() or timedelta()) // timedelta(minutes=1)
    return f"+{minutes // 60:02d}:{minutes % 60:02d}"


def read_cda(content: bytes) -> Header | None:
    """The header of a CDA document; None when these bytes are XML without a ClinicalDocument. Raises UnreadableCda.
    Nothing but the bytes is read: no DTD, no entity, no style sheet, no schema, no network (TF-093 to TF-098)."""
    encoding = _encoding(content)
    _refuse_document_type(content)
    _refuse_large(content)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=len(content) >= _LIBRARY_TEXT,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as fault:
        # The library's sentence quotes the document: only the place is kept.
        raise UnreadableCda("XML mal formé", "malformed XML", max(fault.position[0], 1)) from None
    documents = [root] if root.tag == DOCUMENT else list(root.iter(DOCUMENT))
    if len(documents) > 1:
        raise UnreadableCda(
            f"{len(documents)} éléments ClinicalDocument",
            f"{len(documents)} ClinicalDocument elements",
            documents[1].sourceline,
        )
    return Header(documents[0], _SHAPES.get(root.tag, "other"), encoding) if documents else None


def _encoding(content: bytes) -> str:
    """The declared encoding, lower case. The first bytes must be read before a parser guesses (TF-098)."""
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise UnreadableCda("rien", "nothing")
    if b"\0" in content[:256] or not start.startswith(b"<"):
        raise UnreadableCda("ce n'est pas du XML en UTF-8", "this is not XML in UTF-8", 1)
    declaration = _DECLARATION.match(start)
    named = _ENCODING.search(declaration[1]) if declaration else None
    encoding = named[1].decode("ascii").lower() if named else "utf-8"
    if encoding not in _UTF8 | _LATIN:
        raise UnreadableCda(f"encodage {encoding} non accepté", f"encoding {encoding} not accepted", 1)
    return encoding


def is_utf8(header: Header) -> bool:
    return header.encoding in _UTF8


def _refuse_document_type(content: bytes) -> None:
    """A DOCTYPE can only stand before the first element: what comes before it is walked over, so that no parser ever
    sees one (TF-093 to TF-095)."""
    at = content.find(b"<")
    while at >= 0:
        if content.startswith(b"<!--", at):
            end = content.find(b"-->", at + 4)
        elif content.startswith(b"<?", at):
            end = content.find(b"?>", at + 2)
        elif content.startswith(b"<!", at):
            _refuse("une DTD ou une déclaration d'entité", "a DTD or an entity declaration", content, at)
        else:
            return
        if end < 0:
            _refuse("XML mal formé", "malformed XML", content, at)
        at = content.find(b"<", end)


def _refuse(fr: str, en: str, content: bytes, at: int) -> NoReturn:
    raise UnreadableCda(fr, en, content.count(b"\n", 0, at) + 1)


def _refuse_large(content: bytes) -> None:
    attributes = content.count(b'="') + content.count(b"='") + content.count(b"= ")
    if content.count(b"<") > _TAGS or attributes > 2 * _TAGS:
        raise UnreadableCda(f"plus de {_TAGS} balises", f"more than {_TAGS} tags")
