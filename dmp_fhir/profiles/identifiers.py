"""Keys and prefixes of French identifiers, wherever a resource carries one: INS, RPPS, ADELI, FINESS, PS_IdNat,
Struct_IdNat, and the OIDs and UUIDs of IHE (rules ID-01 to ID-08).

The profiles say which system stands where; no StructureDefinition can compute a key. In a resource that the registry
finds people by, a wrong number is an error. In a document it is one too, but for the INS: its subject is looked for
in the registry (D18), and the published examples of PDSm4DMP carry an invented number. At level `mhd` all is
information, for foreign systems number otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dmp_fhir.canonicals import (
    FR_CORE,
    IDNPS,
    IDNST,
    INS_NIA,
    INS_NIR,
    INS_NIR_DEMO,
    INS_NIR_TEST,
    INS_SYSTEMS,
    RPPS,
    URI,
)
from dmp_fhir.identity.identifiers import (
    ADELI_SYSTEM,
    FINESS_SYSTEM,
    is_adeli,
    is_finess,
    is_idnps,
    is_idnst,
    is_matricule,
    is_rpps,
)
from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.walk import Walk, path_of

Tree = dict[str, Any]
_PEOPLE = frozenset({"Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization"})
_TYPES = f"{FR_CORE}/CodeSystem/fr-core-cs-v2-0203"
# https://www.itu.int/rec/T-REC-X.660, and the 128 characters of a uniqueId (ITI TF-3 4.2.3.2.26); RFC 4122.
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*)){1,63}")
_UUID = re.compile(r"(?i)urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LONGEST_OID = len("urn:oid:") + 128

RULES: Mapping[str, tuple[str, str]] = {
    "ID-01": (
        "Un matricule INS compte 15 caractères : 13, puis la clé 97 - (nombre modulo 97) sur 2 chiffres.",
        "An INS matricule has 15 characters: 13, then the key 97 - (number modulo 97) in 2 digits.",
    ),
    "ID-02": (
        "Un numéro RPPS compte 11 chiffres, le dernier étant une clé de Luhn.",
        "An RPPS number has 11 digits, the last one a Luhn key.",
    ),
    "ID-03": (
        "Un numéro ADELI compte le département puis 6 ou 7 chiffres.",
        "An ADELI number has the department, then 6 or 7 digits.",
    ),
    "ID-04": (
        "Un numéro FINESS compte 9 caractères, le dernier étant une clé de Luhn.",
        "A FINESS number has 9 characters, the last one a Luhn key.",
    ),
    "ID-05": (
        "PS_IdNat : 8 + RPPS, 0 + ADELI, ou 1, 3 (FINESS), 4 (SIREN), 5 (SIRET), 6 + structure + / + numéro interne ;"
        " les clés sont vérifiées.",
        "PS_IdNat: 8 + RPPS, 0 + ADELI, or 1, 3 (FINESS), 4 (SIREN), 5 (SIRET), 6 + structure + / + internal number;"
        " keys are checked.",
    ),
    "ID-06": (
        "Struct_IdNat : 0 + ADELI, 1 + FINESS, 2 + SIREN, 3 + SIRET, 4 + RPPS-rang, ou nom technique ; les clés sont"
        " vérifiées.",
        "Struct_IdNat: 0 + ADELI, 1 + FINESS, 2 + SIREN, 3 + SIRET, 4 + RPPS-rang, or a technical id; keys are"
        " checked.",
    ),
    "ID-07": (
        "Le type d'une INS (INS-NIR, INS-NIA, INS-NIR-TEST, INS-NIR-DEMO) va avec l'OID de ce type.",
        "The type of an INS (INS-NIR, INS-NIA, INS-NIR-TEST, INS-NIR-DEMO) goes with the OID of that type.",
    ),
    "ID-08": (
        f"Avec le système {URI}, la valeur est un URI : urn:oid: et un OID (128 caractères au plus),"
        " ou urn:uuid: et un UUID.",
        f"With the system {URI}, the value is a URI: urn:oid: and an OID (128 characters at most),"
        " or urn:uuid: and a UUID.",
    ),
}
"""Rule id: sentences in French and English."""
LENIENT = frozenset({"ID-01", "ID-07"})
"""Warnings inside a document, at level `released`."""

_NUMBERS: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    **dict.fromkeys(INS_SYSTEMS, ("ID-01", is_matricule)),
    RPPS: ("ID-02", is_rpps),
    ADELI_SYSTEM: ("ID-03", is_adeli),
    FINESS_SYSTEM: ("ID-04", is_finess),
    IDNPS: ("ID-05", is_idnps),
    IDNST: ("ID-06", is_idnst),
}
_OID_OF_TYPE = {
    "INS-NIR": INS_NIR,
    "INS-NIA": INS_NIA,
    "INS-NIR-TEST": INS_NIR_TEST,
    "INS-NIR-DEMO": INS_NIR_DEMO,
}


def identifier_issues(walk: Walk, level: str) -> list[Issue]:
    """The wrong numbers of a sound resource; `level` is the profile level (D1)."""
    of_people = walk.tree["resourceType"] in _PEOPLE
    issues: list[Issue] = []
    for identifier, way in walk.identifiers:
        broken = _broken(identifier)
        if broken is None:
            continue
        rule, found = broken
        lenient = rule in LENIENT and not of_people and level != "main"
        severity = "information" if level == "mhd" else "warning" if lenient else "error"
        fr, en = RULES[rule]
        if found:
            fr, en = f"{fr} Trouvé : {found[:80]}.", f"{en} Found: {found[:80]}."
        issues.append(Issue(severity, "value", fr, en, path_of(way), rule))
    return issues


def _broken(identifier: Tree) -> tuple[str, str] | None:
    """The rule that an identifier breaks and what was found, or None. A matricule is not repeated: texts get copied."""
    system, value = identifier.get("system"), identifier.get("value")
    if system is None or value is None:
        return None
    rule, is_right = _NUMBERS.get(system, ("ID-08", _is_uri) if system == URI else ("", None))
    if is_right is not None and not is_right(value):
        return rule, "" if rule == "ID-01" else value
    return _of_other_type(identifier, system)


def _is_uri(value: str) -> bool:
    head = value[:9].lower()
    if head.startswith("urn:oid:"):
        return len(value) <= _LONGEST_OID and _OID.fullmatch(value) is not None
    if head == "urn:uuid:":
        return _UUID.fullmatch(value) is not None
    return True  # that it is a URI at all, R4 asks (base_rules.py)


def _of_other_type(identifier: Tree, system: str) -> tuple[str, str] | None:
    """The type of an INS says which OID it has (FR Core 2.1.0, fr-core-patient-ins)."""
    for coding in identifier.get("type", {}).get("coding", ()):
        oid = _OID_OF_TYPE.get(coding.get("code", "")) if coding.get("system") == _TYPES else None
        if oid is not None and oid != system:
            return "ID-07", f"{coding['code']}, {system} (≠ {oid})"
    return None
