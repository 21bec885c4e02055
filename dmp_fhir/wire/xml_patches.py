"""XML Patch bodies (RFC 5261) of a DocumentReference, with fixed selectors. https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

import re
from typing import Any, Literal

from lxml import etree

from dmp_fhir.canonicals import EXT_IS_ARCHIVED
from dmp_fhir.wire.changes import PATCH_LIMITS, Change, archived_value, change, malformed, not_allowed, read_all
from dmp_fhir.wire.xml import FHIR, parse_element, parse_markup

_P = r"([A-Za-z][A-Za-z0-9_-]{0,20}:)?"
_ROOT = re.compile(rf"/?{_P}DocumentReference")
_STATUS = re.compile(rf"/?{_P}DocumentReference/{_P}status/@value")
_LABEL = re.compile(rf"/?{_P}DocumentReference/{_P}securityLabel(?:\[([1-9][0-9]{{0,3}})\])?")
_EXTENSION = re.compile(rf"/?{_P}DocumentReference/{_P}extension\[@url ?= ?['\"]([^'\"]{{1,200}})['\"]\]")
_ARCHIVED = re.compile(_EXTENSION.pattern + rf"/{_P}valueBoolean/@value")
_BOOLEANS = {"true": True, "false": False}


def changes_of_xml_patch(body: bytes) -> list[Change]:
    """Operations of an XML Patch: `<diff>` with `<add>`, `<replace>` and `<remove>`."""
    root = parse_markup(body, PATCH_LIMITS)
    if etree.QName(root).localname != "diff":
        malformed("un XML Patch est un élément diff.", "an XML Patch is a diff element.", "Patch")
    return read_all(list(root), _operation)


def _operation(element: etree._Element, where: str) -> Change:
    op, selector = etree.QName(element).localname, element.get("sel", "").strip()
    if op not in ("add", "replace", "remove"):
        malformed("une opération est add, replace ou remove.", "an operation is add, replace or remove.", where)
    if element.get("type"):
        not_allowed(f"{selector} type={element.get('type')}", where)
    _check_prefixes(element, selector, where)
    if op == "add":
        return _addition(element, selector, where)
    index: int | None
    if _STATUS.fullmatch(selector):
        return change("status", op, None, _text(element), where)
    if label := _LABEL.fullmatch(selector):
        index = int(label[3]) - 1 if label[3] else None
        value = _child(element, "securityLabel", "CodeableConcept", where) if op == "replace" else None
        return change("securityLabel", op, index, [value] if value and index is None else value, where)
    archived = _ARCHIVED.fullmatch(selector)
    if archived and archived[3] == EXT_IS_ARCHIVED and op == "replace":
        text = _text(element)
        return change("isArchived", op, None, _BOOLEANS.get(text, text), where)
    extension = _EXTENSION.fullmatch(selector)
    if extension and extension[3] == EXT_IS_ARCHIVED:
        whole = _child(element, "extension", "Extension", where) if op == "replace" else None
        return change("isArchived", op, None, archived_value(whole, where) if whole else None, where)
    not_allowed(selector, where)


def _addition(element: etree._Element, selector: str, where: str) -> Change:
    position = element.get("pos", "")
    if _ROOT.fullmatch(selector) and position in ("", "append", "prepend") and len(element) == 1:
        name = etree.QName(element[0]).localname
        at: Literal["-"] | int = 0 if position == "prepend" else "-"
        if name == "securityLabel":
            return change("securityLabel", "add", at, _child(element, name, "CodeableConcept", where), where)
        if name == "extension":
            extension = _child(element, name, "Extension", where)
            return change("isArchived", "add", "-", archived_value(extension, where), where)
        not_allowed(f"{selector}/{name}", where)
    label = _LABEL.fullmatch(selector)
    if label and position in ("before", "after"):
        index = int(label[3] or 1) - (position == "before")
        return change("securityLabel", "add", index, _child(element, "securityLabel", "CodeableConcept", where), where)
    not_allowed(selector, where)


def _check_prefixes(element: etree._Element, selector: str, where: str) -> None:
    """A prefix of the selector must stand for the FHIR namespace; none at all is understood as FHIR too."""
    for prefix in re.findall(r"(?:^|/)([A-Za-z][A-Za-z0-9_-]*):", re.sub(r"\[[^\[\]]*\]", "", selector)):
        if element.nsmap.get(prefix) != FHIR:
            fr = f"le préfixe « {prefix[:20]} » doit désigner {FHIR}."
            malformed(fr, f"the prefix '{prefix[:20]}' must stand for {FHIR}.", where)


def _text(element: etree._Element) -> str:
    """The new value of an attribute, exactly as sent; an element instead of text gives text no value can be."""
    return "<>" if len(element) else element.text or ""


def _child(element: etree._Element, name: str, kind: str, where: str) -> dict[str, Any]:
    if len(element) != 1 or element[0].tag != f"{{{FHIR}}}{name}":
        fr = f"un seul élément {name}, dans l'espace de noms {FHIR}, est attendu."
        malformed(fr, f"a single element {name}, in the namespace {FHIR}, is expected.", where)
    return parse_element(element[0], kind)
