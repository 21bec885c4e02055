"""Reads decision scenarios written in the schema of the rule book, when the folder that has them is there."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.standing import Permit, Representative, Standing

INS = "urn:oid:1.2.250.1.213.1.4.10|279035121518989"
OTHER_INS = "urn:oid:1.2.250.1.213.1.4.10|255081416802538"
_STATUS = {"OUVERT": "open", "FERME": "closed", "SUSPENDU": "suspended", "ABSENT": "absent"}
_KINDS = {"PS": "Practitioner", "STRUCTURE": "Organization", "EQUIPE": "CareTeam"}
_YEAR_MS = 365_250 * 86_400


def shared_folder() -> Path | None:
    """The reference folder beside the checkout, or named by DMP_FHIR_SHARED."""
    named = os.environ.get("DMP_FHIR_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    return folder if (folder / "data" / "policy-scenarios.json").exists() else None


def shared_scenarios() -> list[dict[str, Any]]:
    folder = shared_folder()
    if folder is None:
        return []
    return json.loads((folder / "data" / "policy-scenarios.json").read_bytes())["scenarios"]


def instant(text: str | None) -> int | None:
    return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None


def context_of(scenario: dict[str, Any]) -> AccessContext:
    actor, request = scenario["actor"], scenario["request"]
    person = actor["category"] in ("PATIENT", "REPRESENTANT", "AIDANT")
    return AccessContext(
        actor_category=actor["category"],
        actor_id="279035121518989" if actor["category"] == "PATIENT" else actor.get("id") or "none",
        actor_name=scenario["id"],
        auth_mode=actor["authMode"],
        purpose=request["purpose"],
        profession=actor.get("profession"),
        structure=actor.get("structure"),
        practice_context=actor.get("context"),
        regulation=actor.get("regulation", False),
        reason=request.get("reason"),
        secret=request.get("secret", False),
        patient_agreement=request.get("patientAgreement", False),
        patient_request=request.get("patientRequest", False),
        person_id=OTHER_INS if request.get("tokenPatientMismatch") else INS if person else None,
        ins_status=scenario["dmp"].get("insStatus", "QUALIFIEE"),
    )


def standing_of(scenario: dict[str, Any], now_ms: int) -> Standing:
    consents, dmp, actor = scenario["consents"], scenario["dmp"], scenario["actor"]
    age = dmp["patientAge"]
    return Standing(
        record_id="record",
        status=_STATUS[dmp["status"]],
        ins=frozenset({INS}),
        majority_ms=now_ms - (age - 18) * _YEAR_MS,
        treating_physicians=frozenset(consents["mt"]),
        permits=tuple(
            Permit(
                _KINDS[one["kind"]],
                one["who"],
                instant(one.get("start")) or 0,
                instant(one.get("end")) or 2**62,
                frozenset(one.get("members") or ()),
            )
            for one in consents["permits"]
        ),
        blocked=frozenset(one["who"] for one in consents["blocks"]),
        representatives=(Representative(actor["id"]),) if actor["category"] == "REPRESENTANT" else (),
        helpers=frozenset({actor["id"]}) if actor["category"] == "AIDANT" else frozenset(),
        break_glass=consents["btg"] == "permit",
        centre_15=consents["samu"] == "permit",
        masked_in_emergency=consents["maskedInEmergency"] == "permit",
        mask_by_default=consents["maskByDefault"],
        feeding_opposed=frozenset(consents["feedOpposition"]),
    )


def document_of(scenario: dict[str, Any]) -> DocumentFacts | None:
    document = scenario["document"]
    if document is None:
        return None
    author = document["author"]
    person = author["category"] in ("PS", "PS_ROLE")
    return DocumentFacts(
        type_code=document["typeCode"],
        labels=frozenset(document["labels"]) - {"N"},
        status={"deleted": "entered-in-error", "archived": "current"}.get(document["status"], document["status"]),
        archived=document["status"] == "archived",
        author_persons=frozenset({author["id"]}) if person and author["id"] else frozenset(),
        author_structures=frozenset({author["structure"]}) if author.get("structure") else frozenset(),
        author_patients=frozenset({author["id"]}) if author["category"] == "PATIENT" else frozenset(),
        deposited_ms=instant(document["depositedOn"]) or 0,
    )


def target_of(scenario: dict[str, Any]) -> ConsentTarget | None:
    kind = {"auth": "AUTORISATION", "mt": "MEDECIN_TRAITANT"}.get(scenario["request"]["action"].partition(".")[0])
    target = scenario["request"].get("target")
    if kind is None or not isinstance(target, str):
        return None
    return ConsentTarget(kind, "permit", "Practitioner", target)


def action_of(scenario: dict[str, Any]) -> Action:
    return Action(scenario["request"]["action"])
