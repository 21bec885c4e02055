"""The shape of a Consent of the DMP: one decision of the patient, in the form of IHE PCF.

https://profiles.ihe.net/ITI/PCF/content.html. What the registry would not apply is refused: a consent that says less
than what was understood from it would give a right that nobody gave (TF-026, TF-027).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dmp_fhir.canonicals import CONSENT_KIND_SYSTEM, EXT_CLOSURE, V3_ACT_REASON
from dmp_fhir.outcome import Issue, error

Tree = dict[str, Any]
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
CLOSING_MOTIVES = frozenset({"FERMETURE_DEMANDE_PATIENT", "DECES", "FRAUDE_DOUBLON", "OPPOSITION"})
"""Coded motives of a closing: the first is the DMP's (OID 1.2.250.1.213.4.1.2.4), the others ours (AR-09)."""

_PROVISION = frozenset({"id", "type", "period", "actor", "purpose", "securityLabel"})


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a kind of consent may say: its decisions, whom it names, for which purposes."""

    decisions: frozenset[str]
    actors: frozenset[str]
    purposes: frozenset[str]


def _kind(decisions: str, actors: str = "", purposes: str = "TREAT") -> _Kind:
    return _Kind(frozenset(decisions.split()), frozenset(actors.split()), frozenset(purposes.split()))


_SOMEBODY = "Practitioner PractitionerRole Organization"
KINDS = {
    "OUVERTURE": _kind("permit deny"),
    "AUTORISATION": _kind("permit deny", _SOMEBODY),
    "EQUIPE": _kind("permit deny", "CareTeam"),
    "MEDECIN_TRAITANT": _kind("permit deny", "Practitioner PractitionerRole"),
    "BLOCAGE": _kind("deny", _SOMEBODY, ""),
    "URGENCE_BTG": _kind("permit deny", purposes="BTG"),
    "URGENCE_SAMU": _kind("permit deny", purposes="ETREAT"),
    "URGENCE_MASQUES": _kind("permit deny", purposes="BTG ETREAT"),
    "MASQUAGE_DEFAUT": _kind("permit deny"),
    "OPPOSITION_ALIMENTATION": _kind("deny", _SOMEBODY),
    "DELEGATION": _kind("permit deny", "RelatedPerson Patient", "PATRQT"),
}


def consent_issues(tree: Tree) -> list[Issue]:
    """What is wrong with a Consent; the registry's columns check the rest (registry/columns.py)."""
    return list(_issues(tree))


def _issues(tree: Tree) -> Iterator[Issue]:
    scopes = {c.get("code") for c in tree.get("scope", {}).get("coding", []) if c.get("system") == SCOPE}
    if scopes != {"patient-privacy"}:
        yield _error(
            f"Indiquer dans Consent.scope le code patient-privacy du système {SCOPE}, et lui seul.",
            f"Put the code patient-privacy of the system {SCOPE}, and only it, in Consent.scope.",
            "Consent.scope",
        )
    code = _code(tree)
    kind = KINDS.get(code or "")
    if kind is None:
        yield _error(
            f"Consent.category porte un code du système {CONSENT_KIND_SYSTEM} : {', '.join(KINDS)}.",
            f"Consent.category carries a code of the system {CONSENT_KIND_SYSTEM}: {', '.join(KINDS)}.",
            "Consent.category",
        )
        return
    yield from _provision_issues(code or "", kind, tree.get("provision", {}))
    if code == "OUVERTURE" and tree.get("provision", {}).get("type") == "deny" and tree.get("status") == "active":
        yield from _closure_issues(tree)


