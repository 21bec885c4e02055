"""XML bytes to resource trees and back, driven by the R4 tables. https://hl7.org/fhir/R4/xml.html

Reading tolerates any order of elements (D16) and comments between elements; it refuses document types, processing
instructions, other encodings than UTF-8, other namespaces, repeated single elements and unknown names. Writing follows
the order of the specification. JSON -> XML -> JSON gives the same tree back, decimals with their digits; a narrative
comes back as the same XHTML, written our way.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from operator import attrgetter
from typing import Any, NoReturn

from lxml import etree

from dmp_fhir.outcome import refuse
from dmp_fhir.profiles.definitions import Property, Type, resource_types, type_of
from dmp_fhir.profiles.narrative import XHTML, check_div, escape_attribute, parser, read_div, write_div
from dmp_fhir.wire.json import FORBIDDEN_TEXT, in_range, number
from dmp_fhir.wire.limits import DEFAULT, Limits, check_entries, check_sizes, refuse_at, too_long

FHIR = "http://hl7.org/fhir"
_TAG = f"{{{FHIR}}}"
_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_DECLARATION = re.compile(rb"<\?xml[ \t\r\n]([^>]{0,200}?)\?>")
_ENCODING = re.compile(rb"encoding[ \t\r\n]{0,8}=[ \t\r\n]{0,8}[\"']([A-Za-z0-9._-]{1,40})[\"']")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGERS = frozenset({"integer", "unsignedInt", "positiveInt"})
# libxml2 refuses longer values unless told to read huge documents; our own limits hold for both (TF-097).
_LIBRARY_TEXT = 9_900_000


def parse_xml(data: bytes, limits: Limits = DEFAULT) -> dict[str, Any]:
    """Read one resource. Refuses with 400 `structure`, 413 `too-long`, or 422 `structure` for an unknown element."""
    root = parse_markup(data, limits)
    tree = _Reader(limits, data).resource(root, 1)
    check_entries(tree, limits)
    if len(data) > limits.resource:
        content = sum(len(e.get("value", "")) for e in root.iter(_TAG + "data"))
        check_sizes(len(data), content, sum(1 for e in root.iter() if _local(e) in resource_types()), limits)
    return tree


def dump_xml(tree: dict[str, Any]) -> bytes:
    """Write a resource tree as UTF-8, elements in the order of R4. Raises ValueError for what is no R4 resource."""
    out: list[str] = ['<?xml version="1.0" encoding="UTF-8"?>']
    _write_resource(tree, f' xmlns="{FHIR}"', out)
    return "".join(out).encode()


def parse_markup(data: bytes, limits: Limits = DEFAULT) -> etree._Element:
    """Well-formed XML to elements, whatever the vocabulary. Nothing but the bytes is ever read (TF-093 to TF-098)."""
    if len(data) > limits.body:
        too_long(f"{len(data)} bytes", f"{limits.body} bytes")
    _check_bytes(data)
    if data.count(b"<") > limits.nodes:
        too_long(f"{data.count(b'<')} tags", str(limits.nodes))
    if data.count(b'="') + data.count(b"='") + data.count(b"= ") > 2 * limits.nodes:
        too_long("attributes", str(2 * limits.nodes))
    try:
        return etree.fromstring(data, parser(huge=len(data) >= _LIBRARY_TEXT))
    except etree.XMLSyntaxError as fault:
        line, column = fault.position
        if "too long" in fault.msg or "Huge" in fault.msg or "huge" in fault.msg:
            too_long("XML text", f"{_LIBRARY_TEXT} bytes")
        detail = fault.msg.split(", line")[0][:120] if fault.msg else ""
        refuse_at(
            max(line, 1),
            max(column, 1),
            "ce n'est pas du XML bien formé.",
            f"this is not well-formed XML ({_without_values(detail)}).",
            rule="TF-097",
        )


def _without_values(detail: str) -> str:
    """The library's message without what it quotes of the document."""
    return re.sub(r"['\"][^'\"]*['\"]", "…", detail)


