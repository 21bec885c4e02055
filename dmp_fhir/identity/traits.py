"""The five strict traits of an INS: birth name, birth first names, birth date, sex, place of birth (INSEE code).

A matricule names a person only together with these (référentiel INS). Traits of the INSi teleservice are capitals
without accents; software also writes them with both, so they are compared without accents, case, hyphens, apostrophes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

BIRTH_LIST = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name"
BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
INSEE = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code"
_SEXES = {"male": "M", "female": "F"}
_LIGATURES = str.maketrans({"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss"})
_BIRTH_NAMES = ("official", "maiden")


@dataclass(frozen=True, slots=True)
class StrictTraits:
    """Traits in their normal form, empty when not told. `birth_date` is YYYY-MM-DD, YYYY-MM or YYYY; `sex` is M, F or I
    (indéterminé); `birth_place` is the INSEE code of the commune, or 99 and that of the country."""

    birth_name: str = ""
    first_names: str = ""
    birth_date: str = ""
    sex: str = ""
    birth_place: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the traits that are not told."""
        return tuple(each.name for each in fields(self) if not getattr(self, each.name))

    def differences(self, other: StrictTraits) -> tuple[str, ...]:
        """The names of the traits that both tell and that differ. First names agree when one list begins with the
        other: the first one alone is often all there is. Dates agree when one is the beginning of the other."""
        return tuple(each.name for each in fields(self) if not _agree(each.name, self, other))


def _agree(name: str, one: StrictTraits, other: StrictTraits) -> bool:
    ours, theirs = getattr(one, name), getattr(other, name)
    if not ours or not theirs or ours == theirs:
        return True
    if name == "first_names":
        shorter, longer = sorted((ours, theirs), key=len)
        return longer.startswith(shorter + " ")
    if name == "birth_date":
        shorter, longer = sorted((ours, theirs), key=len)
        return longer.startswith(shorter + "-")
    return False


def normal_name(name: str) -> str:
    """A name as traits are compared: capitals A to Z and blanks between them.

    >>> normal_name(" Élodie  d'Œuf-Le Goff ")
    'ELODIE D OEUF LE GOFF'
    """
    letters = unicodedata.normalize("NFKD", name.translate(_LIGATURES)).upper()
    plain = "".join(each for each in letters if not unicodedata.combining(each))
    return " ".join(re.sub(r"[\W_]", " ", plain).split())


def traits_of(patient: Mapping[str, Any]) -> StrictTraits:
    """The strict traits of a Patient in the form of FR Core: the official (or maiden) name, the list of birth first
    names, gender, birthDate, and the INSEE code of the birth place."""
    names = [each for each in patient.get("name", ()) if each.get("use") in _BIRTH_NAMES]
    name = names[0] if names else {}
    listed = [each.get("valueString", "") for each in name.get("extension", ()) if each.get("url") == BIRTH_LIST]
    gender = patient.get("gender")
    return StrictTraits(
        birth_name=normal_name(name.get("family", "")),
        first_names=normal_name(listed[0] if listed else " ".join(name.get("given", ()))),
        birth_date=patient.get("birthDate", ""),
        sex=_SEXES.get(gender, "I") if gender else "",
        birth_place=_birth_place(patient),
    )


def _birth_place(patient: Mapping[str, Any]) -> str:
    for extension in patient.get("extension", ()):
        if extension.get("url") == BIRTH_PLACE:
            for inner in extension.get("valueAddress", {}).get("extension", ()):
                if inner.get("url") == INSEE and inner.get("valueCoding", {}).get("code"):
                    return str(inner["valueCoding"]["code"]).upper()
    return ""
