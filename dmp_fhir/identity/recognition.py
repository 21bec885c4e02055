"""What a number may be, by its form, and whether its key is right: for whoever integrates with the registry."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dmp_fhir.canonicals import IDNPS, IDNST, INS_A, INS_C, INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, RPPS
from dmp_fhir.identity import identifiers as ids
from dmp_fhir.identity.ins_c import is_ins_c

_CX = re.compile(r"([^^]+)\^\^\^&([0-9.]+)&ISO(?:\^.*)?")


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that a value may be: its name, whether its form and key are right, and what to know about it."""

    name: str
    right: bool
    remark: str


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    pattern: re.Pattern[str]
    is_right: Callable[[str], bool]
    key: Callable[[str], str] | None = None
    """The value with the key that it should have."""
    remark: Callable[[str], str] = lambda value: ""

    def read(self, value: str) -> Reading | None:
        if self.pattern.fullmatch(value) is None:
            return None
        if self.is_right(value):
            return Reading(self.name, True, self.remark(value))
        return Reading(
            self.name, False, f"wrong key: {self.key(value)} is expected" if self.key else "wrong form or key"
        )


def _luhn(value: str) -> str:
    return value[:-1] + ids.luhn_digit(value[:-1]) if value.isdecimal() else value


def _of_matricule(value: str) -> str:
    kind = "NIR" if value[0] in "12" else "NIA or NIR being attributed"
    place = {"2A": "Corse-du-Sud", "2B": "Haute-Corse", "99": "born abroad"}.get(value[5:7], "")
    month = "" if "01" <= value[3:5] <= "12" else "incomplete civil status"
    return ", ".join(each for each in (kind, place, month) if each)


_MATRICULE = _Kind(
    "INS matricule",
    re.compile(r"[0-9]{5}[0-9][0-9AB][0-9]{8}"),
    ids.is_matricule,
    lambda value: value[:13] + ids.ins_key(value[:13]),
    _of_matricule,
)
_INS_C = _Kind("INS-C", re.compile("[0-9]{22}"), is_ins_c, None, lambda value: "of before 2021: names no record here")
_RPPS = _Kind("RPPS", re.compile("[0-9]{11}"), ids.is_rpps, _luhn, lambda value: f"PS_IdNat 8{value}")
_ADELI = _Kind("ADELI", re.compile("[0-9][0-9AB][0-9]{6,7}"), ids.is_adeli, None, lambda value: "without key")
_FINESS = _Kind(
    "FINESS", re.compile("[0-9][0-9AB][0-9]{7}"), ids.is_finess, _luhn, lambda value: f"Struct_IdNat 1{value}"
)
_SIREN = _Kind("SIREN", re.compile("[0-9]{9}"), ids.is_siren, _luhn, lambda value: f"Struct_IdNat 2{value}")
_SIRET = _Kind("SIRET", re.compile("[0-9]{14}"), ids.is_siret, _luhn, lambda value: f"Struct_IdNat 3{value}")
_PS_PREFIXES = {"0": "ADELI", "1": "ADELI cabinet", "3": "FINESS", "4": "SIREN", "5": "SIRET", "6": "RPPS cabinet"}
_PS_IDNAT = _Kind(
    "PS_IdNat",
    re.compile("8[0-9]{11}|0[0-9A-Z]{8,9}|[13456][0-9A-Z]+/.+"),
    ids.is_idnps,
    None,
    lambda value: {**_PS_PREFIXES, "8": "RPPS"}[value[0]],
)
_ST_PREFIXES = {"0": "ADELI cabinet", "1": "FINESS", "2": "SIREN", "3": "SIRET", "4": "RPPS-rang"}
_STRUCT_IDNAT = _Kind(
    "Struct_IdNat",
    re.compile("1[0-9][0-9AB][0-9]{7}|2[0-9]{9}|3[0-9]{14}|[0-4][0-9A-Z]+/.+|[A-Z][0-9A-Za-z]+"),
    ids.is_idnst,
    None,
    lambda value: _ST_PREFIXES.get(value[0], "technical id"),
)
_ALL = (_MATRICULE, _INS_C, _RPPS, _ADELI, _FINESS, _SIREN, _SIRET, _PS_IDNAT, _STRUCT_IDNAT)
_BY_SYSTEM = {
    **dict.fromkeys((INS_NIR, INS_NIA, INS_NIR_TEST, INS_NIR_DEMO), (_MATRICULE,)),
    INS_C: (_INS_C,),
    INS_A: (),
    RPPS: (_RPPS,),
    ids.ADELI_SYSTEM: (_ADELI,),
    ids.FINESS_SYSTEM: (_FINESS,),
    ids.SIRENE: (_SIREN, _SIRET),
    IDNPS: (_PS_IDNAT,),
    IDNST: (_STRUCT_IDNAT,),
}
SYSTEMS = {
    INS_NIR: "INS-NIR",
    INS_NIA: "INS-NIA",
    INS_NIR_TEST: "INS-NIR of tests",
    INS_NIR_DEMO: "INS-NIR of demonstrations",
}


def readings(text: str) -> list[Reading]:
    """What `text` may be: a bare number, `system|value`, or the CX form `value^^^&OID&ISO^NH`. Right readings first;
    none when it looks like nothing known."""
    system, _, value = text.rpartition("|")
    if match := _CX.fullmatch(text):
        system, value = f"urn:oid:{match[2]}", match[1]
    found = [reading for kind in _BY_SYSTEM.get(system, _ALL if not system else ()) if (reading := kind.read(value))]
    if named := SYSTEMS.get(system):
        found = [Reading(f"{each.name}, {named}", each.right, each.remark) for each in found]
    return sorted(found, key=lambda each: not each.right)
