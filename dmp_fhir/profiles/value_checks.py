"""Checks of a value beside those of its type: absolute URIs, required codes."""

from __future__ import annotations

from typing import Any

from dmp_fhir.profiles.definitions import Property
from dmp_fhir.profiles.primitive_checks import Check
from dmp_fhir.profiles.references import is_absolute
from dmp_fhir.profiles.walk import Walk, Way, bad_code


def absolute_check(owner: str, inner: Check) -> Check:
    """A relative address names no code system and no namespace: nobody else could tell which one is meant."""

    def check(walk: Walk, value: Any, way: Way) -> None:
        told = len(walk.issues)
        inner(walk, value, way)
        if type(value) is str and not is_absolute(value) and len(walk.issues) == told:
            name = way[1]
            fr = f"{name} est un URI absolu (https://…, urn:oid:…) ; trouvé : {value[:100]}."
            en = f"{name} is an absolute URI (https://…, urn:oid:…); found: {value[:100]}."
            walk.add("value", fr, en, way, f"FHIR R4 {owner}.{name}")

    return check


def coded_check(known: Property, inner: Check) -> Check:
    """Coding or CodeableConcept with a required binding: a code of the value set must be there."""
    element = known.element
    codes = element.codes or {}

    def check(walk: Walk, value: Any, way: Way) -> None:
        inner(walk, value, way)
        if type(value) is not dict:
            return
        codings = value.get("coding") if known.type == "CodeableConcept" else [value]
        given = [c for c in codings if type(c) is dict] if type(codings) is list else []
        if not any(c.get("code") in codes.get(str(c.get("system")), ()) for c in given if type(c.get("code")) is str):
            shown = next((c["code"] for c in given if type(c.get("code")) is str), "—")
            bad_code(walk, shown, frozenset().union(*codes.values()), element, way)

    return check
