"""Decisions of patients to send, and what is to be seen behind the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dmp_fhir.canonicals import CONSENT_KIND_SYSTEM, EXT_CLOSURE, IDNPS, IDNST, V3_ACT_REASON
from dmp_fhir.interactions.services import Services
from tests.support.keys import looked_up
from tests.support.server import TickingClock

Tree = dict[str, Any]
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
DECIDED = "2026-11-22T08:00:00+01:00"


def consent(kind: str, decision: str, ins: str, actor: Tree | None = None, **changes: Any) -> Tree:
    """A Consent in the form of IHE PCF, without a period; `provision` of `changes` is added to."""
    provision: Tree = {"type": decision}
    if actor:
        role = {"coding": [{"system": PARTICIPATION, "code": "IRCP"}]}
        provision["actor"] = [{"role": role, "reference": actor}]
    system, _, value = ins.partition("|")
    patient = {"type": "Patient", "identifier": {"system": system, "value": value}}
    tree = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [
            {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]},
            {"coding": [{"system": CONSENT_KIND_SYSTEM, "code": kind}]},
        ],
        "patient": patient,
        "dateTime": DECIDED,
        "performer": [patient],
        "organization": [{"display": "Registre"}],
        "sourceAttachment": {"contentType": "text/plain", "title": "Choix du patient"},
        "policy": [{"uri": f"https://dmp-fhir.example/policies/{kind.lower()}/1"}],
        "provision": provision | changes.pop("provision", {}),
    }
    return tree | changes


def professional(number: str) -> Tree:
    return {"type": "Practitioner", "identifier": {"system": IDNPS, "value": number}}


def structure(number: str) -> Tree:
    return {"type": "Organization", "identifier": {"system": IDNST, "value": number}}


def helper(number: str) -> Tree:
    return {"type": "RelatedPerson", "identifier": {"value": number}}


def purposes(*codes: str) -> list[Tree]:
    return [{"system": V3_ACT_REASON, "code": code} for code in codes]


def closing(ins: str, motive: str = "FERMETURE_DEMANDE_PATIENT", reason: str | None = "Je ferme mon dossier.") -> Tree:
    parts = [
        {"url": "motifFermeture", "valueCodeableConcept": {"coding": [{"code": motive}]}},
        *([{"url": "raisonFermeture", "valueString": reason}] if reason else []),
    ]
    return consent("OUVERTURE", "deny", ins, extension=[{"url": EXT_CLOSURE, "extension": parts}])


@dataclass(frozen=True)
class Office:
    """Rows of the registry, and its clock."""

    services: Services
    clock: TickingClock

    def rows(self, sql: str, **params: Any) -> list[tuple]:
        with self.services.database.snapshot() as reader:
            return reader.rows(sql, params)

    def record(self, ins: str) -> str:
        return str(
            self.rows("SELECT record_id FROM ins WHERE value = :value", value=looked_up(self.services.database, ins))[
                0
            ][0]
        )

    def messages(self, ins: str, kind: str) -> list[tuple[str, str]]:
        """Recipients of the messages of a kind about a record."""
        return sorted(
            self.rows(
                "SELECT recipient_kind, recipient_id FROM notification WHERE record_id = :record AND kind = :kind",
                record=self.record(ins),
                kind=kind,
            )
        )
