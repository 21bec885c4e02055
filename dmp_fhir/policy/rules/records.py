"""Stage 2: the state of the record (AR-07 to AR-14)."""

from __future__ import annotations

from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.relation import PATIENT_SIDE
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

_EVERYWHERE = frozenset({Action.DMP_EXISTS, Action.RECORD_CREATE})
_OF_A_RECORD = frozenset(Action) - _EVERYWHERE - {Action.PARTY_READ, Action.PARTY_WRITE}


def _may_test(asked: Asked) -> bool:
    # TD0.2 tells software that there is no record; people on the portal learn nothing about other people's.
    return asked.action is Action.DMP_EXISTS and asked.context.actor_category not in PATIENT_SIDE


def _operator_mends(asked: Asked) -> bool:
    return asked.context.actor_category == "SUPPORT" and asked.action in (Action.RECORD_READ, Action.RECORD_UPDATE)


RECORDS = (
    Rule(
        id="AR-07",
        effect=Effect.DENY,
        source="CSP L1111-14; guide TD0.2",
        fr="Le dossier n'existe pas, ou la personne s'y est opposée : rien ne distingue les deux cas de l'extérieur.",
        en="The record does not exist, or the person opposed it: the two cases cannot be told apart from outside.",
        actions=_OF_A_RECORD | {Action.DMP_EXISTS},
        when=lambda asked: asked.standing.status == "absent" and not _may_test(asked),
        reason="DMP_ABSENT",
    ),
    Rule(
        id="AR-08",
        effect=Effect.DENY,
        source="CSP R1111-36",
        fr="Un dossier fermé ne se lit ni ne s'écrit ; restent le test d'existence, la réouverture et l'exploitant.",
        en="A closed record is neither read nor written; only the existence test, reopening and the operator remain.",
        actions=frozenset(Action) - _EVERYWHERE - {Action.DMP_REOPEN},
        when=lambda asked: asked.standing.status == "closed" and not _operator_mends(asked),
        reason="DMP_FERME",
    ),
    Rule(
        id="AR-12",
        effect=Effect.DENY,
        source="CSP R1111-36",
        fr="L'accès au dossier est suspendu.",
        en="Access to the record is suspended.",
        actions=frozenset(Action) - _EVERYWHERE,
        when=lambda asked: asked.standing.status == "suspended" and not _operator_mends(asked),
        reason="DMP_SUSPENDU",
    ),
)