def _check_bytes(data: bytes) -> None:
    """What must be known before a parser sees the bytes."""
    if not data.strip(b" \t\r\n"):
        refuse_at(
            1,
            1,
            "le corps est vide ; une ressource est attendue.",
            "the body is empty; send a resource.",
            rule="TF-108",
        )
    try:
        data.decode()
    except UnicodeDecodeError as broken:
        line = data.count(b"\n", 0, broken.start) + 1
        refuse_at(line, 1, "ces octets ne sont pas de l'UTF-8.", "these bytes are not UTF-8.", rule="TF-098")
    if data.startswith(b"\xef\xbb\xbf") or b"\0" in data[:256]:
        refuse_at(
            1,
            1,
            "envoyez de l'UTF-8 sans marque d'ordre (BOM).",
            "send UTF-8 without a byte order mark.",
            rule="TF-098",
        )
    for mark in (b"<!DOCTYPE", b"<!ENTITY"):
        position = data.find(mark)
        if position >= 0:
            line = data.count(b"\n", 0, position) + 1
            refuse_at(
                line,
                position - data.rfind(b"\n", 0, position),
                "les déclarations de type de document (DOCTYPE) et d'entités sont refusées.",
                "document type (DOCTYPE) and entity declarations are refused.",
                rule="TF-093",
            )
    declaration = _DECLARATION.match(data)
    if declaration:
        encoding = _ENCODING.search(declaration[1])
        if (encoding and encoding[1].lower() not in (b"utf-8", b"utf8")) or b"1.1" in declaration[1]:
            refuse_at(1, 1, "seul XML 1.0 en UTF-8 est accepté.", "only XML 1.0 in UTF-8 is accepted.", rule="TF-098")
    position = data.find(b"<?", declaration.end() if declaration else 0)
    if position >= 0:
        line = data.count(b"\n", 0, position) + 1
        refuse_at(
            line,
            position - data.rfind(b"\n", 0, position),
            "les instructions de traitement sont refusées.",
            "processing instructions are refused.",
            rule="TF-096",
        )


def _local(element: etree._Element) -> str:
    tag = element.tag
    return tag[len(_TAG) :] if isinstance(tag, str) and tag.startswith(_TAG) else ""


def _blank(text: str | None) -> bool:
    return text is None or not text.strip(" \t\r\n")


def parse_element(element: etree._Element, type_name: str) -> dict[str, Any]:
    """Read one element of `parse_markup` as a datatype, for patches."""
    return _Reader(DEFAULT).complex(element, type_of(type_name), 1)


