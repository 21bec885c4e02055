"""Decisions of the patient as Consent: create and update (IHE PCF, ITI-108; consent kinds of the DMP).

https://profiles.ihe.net/ITI/PCF/ITI-108.html. A consent is never deleted: ending it sets `status` to inactive.
"""

from __future__ import annotations

from typing import Any

from dmp_fhir.ids import new_id
from dmp_fhir.interactions.conditions import require_match
from dmp_fhir.interactions.conformance import require_conforming
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.references import record_of, subject_of
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import Decision
from dmp_fhir.policy.facts import ConsentTarget
from dmp_fhir.policy.relation import PATIENT_SIDE
from dmp_fhir.profiles.walk import Walk
from dmp_fhir.registry.columns import consent_columns
from dmp_fhir.registry.consents import consequences, profiles_followed, with_period
from dmp_fhir.registry.shelves import current, put_new, put_next
from dmp_fhir.registry.versions import Found
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]


def create_consent(gate: Writing, walk: Walk, record_id: str) -> Found:
    """Record a decision about a record; what it entails happens in the same transaction."""
    tree = walk.tree | {"patient": subject_of({"subject": walk.tree.get("patient", {})}, record_id)}
    decision = gate.permit(Action.CONSENT_WRITE, record_id, target=_target(gate, record_id, tree))
    require_conforming(gate, walk)
    stored = _as_stored(gate, record_id, tree | {"id": new_id()})
    found = put_new(gate.tx, record_id, stored, gate.instant(record_id))
    _entail(gate, record_id, stored, decision)
    gate.did("create", "C", record_id, found, decision=decision)
    return found


def update_consent(gate: Writing, record_id: str, walk: Walk, request: Request) -> Found:
    """A consent changes by its status and period: kind and actor stay what they were, the decision too when it is
    about somebody."""
    tree = walk.tree
    visible = current(gate.reader, record_id, "Consent", tree["id"], gate.predicates(record_id)["Consent"])
    if visible is None:
        not_found()
    decision = gate.permit(Action.CONSENT_WRITE, record_id, target=_target(gate, record_id, tree))
    if record_of(gate, tree) != record_id:
        refuse(
            422,
            "business-rule",
            "Une ressource ne change pas de dossier.",
            "A resource does not move to another record.",
            expression="Consent.patient",
            rule="D18",
            xds="XDSPatientIdDoesNotMatch",
        )
    require_match(request, visible.version)
    before, after = consent_target(parse_json(visible.body)), consent_target(tree)
    if (before.kind, before.actor_id) != (after.kind, after.actor_id) or (
        after.actor_id and before.decision != after.decision
    ):
        refuse(
            422,
            "business-rule",
            "La nature, l'acteur et le sens d'un consentement ne changent pas : mettez fin à celui-ci et créez-en un"
            " autre.",
            "The kind, the actor and the decision of a consent do not change: end this one and create another.",
            expression="Consent.category",
            rule="AR-22",
        )
    require_conforming(gate, walk)
    stored = _as_stored(gate, record_id, tree)
    found = put_next(gate.tx, record_id, stored, visible.version, gate.instant(record_id), "PUT")
    _entail(gate, record_id, stored, decision)
    gate.did("update", "U", record_id, found, decision=decision)
    return found


def consent_target(tree: Tree, followed: int = 0) -> ConsentTarget:
    """What the policy looks at in a Consent."""
    columns = consent_columns(tree)
    return ConsentTarget(
        columns["kind"],
        columns["decision"],
        columns.get("actor_kind"),
        columns.get("actor_id"),
        ended=columns["status"] != "active",
        followed=followed,
    )


def _target(gate: Writing, record_id: str, tree: Tree) -> ConsentTarget:
    target = consent_target(tree)
    if target.kind != "DELEGATION":
        return target
    return consent_target(tree, profiles_followed(gate.reader, record_id, target.actor_id))


def _as_stored(gate: Writing, record_id: str, tree: Tree) -> Tree:
    by_patient = gate.context.actor_category in PATIENT_SIDE
    dated = with_period(tree, gate.standing(record_id), gate.now, gate.settings, by_patient=by_patient)
    return dated | {"patient": subject_of({"subject": dated["patient"]}, record_id)}


def _entail(gate: Writing, record_id: str, stored: Tree, decision: Decision) -> None:
    for changed in consequences(gate.tx, record_id, stored, gate.instant(record_id)):
        gate.did("update", "U", record_id, changed, decision=decision)
    gate.rights_changed(record_id)
