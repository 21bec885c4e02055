"""Arithmetic of French health identifiers: INS, RPPS, ADELI, FINESS, SIREN, SIRET, PS_IdNat and Struct_IdNat.

Only ASCII digits count (TF-105): `str.isdigit` and `\\d` would also take Arabic-Indic or full-width digits.
Sources: INS reference (matricule and its key), ANS semantic reference (PS_IdNat, Struct_IdNat), HL7 France FR Core
(naming systems of the directory). The old INS-C is in ins_c.py, the traits of a person in traits.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dmp_fhir.canonicals import IDNPS, IDNST, INS_A, INS_C, INS_SYSTEMS, RPPS
from dmp_fhir.outcome import refuse

FINESS_SYSTEM = "https://finess.esante.gouv.fr"
ADELI_SYSTEM = "https://adeli.esante.gouv.fr"
SIRENE = "https://sirene.fr"
ADELI_RANG = "https://adelirang.esante.gouv.fr"
RPPS_RANG = "https://rppsrang.esante.gouv.fr"
LA_POSTE = "356000000"

# Sex 1, 2 (NIR), 3, 4 (being registered), 7, 8 (temporary); months from 20 on stand for incomplete civil status.
_MATRICULE = re.compile(r"[1-478][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])(?:2[AB]|[0-9]{2})[0-9]{6}[0-9]{2}")
_DIGITS_11 = re.compile(r"[0-9]{11}")
_ADELI = re.compile(r"[0-9][0-9AB][0-9]{6,7}")
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}")
_SIREN = re.compile(r"[0-9]{9}")
_SIRET = re.compile(r"[0-9]{14}")
_IDNPS = re.compile(r"8[0-9]{11}|0[0-9][0-9AB][0-9]{6,7}|[13456][0-9A-Z]{1,20}/[^/^&|\s]{1,30}")
_IDNST = re.compile(
    r"(?:0[0-9A-Z]{8,11}|1[0-9][0-9AB][0-9]{7}|2[0-9]{9}|3[0-9]{14}|4[0-9]{11,17}|[A-Z][0-9A-Za-z]{1,38})"
    r"(?:/[^/^&|\s]{1,30})?"
)
_CX = re.compile(r"([0-9A-Z]{1,32})\^\^\^&([0-9.]{1,64})&ISO(?:\^[A-Z]{1,8})?")


@dataclass(frozen=True, slots=True)
class Ins:
    """An INS: `system` is `urn:oid:` + the OID of its naming system, `value` the matricule with its key."""

    system: str
    value: str

    def __str__(self) -> str:
        return f"{self.system}|{self.value}"


def ins_key(body: str) -> str:
    """The two-digit key of the 13 characters of a matricule: 97 - (N mod 97), Corsica 2A as 19 and 2B as 18."""
    number = body[:5] + {"2A": "19", "2B": "18"}.get(body[5:7], body[5:7]) + body[7:]
    return f"{97 - int(number) % 97:02d}"


def is_matricule(value: str) -> bool:
    """Whether `value` is a matricule INS (NIR or NIA) of 15 characters with the right key."""
    return _MATRICULE.fullmatch(value) is not None and ins_key(value[:13]) == value[13:]


def parse_ins(
    system: str,
    value: str,
    *,
    systems: frozenset[str] = INS_SYSTEMS,
    status: int = 422,
    expression: str | None = None,
) -> Ins:
    """The INS named by `system` and `value`; refused with `status` when the system or the key is wrong. INS-C and
    INS-A never name anybody here."""
    if system in (INS_C, INS_A):
        refuse(
            status,
            "value",
            "L'INS-C et l'INS-A ne désignent plus personne : envoyer le matricule INS (NIR ou NIA).",
            "INS-C and INS-A designate nobody any more: send the INS matricule (NIR or NIA).",
            expression=expression,
            rule="INS",
        )
    if system not in systems:
        refuse(
            status,
            "value",
            "Ce système d'identification n'est pas celui d'une INS servie ici : utiliser "
            + " ou ".join(sorted(systems))
            + ".",
            "This naming system is not that of an INS served here: use " + " or ".join(sorted(systems)) + ".",
            expression=expression,
            rule="INS",
        )
    if _MATRICULE.fullmatch(value) is None:
        refuse(
            status,
            "value",
            "Le matricule INS compte 15 caractères : 13 du matricule et 2 de la clé.",
            "An INS matricule has 15 characters: 13 of the body and 2 of the key.",
            expression=expression,
            rule="INS",
        )
    if ins_key(value[:13]) != value[13:]:
        refuse(
            status,
            "value",
            "La clé du matricule INS est fausse : vérifier la saisie.",
            "The key of the INS matricule is wrong: check what was typed.",
            expression=expression,
            rule="INS",
        )
    return Ins(system, value)


def parse_person_id(text: str) -> Ins | None:
    """The INS of a token's `person_id`: `system|value` or the CX form `value^^^&OID&ISO^NH`; None when neither."""
    if match := _CX.fullmatch(text):
        system, value = f"urn:oid:{match[2]}", match[1]
    else:
        system, _, value = text.partition("|")
    return Ins(system, value) if system in INS_SYSTEMS and is_matricule(value) else None