class _Reader:
    """Elements to trees. The expression of a fault is the way of element names to it."""

    def __init__(self, limits: Limits, data: bytes = b"&#") -> None:
        self.limits = limits
        # Raw noncharacters and character references are the only ways to what XML lets through and we do not (TF-104).
        self.suspicious = b"&#" in data or b"\xef\xb7" in data or b"\xbf\xbe" in data or b"\xbf\xbf" in data

    def refuse(self, element: etree._Element, fr: str, en: str, status: int = 400, rule: str = "TF-098") -> NoReturn:
        names = [_local(e) for e in (*reversed(list(element.iterancestors())), element)]
        where = ".".join(name or "?" for name in names)[:300]
        line = element.sourceline or 1
        refuse(status, "structure", f"Ligne {line} : {fr}", f"Line {line}: {en}", expression=where, rule=rule)

    def resource(self, element: etree._Element, depth: int) -> dict[str, Any]:
        name = _local(element)
        if name not in resource_types():
            self.refuse(
                element,
                "une ressource FHIR R4 dans l'espace de noms http://hl7.org/fhir est attendue ici.",
                "a FHIR R4 resource in the namespace http://hl7.org/fhir is expected here.",
                rule="TF-108",
            )
        if any(attribute != _SCHEMA_LOCATION for attribute in element.attrib):
            self.refuse(element, "une ressource n'a pas d'attribut.", "a resource has no attributes.")
        return {"resourceType": name, **self.children(element, type_of(name), depth)}

    def complex(self, element: etree._Element, kind: Type, depth: int) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in element.attrib.items():
            known = kind.properties.get(name)
            if known is None or not known.element.attribute:
                self.refuse(
                    element, f"attribut « {name[:64]} » inconnu ici.", f"unknown attribute '{name[:64]}' here.", 422
                )
            tree[name] = self.text(element, value)
        return tree | self.children(element, kind, depth)

    def text(self, element: etree._Element, value: str) -> str:
        if self.suspicious and FORBIDDEN_TEXT.search(value):
            self.refuse(
                element, "caractère de contrôle ou non-caractère.", "control character or noncharacter.", rule="TF-104"
            )
        return value

    def children(self, element: etree._Element, kind: Type, depth: int) -> dict[str, Any]:
        if depth > self.limits.depth:
            self.refuse(element, "trop de niveaux d'imbrication.", "nested too deeply.", rule="TF-097")
        if not _blank(element.text):
            self.refuse(
                element,
                "du texte ici ; les valeurs sont dans l'attribut value.",
                "text here; values go in attribute value.",
            )
        tree: dict[str, Any] = {}
        for child in element:
            if not _blank(child.tail):
                self.refuse(child, "du texte après cet élément.", "text after this element.")
            name = _local(child)
            if child.tag == f"{{{XHTML}}}div":
                name = "div"
            known = kind.properties.get(name)
            if known is None or known.element.attribute:
                self.refuse(
                    child,
                    f"élément inconnu dans {kind.name} (ou dans un autre espace de noms).",
                    f"unknown element in {kind.name} (or in another namespace).",
                    422,
                    "TF-107",
                )
            self.add(tree, known, child, depth)
        for name in [name[1:] for name in tree if name[0] == "_"]:
            if isinstance(tree.get(name), list) and not any(value is not None for value in tree[name]):
                del tree[name]
        return tree

    def add(self, tree: dict[str, Any], known: Property, child: etree._Element, depth: int) -> None:
        name = known.name
        if not known.element.many and (name in tree or "_" + name in tree):
            self.refuse(
                child,
                "cet élément ne peut être donné qu'une fois.",
                "this element may be given only once.",
                rule="TF-102",
            )
        if known.resource:
            value: Any = self.only_resource(child, depth + 1)
        elif known.type == "xhtml":
            value = self.narrative(child)
        elif known.primitive:
            self.add_primitive(tree, known, child, depth)
            return
        else:
            value = self.complex(child, type_of(known.type), depth + 1)
        if known.element.many:
            items = tree.setdefault(name, [])
            if len(items) >= self.limits.items:
                too_long(f"{name}", f"{self.limits.items} elements")
            items.append(value)
        else:
            tree[name] = value

    def add_primitive(self, tree: dict[str, Any], known: Property, child: etree._Element, depth: int) -> None:
        written = child.get("value")
        more = self.children(child, type_of("Element"), depth + 1)
        for name, value in child.attrib.items():
            if name == "id":
                more = {"id": self.text(child, value), **more}
            elif name != "value":
                self.refuse(
                    child, f"attribut « {name[:64]} » inconnu ici.", f"unknown attribute '{name[:64]}' here.", 422
                )
        if written is None and "extension" not in more:
            self.refuse(
                child,
                "élément vide : attribut value attendu.",
                "empty element: attribute value expected.",
                422,
                "ele-1",
            )
        value = None if written is None else primitive_value(known.type, self.text(child, written))
        if not known.element.many:
            if value is not None:
                tree[known.name] = value
            if more:
                tree["_" + known.name] = more
            return
        # Two lists in step, null where an item has no value or nothing beside it: known only once all are seen.
        values = tree.setdefault(known.name, [])
        if len(values) >= self.limits.items:
            too_long(known.name, f"{self.limits.items} elements")
        beside = tree.get("_" + known.name)
        if more and beside is None:
            beside = tree["_" + known.name] = [None] * len(values)
        values.append(value)
        if beside is not None:
            beside.append(more or None)

    def only_resource(self, element: etree._Element, depth: int) -> dict[str, Any]:
        if len(element) != 1 or element.attrib or not _blank(element.text) or not _blank(element[0].tail):
            self.refuse(
                element,
                "une ressource, et elle seule, est attendue ici.",
                "one resource and nothing else is expected here.",
            )
        return self.resource(element[0], depth + 1)

    def narrative(self, element: etree._Element) -> str:
        try:
            check_div(element)
        except ValueError as fault:
            self.refuse(element, f"texte narratif refusé ({fault}).", f"narrative refused: {fault}.", 422, "txt-1")
        return self.text(element, write_div(element))


