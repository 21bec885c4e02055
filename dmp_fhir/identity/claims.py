"""Claims of an IUA access token -> AccessContext.

IHE IUA JWT: https://profiles.ihe.net/ITI/IUA/index.html#3714221-json-web-token-option , with the project's extension
`extensions.fr_dmp` (D34: purpose, motive, request of the patient and secrecy are claims, never free headers).
A wrong claim raises `ClaimFault`; its text names the claim and never repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dmp_fhir.canonicals import TRE_G15, TRE_G16, V3_ACT_REASON
from dmp_fhir.identity.context import INS_STATUSES, AccessContext, Software
from dmp_fhir.identity.identifiers import (
    Ins,
    is_matricule,
    normalised_professional,
    normalised_structure,
    parse_person_id,
)
from dmp_fhir.identity.issuers import CATEGORY_MODES, TrustedIssuer

TRE_R248 = "urn:oid:1.2.250.1.213.1.1.4.248"
PURPOSES = {
    (V3_ACT_REASON, "TREAT"): "normal",
    (V3_ACT_REASON, "BTG"): "bris_de_glace",
    (V3_ACT_REASON, "ETREAT"): "centre_15",
    (V3_ACT_REASON, "PATRQT"): "patient",
    (V3_ACT_REASON, "HOPERAT"): "systeme",
    (TRE_R248, "normal"): "normal",
    (TRE_R248, "bris_de_glace"): "bris_de_glace",
    (TRE_R248, "centre_15"): "centre_15",
}
PROFESSION_SYSTEMS = frozenset({TRE_G15, TRE_G16, "urn:oid:1.2.250.1.71.1.2.7"})
"""Where a coding of subject_role is a profession, or the one that somebody trains for; the OID is that of TRE_G15."""
SPECIALTY_SYSTEMS = frozenset(
    {
        "urn:oid:1.2.250.1.71.4.2.5",
        "https://mos.esante.gouv.fr/NOS/TRE_R04-TypeSavoirFaire/FHIR/TRE-R04-TypeSavoirFaire",
        "https://mos.esante.gouv.fr/NOS/TRE_R38-SpecialiteOrdinale/FHIR/TRE-R38-SpecialiteOrdinale",
    }
)
"""Where a coding of subject_role is a specialty (savoir-faire)."""
RELATIONS: Mapping[str, str] = {"PATIENT": "self", "REPRESENTANT": "representative", "AIDANT": "aidant"}
"""What each category of person is to the patient."""
PRACTICE_CONTEXTS = frozenset(
    {"MEDECINE_TRAVAIL", "PMI", "EHPAD_COORDONNATEUR", "SAPEUR_POMPIER", "ASSURANCE", "EXPERTISE", "EMPLOYEUR"}
)
PROFESSIONS = frozenset(
    {"10", "21", "26", "28", "31", "32", "35", "36", "37", "38", "39", "40", "50", "60", "69", "70", "80"}
    | {"81", "82", "83", "84", "85", "86", "91", "92", "94", "95", "96", "98"}
)
"""TRE_G15 codes of health professionals (https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante). Psychologists (93)
are known by their role: CSP L1111-17 III."""

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST = 256
_LONGEST_REASON = 1000


class ClaimFault(Exception):
    """A claim that is missing, of the wrong type or of an unknown value; `args[0]` is its name."""


def _text(claims: Mapping[str, Any], name: str, *, longest: int = _LONGEST) -> str | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
        raise ClaimFault(name)
    return value


def required_text(claims: Mapping[str, Any], name: str) -> str:
    """A claim that must be there, as a text that is not blank."""
    value = _text(claims, name)
    if value is None:
        raise ClaimFault(name)
    return value


def _flag(claims: Mapping[str, Any], name: str) -> bool:
    value = claims.get(name, False)
    if not isinstance(value, bool):
        raise ClaimFault(name)
    return value


def _choice(claims: Mapping[str, Any], name: str, allowed: frozenset[str]) -> str | None:
    value = _text(claims, name)
    if value is not None and value not in allowed:
        raise ClaimFault(name)
    return value


def _members(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name, {})
    if not isinstance(value, dict):
        raise ClaimFault(name)
    return value


def _codings(claims: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    value = claims.get(name, [])
    if not isinstance(value, list) or len(value) > 8 or not all(isinstance(coding, dict) for coding in value):
        raise ClaimFault(name)
    return [(required_text(coding, "system"), required_text(coding, "code")) for coding in value]


def _purpose(iua: Mapping[str, Any]) -> str:
    purposes = {PURPOSES.get(coding) for coding in _codings(iua, "purpose_of_use")}
    if len(purposes) != 1:
        raise ClaimFault("purpose_of_use")
    purpose = purposes.pop()
    if purpose is None:
        raise ClaimFault("purpose_of_use")
    return purpose


def _profession(iua: Mapping[str, Any], fr_dmp: Mapping[str, Any]) -> str | None:
    # Those in training (TRE_G16) are known by that code, never by the profession they train for.
    roles = [code for system, code in _codings(iua, "subject_role") if system in PROFESSION_SYSTEMS]
    stated = _text(fr_dmp, "profession")
    found = {*roles, *([stated] if stated else [])}
    # Several situations of practice in one token: the client must say which one is used (spec identity, section 5).
    if len(found) > 1:
        raise ClaimFault("subject_role")
    return found.pop() if found else None


def _specialty(iua: Mapping[str, Any], fr_dmp: Mapping[str, Any]) -> str | None:
    stated = _text(fr_dmp, "specialty")
    found = {code for system, code in _codings(iua, "subject_role") if system in SPECIALTY_SYSTEMS}
    found |= {stated} if stated else set()
    if len(found) > 1:
        raise ClaimFault("specialty")
    return found.pop() if found else None


def _person(extensions: Mapping[str, Any], iua: Mapping[str, Any]) -> Ins | None:
    """The one patient whom the token is for, by its own word and by the consents that it was issued on (BPPC, PCF).

    What a consent leaves for the resource server to hold back (`residual`) is not held back by this one: such a token
    is refused, since what can't be applied must not be overlooked.
    """
    bppc, pcf = _members(extensions, "ihe_bppc"), _members(extensions, "ihe_pcf")
    if pcf.get("residual", []) != []:
        raise ClaimFault("residual")
    found: set[Ins] = set()
    for claims, name in ((iua, "person_id"), (bppc, "patient_id"), (pcf, "patient_id")):
        if stated := _text(claims, name):
            person = parse_person_id(stated)
            if person is None or not found <= {person}:
                raise ClaimFault(name)
            found.add(person)
    return found.pop() if found else None


def _relation(fr_dmp: Mapping[str, Any], category: str) -> str | None:
    """That of the category: a patient is nobody's representative in the same token."""
    expected = RELATIONS.get(category)
    stated = _text(fr_dmp, "relation")
    if stated is not None and stated != expected:
        raise ClaimFault("relation")
    return expected


