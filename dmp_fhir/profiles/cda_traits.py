"""The traits of a patient in a CDA header and in a Patient resource (FR Core): name, first names, sex, birth.

Traits of the INS are capitals without accents (référentiel INS); a Patient may write them with both: names are
compared without accents, case, hyphens and apostrophes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from lxml import etree

from dmp_fhir.profiles.cda_header import below, qualified, text_of

Tree = dict[str, Any]
# Path in the Patient, what the Patient says, the element of the CDA, its attribute, what the CDA says.
Difference = tuple[str, str, etree._Element, str, str]

_BIRTH_LIST = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name"
_BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
_INSEE = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code"
_GENDERS = {"male": {"M"}, "female": {"F"}, "unknown": {"UN", "U"}, "other": {"UN", "U"}}
_SEX, _BIRTH, _PLACE = "patient/administrativeGenderCode", "patient/birthTime", "patient/birthplace/place/addr/county"
# SP was the qualifier of the used name in older documents.
_USED = ("CL", "SP")


def missing_traits(role: etree._Element) -> list[str]:
    """The INS traits that a patientRole lacks, as paths below patient/."""
    lacking = [
        name
        for name, found in (
            ("name/family[@qualifier='BR']", _part(role, "family", "BR")),
            ("name/given[@qualifier='BR']", _part(role, "given", "BR")),
            ("name/given[not(@qualifier)]", _part(role, "given", None)),
        )
        if found is None
    ]
    lacking += [
        path.removeprefix("patient/")
        for path, attribute in ((_SEX, "code"), (_BIRTH, "value"))
        if (element := below(role, path)) is None or not element.get(attribute)
    ]
    place = below(role, _PLACE)
    return lacking if place is not None and text_of(place) else [*lacking, _PLACE.removeprefix("patient/")]


def trait_differences(patient: Tree, role: etree._Element) -> Iterator[Difference]:
    """What both sides say differently; what one side does not say is not compared."""
    yield from _names(patient, role)
    sex = below(role, _SEX)
    gender = patient.get("gender")
    if gender and sex is not None and sex.get("code") and sex.get("code") not in _GENDERS.get(gender, ()):
        yield "gender", gender, sex, "code", sex.get("code", "")
    birth = below(role, _BIRTH)
    if patient.get("birthDate") and birth is not None and birth.get("value"):
        ours, theirs = patient["birthDate"].replace("-", ""), birth.get("value", "").strip()[:8]
        common = min(len(ours), len(theirs))
        if ours[:common] != theirs[:common]:
            yield "birthDate", patient["birthDate"], birth, "value", birth.get("value", "")
    place = below(role, _PLACE)
    found = _birth_place(patient)
    if found and place is not None and text_of(place) and text_of(place) != found[1]:
        yield found[0], found[1], place, "", text_of(place)


def _names(patient: Tree, role: etree._Element) -> Iterator[Difference]:
    for n, name in enumerate(patient.get("name", [])):
        match name.get("use"):
            case "official" | "maiden":
                pairs = [
                    (f"name[{n}].family", name.get("family"), _part(role, "family", "BR")),
                    (f"name[{n}].given[0]", next(iter(name.get("given", [])), None), _part(role, "given", "BR")),
                ]
                for m, each in enumerate(name.get("extension", [])):
                    if each.get("url") == _BIRTH_LIST:
                        pairs.append((f"name[{n}].extension[{m}]", each.get("valueString"), _part(role, "given", None)))
            case "usual":
                pairs = [
                    (f"name[{n}].family", name.get("family"), _part(role, "family", *_USED)),
                    (f"name[{n}].given[0]", next(iter(name.get("given", [])), None), _part(role, "given", *_USED)),
                ]
            case _:
                pairs = []
        for path, ours, element in pairs:
            if ours and element is not None and _plain(ours) != _plain(text_of(element)):
                yield path, ours, element, "", text_of(element)


def _part(role: etree._Element, part: str, *qualifiers: str | None) -> etree._Element | None:
    """A family name or given name by its qualifier."""
    for element in role.findall(qualified(f"patient/name/{part}")):
        if element.get("qualifier") in qualifiers and text_of(element):
            return element
    return None


def _plain(name: str) -> str:
    if name.isascii() and name.isalpha():
        return name.casefold()
    letters = unicodedata.normalize("NFKD", name).casefold()
    return " ".join(
        "".join(each if each.isalnum() else " " for each in letters if not unicodedata.combining(each)).split()
    )


def _birth_place(patient: Tree) -> tuple[str, str] | None:
    for n, extension in enumerate(patient.get("extension", [])):
        if extension.get("url") == _BIRTH_PLACE:
            for m, inner in enumerate(extension.get("valueAddress", {}).get("extension", [])):
                code = inner.get("valueCoding", {}).get("code")
                if inner.get("url") == _INSEE and code:
                    return f"extension[{n}].valueAddress.extension[{m}]", code
    return None