def primitive_value(kind: str, text: str) -> Any:
    """The JSON value of a `value` attribute; text that is not of the type stays text, for the validator to name."""
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind in _INTEGERS and _INTEGER.fullmatch(text) and text != "-0":
        return int(text)
    if kind == "decimal" and len(text) <= 64 and _DECIMAL.fullmatch(text) and in_range(text):
        return number(text)
    return text


def _write_resource(tree: dict[str, Any], namespace: str, out: list[str]) -> None:
    name = tree.get("resourceType")
    if name not in resource_types():
        raise ValueError(f"not an R4 resource: {name!r}")
    out.append(f"<{name}{namespace}>")
    _write_children(tree, type_of(name), out)
    out.append(f"</{name}>")


def _write_children(tree: dict[str, Any], kind: Type, out: list[str]) -> None:
    for known in sorted(_properties(tree, kind), key=_ORDER):
        name = known.name
        value = tree.get(name)
        if known.primitive and known.type != "xhtml":
            _write_primitives(name, value, tree.get("_" + name), out)
        elif value is not None:
            for item in value if known.element.many else [value]:
                _write_one(name, item, known, out)


_ORDER = attrgetter("order")


def _properties(tree: dict[str, Any], kind: Type) -> Collection[Property]:
    found: dict[str, Property] = {}
    for name in tree:
        known = kind.properties.get(name.removeprefix("_"))
        if known is None:
            if name == "resourceType" and kind.kind == "resource":
                continue
            raise ValueError(f"{kind.name} has no property {name}")
        if not known.element.attribute:
            found[known.name] = known
    return found.values()


def _write_one(name: str, value: Any, known: Property, out: list[str]) -> None:
    if known.type == "xhtml":
        out.append(write_div(read_div(value)))
    elif known.resource:
        out.append(f"<{name}>")
        _write_resource(value, "", out)
        out.append(f"</{name}>")
    else:
        kind = type_of(known.type)
        out.append(f"<{name}{_attributes(value, kind)}>")
        _write_children(value, kind, out)
        out.append(f"</{name}>")


def _attributes(tree: dict[str, Any], kind: Type) -> str:
    """`id` of any element, `url` of an extension."""
    text = ""
    for name in ("id", "url"):
        if name in tree and kind.properties[name].element.attribute:
            text += f' {name}="{escape_attribute(tree[name])}"'
    return text


def _write_primitives(name: str, value: Any, beside: Any, out: list[str]) -> None:
    if not isinstance(value, list) and not isinstance(beside, list):
        _write_primitive(name, value, beside, out)
        return
    values, extras = value or [], beside or []
    for index in range(max(len(values), len(extras))):
        item = values[index] if index < len(values) else None
        extra = extras[index] if index < len(extras) else None
        _write_primitive(name, item, extra, out)


def _write_primitive(name: str, value: Any, beside: dict[str, Any] | None, out: list[str]) -> None:
    text = f"<{name}"
    if beside and "id" in beside:
        text += f' id="{escape_attribute(beside["id"])}"'
    if value is not None:
        if value is True or value is False:
            value = "true" if value else "false"
        elif not isinstance(value, str):
            value = getattr(value, "text", None) or str(value)
        text += f' value="{escape_attribute(value)}"'
    if not beside or "extension" not in beside:
        out.append(text + "/>")
        return
    out.append(text + ">")
    _write_children(beside, type_of("Element"), out)
    out.append(f"</{name}>")