def software_of(lps: Mapping[str, Any]) -> Software | None:
    """The software that `lps` (name, version, id, approval) names; None when it names nothing. Raises `ClaimFault`."""
    try:
        found = Software(*(_text(lps, name) for name in ("name", "version", "id", "approval")))
    except ClaimFault as fault:
        raise ClaimFault("lps") from fault
    return found if found != Software() else None


def bound_to(claims: Mapping[str, Any]) -> str | None:
    """The x5t#S256 that the token is bound to (RFC 8705), None when it is not bound. Raises `ClaimFault` for a
    binding of another kind: what can't be checked must not be overlooked."""
    if "cnf" not in claims:
        return None
    confirmation = _members(claims, "cnf")
    if confirmation.keys() != {"x5t#S256"} or not _THUMBPRINT.fullmatch(str(confirmation["x5t#S256"])):
        raise ClaimFault("cnf")
    return str(confirmation["x5t#S256"])


def coded(text: str | None) -> str | None:
    """The code of `code^OID`, as French sources write a coded value."""
    return text.partition("^")[0] if text else None


def _actor_id(category: str, stated: str, structure: str | None) -> str:
    if category in ("PS", "PS_ROLE"):
        found = normalised_professional(stated)
    elif category == "STRUCTURE":
        found = normalised_structure(stated)
        if found != structure:
            raise ClaimFault("subject_organization_id")
    elif category in RELATIONS:
        person = parse_person_id(stated)
        found = person.value if person else stated if is_matricule(stated) else None
    else:
        found = stated if len(stated) <= 64 else None
    if found is None:
        raise ClaimFault("national_provider_identifier" if category in ("PS", "PS_ROLE") else "sub")
    return found


