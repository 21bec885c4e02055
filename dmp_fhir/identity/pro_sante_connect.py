"""Pro Santé Connect: what the userinfo endpoint says of a professional -> AccessContext.

OpenID Connect with the sector's claims (https://industriels.esante.gouv.fr/produits-et-services/pro-sante-connect). A
professional may practise in several places and professions: only one situation counts, the one that the session or the
client names (TF-054); an ambiguous one is refused. What the token itself says (client, scope, level) comes from it,
verified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dmp_fhir.identity.claims import PROFESSIONS, ClaimFault, coded, required_text, software_of, text_claim
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.identifiers import is_finess, is_idnst, normalised_professional
from dmp_fhir.identity.issuers import TrustedIssuer

_TEST_IDENTIFIER = re.compile(r"ANS[0-9]{8,20}")
_SIRET = re.compile(r"[0-9]{14}")
_FLAG = {"VRAI": True, "FAUX": False}
_STUDENT = "E"
_MOST = 32


@dataclass(frozen=True, slots=True)
class Situation:
    """One practice situation: an exercise of a profession, at a place when it has one."""

    profession: str
    specialty: str | None
    structure: str | None
    structure_name: str | None
    sector: str | None
    role: str | None
    names: frozenset[str]
    """What a client or the session may call its place: FINESS, SIRET, technical id, Struct_IdNat, its former one."""


def access_context(
    claims: Mapping[str, Any], userinfo: Mapping[str, Any], issuer: TrustedIssuer, situation: str | None = None
) -> AccessContext:
    """The context of a professional from the verified claims of the access token and the answer of the userinfo
    endpoint.

    `situation` is the place that the client chose, in any of the forms of `Situation.names`. Raises `ClaimFault`.
    """
    subject = required_text(userinfo, "sub")
    if "sub" in claims and subject != claims["sub"]:
        raise ClaimFault("sub")  # OpenID Connect Core, section 5.3.2
    actor_id = _actor_id(userinfo, issuer)
    chosen = _chosen(userinfo, situation)
    reason = _told(userinfo, "Mode_Acces_Raison")
    regulation = _FLAG.get(str(userinfo.get("Acces_Regulation_Medicale", "FAUX")))
    if regulation is None or (regulation and reason):
        raise ClaimFault("Acces_Regulation_Medicale")
    category = "PS" if chosen.profession in PROFESSIONS else "PS_ROLE"
    if category not in issuer.categories or "CPS" not in issuer.auth_modes:
        raise ClaimFault("SubjectRefPro")
    name = " ".join(part for part in (userinfo.get("given_name"), userinfo.get("family_name")) if isinstance(part, str))
    return AccessContext(
        actor_category=category,
        actor_id=actor_id,
        actor_name=name.strip()[:256] or actor_id,
        auth_mode="CPS",
        purpose="bris_de_glace" if reason else "centre_15" if regulation else "normal",
        profession=chosen.profession,
        specialty=chosen.specialty,
        structure=chosen.structure,
        structure_name=chosen.structure_name,
        regulation=regulation,
        reason=reason,
        client_id=required_text(claims, "client_id"),
        token_id=required_text(claims, "jti"),
        issuer=issuer.issuer,
        scopes=frozenset(required_text(claims, "scope").split()),
        sector=chosen.sector,
        role=chosen.role,
        auth_level=coded(_told(userinfo, "Palier_Authentification")) or text_claim(claims, "acr"),
        software=software_of({}),
        session=text_claim(claims, "sid") or required_text(claims, "jti"),
    )


def _told(userinfo: Mapping[str, Any], name: str) -> str | None:
    """A claim of userinfo; an empty text is how Pro Santé Connect says nothing."""
    return None if userinfo.get(name) == "" else text_claim(userinfo, name)


def _actor_id(userinfo: Mapping[str, Any], issuer: TrustedIssuer) -> str:
    stated = _told(userinfo, "SubjectNameID") or _told(userinfo, "preferred_username")
    if stated is None:
        raise ClaimFault("SubjectNameID")
    if issuer.test_identities and _TEST_IDENTIFIER.fullmatch(stated):
        return stated
    found = normalised_professional(stated)
    if found is None:
        raise ClaimFault("SubjectNameID")
    return found


def _chosen(userinfo: Mapping[str, Any], situation: str | None) -> Situation:
    """The one situation left once the client, then the session, have said which."""
    found = list(dict.fromkeys(_situations(userinfo)))
    if place := situation or _told(userinfo, "SubjectOrganizationID"):
        found = [each for each in found if place in each.names]
    if roles := _codes(userinfo, "SubjectRole"):
        found = [each for each in found if each.profession.removeprefix("G16_") in roles]
    if len(found) > 1 and (sector := coded(_told(userinfo, "Secteur_Activite"))):
        found = [each for each in found if each.sector == sector]
    if len(found) != 1:
        raise ClaimFault("situation_exercice" if found or situation else "SubjectRefPro")
    return found[0]


def _situations(userinfo: Mapping[str, Any]) -> Iterator[Situation]:
    professional = userinfo.get("SubjectRefPro")
    if not isinstance(professional, dict):
        raise ClaimFault("SubjectRefPro")
    for exercise in _objects(professional, "exercices"):
        code = _field(exercise, "codeProfession")
        if code is None:
            raise ClaimFault("SubjectRefPro")
        # Those in training are known by that code, never by the profession they train for.
        profession = f"G16_{code}" if _field(exercise, "codeCategorieProfessionnelle") == _STUDENT else code
        specialty = _field(exercise, "codeSavoirFaire")
        activities = _objects(exercise, "activities")
        if not activities:
            yield Situation(profession, specialty, None, None, None, None, frozenset())
        for activity in activities:
            structure, names = _place(activity)
            yield Situation(
                profession,
                specialty,
                structure,
                _field(activity, "raisonSocialeSite"),
                coded(_field(activity, "codeSecteurDactivite")),
                _field(activity, "codeRole") or _field(activity, "codeGenreActivite"),
                names,
            )


def _place(activity: Mapping[str, Any]) -> tuple[str | None, frozenset[str]]:
    """The Struct_IdNat of the place (1 + FINESS, else 3 + SIRET, else its technical id) and all its names."""
    finess, siret = _field(activity, "numeroFinessSite"), _field(activity, "numeroSiretSite")
    technical = _field(activity, "identifiantTechniqueDeLaStructure")
    if finess and not is_finess(finess):
        raise ClaimFault("numeroFinessSite")
    if siret and not _SIRET.fullmatch(siret):
        raise ClaimFault("numeroSiretSite")
    candidates = [f"1{finess}" if finess else None, f"3{siret}" if siret else None, technical]
    structure = next((each for each in candidates if each and is_idnst(each)), None)
    former = _field(activity, "ancienIdentifiantDeLaStructure")
    return structure, frozenset(each for each in (*candidates, finess, siret, former) if each)


def _objects(tree: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = tree.get(name) or []
    if not isinstance(value, list) or len(value) > _MOST or not all(isinstance(each, dict) for each in value):
        raise ClaimFault("SubjectRefPro")
    return value


def _field(tree: Mapping[str, Any], name: str) -> str | None:
    """A field of a situation; an empty text, as the directory writes what it does not know, is no field."""
    value = tree.get(name)
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > 256 or not value.isprintable():
        raise ClaimFault("SubjectRefPro")
    return value


def _codes(tree: Mapping[str, Any], name: str) -> frozenset[str]:
    value = tree.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ClaimFault(name)
    return frozenset(each.partition("^")[0] for each in value if each)
