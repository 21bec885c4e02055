"""The traits of a patient in a CDA header and in a Patient resource (FR Core): name, first names, sex, birth.

Traits of the INS are capitals without accents (référentiel INS); a Patient may write them with both: names are
compared without accents, case, hyphens and apostrophes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from dmp_fhir.identity.traits import BIRTH_LIST, BIRTH_PLACE, INSEE, normal_name
from dmp_fhir.profiles.cda_header import V3, below, qualified, text_of

Tree = dict[str, Any]
# Path in the Patient, what the Patient says, the element of the CDA, its attribute, what the CDA says.
Difference = tuple[str, str, etree._Element, str, str]

_GENDERS = {"male": {"M"}, "female": {"F"}, "unknown": {"UN", "U"}, "other": {"UN", "U"}}
# Qualifiers of the birth name, and of the used one (SP in older documents); the uses of HumanName that say the same.
_BIRTH, _USED = ("BR",), ("CL", "SP")
_BIRTH_NAMES = ("official", "maiden")


class Traits:
    """The traits of a patientRole."""

    def __init__(self, role: etree._Element) -> None:
        # Parts of the names, by element and qualifier; of several, the first.
        self.names: dict[tuple[str, str | None], etree._Element] = {}
        for name in role.iterfind(qualified("patient/name")):
            for part in name.iterchildren(f"{{{V3}}}family", f"{{{V3}}}given"):
                if text_of(part):
                    self.names.setdefault((part.tag[len(V3) + 2 :], part.get("qualifier")), part)
        self.sex = below(role, "patient/administrativeGenderCode")
        self.birth = below(role, "patient/birthTime")
        self.place = below(role, "patient/birthplace/place/addr/county")

    @property
    def missing(self) -> list[str]:
        """The INS traits that are not there, as paths below patient/."""
        there = {
            "name/family[@qualifier='BR']": ("family", "BR") in self.names,
            "name/given[@qualifier='BR']": ("given", "BR") in self.names,
            "name/given[not(@qualifier)]": ("given", None) in self.names,
            "administrativeGenderCode": self.sex is not None and self.sex.get("code"),
            "birthTime": self.birth is not None and self.birth.get("value"),
            "birthplace/place/addr/county": self.place is not None and text_of(self.place),
        }
        return [name for name, found in there.items() if not found]

    def differences(self, patient: Tree) -> Iterator[Difference]:
        """What both sides say differently; what one side does not say is not compared."""
        yield from self._names(patient)
        gender = patient.get("gender")
        if gender and self.sex is not None:
            code = self.sex.get("code")
            if code and code not in _GENDERS.get(gender, ()):
                yield "gender", gender, self.sex, "code", code
        day, birth = patient.get("birthDate"), self.birth
        if day and birth is not None and birth.get("value"):
            ours, theirs = day.replace("-", ""), birth.get("value", "").strip()[:8]
            common = min(len(ours), len(theirs))
            if ours[:common] != theirs[:common]:
                yield "birthDate", day, birth, "value", birth.get("value", "")
        found, place = _birth_place(patient), self.place
        if found and place is not None and text_of(place) and text_of(place) != found[1]:
            yield found[0], found[1], place, "", text_of(place)

    def _names(self, patient: Tree) -> Iterator[Difference]:
        for n, name in enumerate(patient.get("name", [])):
            if name.get("use") in _BIRTH_NAMES:
                qualifiers: tuple[str, ...] = _BIRTH
                for m, each in enumerate(name.get("extension", [])):
                    if each.get("url") == BIRTH_LIST:
                        path = f"name[{n}].extension[{m}]"
                        yield from self._name(path, each.get("valueString"), "given", (None,))
            elif name.get("use") == "usual":
                qualifiers = _USED
            else:
                continue
            yield from self._name(f"name[{n}].family", name.get("family"), "family", qualifiers)
            yield from self._name(f"name[{n}].given[0]", next(iter(name.get("given", [])), None), "given", qualifiers)

    def _name(self, path: str, ours: str | None, part: str, qualifiers: tuple[str | None, ...]) -> Iterator[Difference]:
        element = next((self.names[part, each] for each in qualifiers if (part, each) in self.names), None)
        if ours and element is not None:
            theirs = text_of(element)
            if ours != theirs and _plain(ours) != _plain(theirs):
                yield path, ours, element, "", theirs


def _plain(name: str) -> str:
    return name.upper() if name.isascii() and name.isalpha() else normal_name(name)


def _birth_place(patient: Tree) -> tuple[str, str] | None:
    for n, extension in enumerate(patient.get("extension", [])):
        if extension.get("url") == BIRTH_PLACE:
            for m, inner in enumerate(extension.get("valueAddress", {}).get("extension", [])):
                code = inner.get("valueCoding", {}).get("code")
                if inner.get("url") == INSEE and code:
                    return f"extension[{n}].valueAddress.extension[{m}]", code
    return None