def text_claim(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim that may be absent, else is a text that is not blank. Raises `ClaimFault`."""
    return _text(claims, name)


def access_context(claims: Mapping[str, Any], issuer: TrustedIssuer) -> AccessContext:
    """The context of a token whose signature, issuer, audience and times are already verified. Raises `ClaimFault`."""
    extensions = _members(claims, "extensions")
    iua, fr_dmp = _members(extensions, "ihe_iua"), _members(extensions, "fr_dmp")
    category = required_text(fr_dmp, "category")
    if category not in CATEGORY_MODES or category not in issuer.categories:
        raise ClaimFault("category")
    auth_mode = required_text(fr_dmp, "auth_mode")
    if auth_mode not in CATEGORY_MODES[category] or auth_mode not in issuer.auth_modes:
        raise ClaimFault("auth_mode")
    stated_structure = _text(iua, "subject_organization_id")
    structure = normalised_structure(stated_structure) if stated_structure else None
    if (stated_structure and not structure) or (category in ("STRUCTURE", "CPE") and not structure):
        raise ClaimFault("subject_organization_id")
    stated_id = _text(iua, "national_provider_identifier") or required_text(claims, "sub")
    profession = _profession(iua, fr_dmp)
    if category == "PS" and profession not in PROFESSIONS:
        category = "PS_ROLE"
    person = _person(extensions, iua)
    actor_id = _actor_id(category, stated_id, structure)
    if category == "PATIENT" and (person is None or person.value != actor_id):
        raise ClaimFault("person_id")
    return AccessContext(
        actor_category=category,
        actor_id=actor_id,
        actor_name=_text(iua, "subject_name") or actor_id,
        auth_mode=auth_mode,
        purpose=_purpose(iua),
        profession=profession,
        specialty=_specialty(iua, fr_dmp),
        structure=structure,
        structure_name=_text(iua, "subject_organization"),
        practice_context=_choice(fr_dmp, "context", PRACTICE_CONTEXTS),
        regulation=_flag(fr_dmp, "regulation"),
        reason=_text(fr_dmp, "btg_reason", longest=_LONGEST_REASON),
        secret=_flag(fr_dmp, "secret"),
        patient_agreement=_flag(fr_dmp, "patient_agreement"),
        patient_request=_flag(fr_dmp, "patient_request"),
        person_id=str(person) if person else None,
        represented_by=_text(fr_dmp, "represented_by"),
        ins_status=_choice(fr_dmp, "ins_status", INS_STATUSES) or "QUALIFIEE",
        client_id=required_text(claims, "client_id"),
        token_id=required_text(claims, "jti"),
        issuer=issuer.issuer,
        scopes=frozenset(required_text(claims, "scope").split()),
        sector=coded(_text(fr_dmp, "sector")),
        role=_text(fr_dmp, "role"),
        auth_level=_text(claims, "acr"),
        relation=_relation(fr_dmp, category),
        software=software_of(_members(fr_dmp, "lps")),
        session=_text(claims, "sid") or required_text(claims, "jti"),
        certificate=bound_to(claims),
    )
