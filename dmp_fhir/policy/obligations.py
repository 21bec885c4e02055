"""Stage 8: what must happen together with a permitted act (access rules, sections 2 and 7 to 9)."""

from __future__ import annotations

from dmp_fhir.canonicals import HIDE_PATIENT, HIDE_REPRESENTATIVES
from dmp_fhir.policy.actions import CONSENT_ACTS, CONSULTATION, Action
from dmp_fhir.policy.relation import PATIENT_SIDE, PERMITS, Relation
from dmp_fhir.policy.rules.base import Asked

AUDIT = "AUDIT"
AUDIT_SECRET = "AUDIT_SECRET"  # noqa: S105 - the name of an obligation
NOTIFY_PATIENT = "NOTIFY_PATIENT"
NOTIFY_MT = "NOTIFY_MT"
NOTIFY_FIRST_ACCESS = "NOTIFY_FIRST_ACCESS"
REVIEW = "REVIEW"
LABEL_MASQUE_PS = "LABEL_MASQUE_PS"
LABEL_INVISIBLE_RL = "LABEL_INVISIBLE_RL"
NOTIFY_14D = "NOTIFY_14D"
AUTO_LIFT_1M = "AUTO_LIFT_1M"

_TOLD = frozenset(
    {
        Action.DOC_CREATE,
        Action.DOC_REPLACE,
        Action.DOC_DELETE,
        Action.DOC_MASK,
        Action.DOC_UNMASK,
        Action.DOC_SHOW_PATIENT,
    }
)


def obligations(asked: Asked, relation: Relation | None) -> frozenset[str]:
    """The obligations that go with a permit."""
    context, action = asked.context, asked.action
    found = {AUDIT_SECRET if context.secret else AUDIT}
    by_patient = context.actor_category in PATIENT_SIDE
    if action is Action.DOC_CREATE:
        found |= _on_deposit(asked)
    if action in CONSULTATION and relation in PERMITS:
        found.add(NOTIFY_FIRST_ACCESS)
    if relation in (Relation.BREAK_GLASS, Relation.CENTRE_15):
        found |= {NOTIFY_PATIENT, NOTIFY_MT}
        if relation is Relation.BREAK_GLASS:
            found.add(REVIEW)
    if (action in _TOLD | CONSENT_ACTS and not by_patient) or action in (Action.DMP_CLOSE, Action.DMP_REOPEN):
        found.add(NOTIFY_PATIENT)
    if action is not Action.DOC_SHOW_PATIENT and _awaits_announcement(asked):
        found.discard(NOTIFY_PATIENT)
    if action in (Action.DOC_HIDE_REPS, Action.DOC_SHOW_REPS):
        found = (found - {AUDIT}) | {AUDIT_SECRET}
    # What is done in secret is not announced: messages could reach the representatives (AR-82).
    return frozenset(found - {NOTIFY_PATIENT} if context.secret else found)


def is_discreet(asked: Asked) -> bool:
    """Whether the representatives of a minor must not hear of the act: done in secret, or about what is hidden from
    them (AR-82, AR-99)."""
    hidden = asked.document is not None and HIDE_REPRESENTATIVES in asked.document.labels
    return hidden or asked.context.secret or asked.action in (Action.DOC_HIDE_REPS, Action.DOC_SHOW_REPS)


def _awaits_announcement(asked: Asked) -> bool:
    # A message would tell of what the patient may not know of yet (AR-63, TF-018).
    return asked.document is not None and HIDE_PATIENT in asked.document.labels


def _on_deposit(asked: Asked) -> set[str]:
    found = set()
    if asked.context.secret:
        found.add(LABEL_INVISIBLE_RL)
    if asked.standing.mask_by_default:
        found.add(LABEL_MASQUE_PS)
    if _awaits_announcement(asked):
        found |= {NOTIFY_14D, AUTO_LIFT_1M}
    return found