def typed_ins(text: str) -> tuple[str | None, str] | None:
    """The INS that a person typed: naming system, None when it is left open, and matricule. None when it is no INS.

    The matricule may be alone or in the forms of `parse_person_id`, with blanks anywhere; `urn:oid:` may be left out.

    >>> typed_ins("2 74 03 69 123 901 53")
    (None, '274036912390153')
    >>> typed_ins("1.2.250.1.213.1.4.8|2 74 03 69 123 901 53")
    ('urn:oid:1.2.250.1.213.1.4.8', '274036912390153')
    """
    plain = "".join(text.split())
    system, bar, number = plain.rpartition("|")
    number = number.upper()
    if not bar and is_matricule(number):
        return None, number
    prefix = "" if system.startswith("urn:oid:") else "urn:oid:"
    found = parse_person_id(f"{prefix}{system}|{number}" if bar else plain)
    return (found.system, found.value) if found is not None else None


def luhn_digit(digits: str) -> str:
    """The check digit that Luhn's formula adds after `digits`."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 - place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def is_rpps(value: str) -> bool:
    """An RPPS number: 11 digits, the last one a Luhn key."""
    return _DIGITS_11.fullmatch(value) is not None and luhn_digit(value[:10]) == value[10]


def is_adeli(value: str) -> bool:
    """An ADELI number: department, then 6 or 7 digits."""
    return _ADELI.fullmatch(value) is not None


def is_finess(value: str) -> bool:
    """A FINESS number: 9 characters, the last one a Luhn key (not computable for the two Corsican departments)."""
    if _FINESS.fullmatch(value) is None:
        return False
    return not value.isdecimal() or luhn_digit(value[:8]) == value[8]


def is_siren(value: str) -> bool:
    """A SIREN: 9 digits, the last one a Luhn key."""
    return _SIREN.fullmatch(value) is not None and luhn_digit(value[:8]) == value[8]


def is_siret(value: str) -> bool:
    """A SIRET: a SIREN and 5 digits, the last one a Luhn key of all; for the branches of La Poste, which are too many
    for one key, the sum of the digits is a multiple of 5 instead."""
    if _SIRET.fullmatch(value) is None or not is_siren(value[:9]):
        return False
    return luhn_digit(value[:13]) == value[13] or (value[:9] == LA_POSTE and sum(map(int, value)) % 5 == 0)


_PS_KEYS: Mapping[str, Callable[[str], bool]] = {"8": is_rpps, "3": is_finess, "4": is_siren, "5": is_siret}
_STRUCTURE_KEYS: Mapping[str, Callable[[str], bool]] = {"1": is_finess, "2": is_siren, "3": is_siret}


def is_idnps(value: str) -> bool:
    """A PS_IdNat: `8` + RPPS, `0` + ADELI; or `1` ADELI cabinet, `3` FINESS, `4` SIREN, `5` SIRET, `6` RPPS cabinet,
    each + `/` + internal id. The keys of RPPS, FINESS, SIREN and SIRET are checked."""
    if _IDNPS.fullmatch(value) is None:
        return False
    is_right = _PS_KEYS.get(value[0])
    return is_right is None or is_right(value.partition("/")[0][1:])


def is_idnst(value: str) -> bool:
    """A Struct_IdNat: `0` ADELI cabinet, `1` FINESS, `2` SIREN, `3` SIRET, `4` RPPS-rang, or a technical id without
    prefix. The keys of FINESS, SIREN and SIRET are checked."""
    if _IDNST.fullmatch(value) is None:
        return False
    is_right = _STRUCTURE_KEYS.get(value[0])
    return is_right is None or is_right(value.partition("/")[0][1:])


def professional_id(system: str, value: str) -> str | None:
    """The PS_IdNat of a professional named in any of the systems in use; None for another system or a bad number.

    >>> professional_id("https://rpps.esante.gouv.fr", "99700000112")
    '899700000112'
    """
    if system == RPPS:
        return "8" + value if is_rpps(value) else None
    if system == ADELI_SYSTEM:
        return "0" + value if is_adeli(value) else None
    if system == IDNPS:
        return value if is_idnps(value) else None
    return None


def structure_id(system: str, value: str) -> str | None:
    """The Struct_IdNat of a structure named in any of the systems in use; None for another system or a bad number.

    >>> structure_id("https://sirene.fr", "264403106")
    '2264403106'
    """
    prefixed = ""
    if system == IDNST:
        prefixed = value
    elif system == FINESS_SYSTEM:
        prefixed = "1" + value
    elif system == SIRENE and len(value) in (9, 14):
        prefixed = ("2" if len(value) == 9 else "3") + value
    elif system in (ADELI_RANG, RPPS_RANG):
        prefixed = ("0" if system == ADELI_RANG else "4") + value
    return prefixed if is_idnst(prefixed) else None


def normalised_professional(text: str) -> str | None:
    """PS_IdNat of a claim: bare (`899700000112`), bare RPPS, or `system|value`."""
    system, bar, value = text.partition("|")
    if bar:
        return professional_id(system, value)
    return text if is_idnps(text) else professional_id(RPPS, text)


def normalised_structure(text: str) -> str | None:
    """Struct_IdNat of a claim: bare (`1990000010`) or `system|value`."""
    system, bar, value = text.partition("|")
    if bar:
        return structure_id(system, value)
    return text if is_idnst(text) else None