def _provision_issues(code: str, kind: _Kind, provision: Tree) -> Iterator[Issue]:
    for name in sorted(provision.keys() - _PROVISION):
        if not name.startswith("_"):
            yield _error(
                f"Retirer provision.{name} : ce registre ne l'applique pas, et une restriction ne se perd pas.",
                f"Remove provision.{name}: this registry does not apply it, and a restriction is not to be lost.",
                f"Consent.provision.{name}",
            )
    decision = provision.get("type")
    if decision not in kind.decisions:
        expected = " ou ".join(sorted(kind.decisions))
        yield _error(
            f"Un consentement {code} a provision.type {expected}.",
            f"A consent {code} has provision.type {expected.replace(' ou ', ' or ')}.",
            "Consent.provision.type",
        )
    actors = provision.get("actor", [])
    if kind.actors and len(actors) != 1:
        yield _error(
            f"Un consentement {code} nomme un acteur, et un seul, dans provision.actor.",
            f"A consent {code} names one actor, and only one, in provision.actor.",
            "Consent.provision.actor",
        )
    if not kind.actors and actors:
        yield _error(
            f"Un consentement {code} porte sur tout le dossier : retirer provision.actor.",
            f"A consent {code} is about the whole record: remove provision.actor.",
            "Consent.provision.actor",
        )
    for actor in actors if kind.actors else ():
        stated = _actor_type(actor.get("reference", {}))
        if stated and stated not in kind.actors:
            yield _error(
                f"L'acteur d'un consentement {code} est de type {', '.join(sorted(kind.actors))}.",
                f"The actor of a consent {code} is of type {', '.join(sorted(kind.actors))}.",
                "Consent.provision.actor[0].reference",
            )
    stated_purposes = {c.get("code") for c in provision.get("purpose", []) if c.get("system") == V3_ACT_REASON}
    if len(provision.get("purpose", [])) != len(stated_purposes) or stated_purposes not in (set(), kind.purposes):
        expected = ", ".join(sorted(kind.purposes)) or "—"
        yield _error(
            f"Un consentement {code} a pour finalité {expected} ({V3_ACT_REASON}), ou aucune.",
            f"A consent {code} has the purpose {expected} ({V3_ACT_REASON}), or none.",
            "Consent.provision.purpose",
        )


def _closure_issues(tree: Tree) -> Iterator[Issue]:
    parts = _closure(tree)
    motives = {c.get("code") for c in parts.get("motifFermeture", {}).get("valueCodeableConcept", {}).get("coding", [])}
    reason = parts.get("raisonFermeture", {}).get("valueString", "")
    if not motives & CLOSING_MOTIVES or not reason.strip():
        codes = ", ".join(sorted(CLOSING_MOTIVES))
        yield _error(
            f"Fermer demande l'extension {EXT_CLOSURE} : motifFermeture (code : {codes}) et raisonFermeture (texte).",
            f"Closing needs the extension {EXT_CLOSURE}: motifFermeture (code: {codes}) and raisonFermeture (text).",
            "Consent.extension",
            rule="AR-09",
        )


def closure_parts(tree: Tree) -> list[Tree]:
    """The closing as told on the Patient (D22): date (that of the decision when none is stated), motive, reason."""
    parts = _closure(tree)
    dated = parts.get("dateFermeture") or {"url": "dateFermeture", "valueDate": tree["dateTime"][:10]}
    return [dated, *(parts[name] for name in ("motifFermeture", "raisonFermeture") if name in parts)]


def _closure(tree: Tree) -> dict[str, Tree]:
    found = [each for each in tree.get("extension", []) if each.get("url") == EXT_CLOSURE]
    return {part.get("url", ""): part for each in found for part in each.get("extension", [])}


def _code(tree: Tree) -> str | None:
    codes = [
        coding.get("code")
        for category in tree.get("category", [])
        for coding in category.get("coding", [])
        if coding.get("system") == CONSENT_KIND_SYSTEM
    ]
    return codes[0] if len(codes) == 1 else None


def _actor_type(reference: Tree) -> str:
    stated = reference.get("type") or ""
    literal = reference.get("reference", "")
    return stated or (literal.partition("/")[0] if "/" in literal else "")


def _error(fr: str, en: str, expression: str, *, rule: str = "PCF") -> Issue:
    return error("business-rule", fr, en, expression=expression, rule=rule)
