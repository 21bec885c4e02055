"""The French code lists the registry rests on: document types, confidentiality labels, health professions.

Sources: nomenclatures of the Agence du Numérique en Santé (https://mos.esante.gouv.fr/NOS/), compiled by
tools/compile_terminology.py; canonical URL and version of each list stand in data/terminology.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from dmp_fhir.canonicals import TRE_G15, V3_CONFIDENTIALITY

NOS = "https://mos.esante.gouv.fr/NOS"

# HL7's v3-Confidentiality (https://terminology.hl7.org/CodeSystem-v3-Confidentiality.html): code to French display.
V3_CODES: Mapping[str, str] = {
    "U": "Non restreint",
    "L": "Faible",
    "M": "Modéré",
    "N": "Normal",
    "R": "Restreint",
    "V": "Très restreint",
}


@dataclass(frozen=True, slots=True)
class CodeList:
    """A value set or code system: {system: {code: French display}}; retired codes are known but no longer used."""

    url: str
    version: str
    codes: Mapping[str, Mapping[str, str]]
    retired: Mapping[str, Mapping[str, str]]

    def has(self, system: str, code: str) -> bool:
        return code in self.codes.get(system, ())

    def display(self, system: str, code: str) -> str | None:
        return self.codes.get(system, {}).get(code) or self.retired.get(system, {}).get(code)


@cache
def _lists() -> dict[str, Any]:
    return orjson.loads((files("dmp_fhir.profiles") / "data" / "terminology.json").read_bytes())


@cache
def code_list(name: str) -> CodeList:
    """A list by its short name: JDV_J07, JDV_J66, TRE_A07, TRE_A08, TRE_G15. Raises KeyError for another."""
    row = _lists()[name]
    return CodeList(row["url"], row["version"], row["codes"], row.get("retired", {}))


# IHE XDS-SD and its French extension: a CDA around a PDF, a text or an image.
_PLAIN_CDA_FORMATS = frozenset(
    {
        "urn:ihe:iti:xds-sd:pdf:2008",
        "urn:ihe:iti:xds-sd:text:2008",
        "urn:ihe:iti-fr:xds-sd:rtf:2010",
        "urn:ihe:iti-fr:xds-sd:jpeg:2010",
        "urn:ihe:iti-fr:xds-sd:tiff:2010",
    }
)


@cache
def _cda_formats() -> frozenset[str]:
    return _PLAIN_CDA_FORMATS | frozenset(_lists()["ASS_A11"]["map"].values())


def is_cda_format(code: str) -> bool:
    """Whether a format code is that of a CDA R2 document: of a model (ASS_A11) or of an unstructured body."""
    return code in _cda_formats()


def format_of_template(template: str) -> str | None:
    """The format code of a CDA model by the root of its templateId (ASS_A11)."""
    code: str | None = _lists()["ASS_A11"]["map"].get(template)
    return code


def type_is_known(system: str, code: str) -> bool:
    """Whether a document type belongs to JDV_J07 or JDV_J66, the types the access matrix knows (D10)."""
    return code_list("JDV_J07").has(system, code) or code_list("JDV_J66").has(system, code)


@cache
def known_types() -> tuple[tuple[str, str], ...]:
    """The document types of JDV_J07 and JDV_J66 with their French names."""
    lists = (code_list("JDV_J07").codes, code_list("JDV_J66").codes)
    return tuple({code: name for codes in lists for some in codes.values() for code, name in some.items()}.items())


def type_display(system: str, code: str) -> str | None:
    """The French name of a document type."""
    return code_list("JDV_J07").display(system, code) or code_list("JDV_J66").display(system, code)


def is_confidentiality(system: str, code: str) -> bool:
    """Whether a label is an HL7 confidentiality code, in HL7's system or in that of the ANS: the same thing (D6)."""
    return (system == V3_CONFIDENTIALITY and code in V3_CODES) or code_list("TRE_A08").has(system, code)


def is_visibility(system: str, code: str) -> bool:
    """Whether a label masks or hides a document (TRE_A07)."""
    return code_list("TRE_A07").has(system, code)


def label_display(system: str, code: str) -> str | None:
    """The French name of a confidentiality or visibility label."""
    if system == V3_CONFIDENTIALITY:
        return V3_CODES.get(code)
    return code_list("TRE_A08").display(system, code) or code_list("TRE_A07").display(system, code)


def profession_display(code: str) -> str | None:
    """The French name of a health profession (TRE_G15), retired ones included."""
    return code_list("TRE_G15").display(TRE_G15, code)


@cache
def _specialties() -> Mapping[str, str]:
    file = files("dmp_fhir.profiles") / "guides" / "terminology" / "CodeSystem-TRE-R38-SpecialiteOrdinale.json"
    return {each["code"]: each["display"] for each in orjson.loads(file.read_bytes())["concept"]}


def specialty_display(code: str) -> str | None:
    """The French name of a medical specialty (TRE_R38), without the level of the qualification."""
    return _specialties().get(code, "").partition(" (")[0] or None


def profession_is_active(code: str) -> bool:
    return code_list("TRE_G15").has(TRE_G15, code)
