"""What links the caller to the record: stage 6 of the decision (access rules, section 2), first match wins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import Standing

PHYSICIAN = "10"
PROFESSIONALS = frozenset({"PS", "PS_ROLE"})
FEEDERS = frozenset({"STRUCTURE", "CPE"})
PATIENT_SIDE = frozenset({"PATIENT", "REPRESENTANT", "AIDANT"})
SYSTEMS = frozenset({"AM_SYSTEM", "SUPPORT", "SERVICE"})
# Where only an authorisation given to the person counts: AR-33, AR-31, AR-34.
INDIVIDUAL_CONTEXTS = {"MEDECINE_TRAVAIL": "AR-33", "EHPAD_COORDONNATEUR": "AR-31", "SAPEUR_POMPIER": "AR-34"}
EMERGENCY_PURPOSES = frozenset({"bris_de_glace", "centre_15"})


class Relation(StrEnum):
    """Why somebody may look into a record."""

    SELF = "patient"
    REPRESENTATIVE = "representative"
    HELPER = "helper"
    TREATING_PHYSICIAN = "treating_physician"
    PERMIT_PERSON = "permit_person"
    PERMIT_STRUCTURE = "permit_structure"
    PERMIT_TEAM = "permit_team"
    BREAK_GLASS = "break_glass"
    CENTRE_15 = "centre_15"


PERMITS = frozenset({Relation.PERMIT_PERSON, Relation.PERMIT_STRUCTURE, Relation.PERMIT_TEAM})
EMERGENCIES = frozenset({Relation.BREAK_GLASS, Relation.CENTRE_15})
_PERMIT_KINDS = {
    "Practitioner": Relation.PERMIT_PERSON,
    "Organization": Relation.PERMIT_STRUCTURE,
    "CareTeam": Relation.PERMIT_TEAM,
}
# The one that is named when several cover the caller.
_NARROWEST = (Relation.PERMIT_PERSON, Relation.PERMIT_STRUCTURE, Relation.PERMIT_TEAM)


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller in front of a record, with the relation found; `relation` is None for feeders and strangers."""

    context: AccessContext
    standing: Standing
    now_ms: int
    relation: Relation | None = None
    settings: PolicySettings = DEFAULT_SETTINGS

    @property
    def is_blocked(self) -> bool:
        return is_blocked(self.context, self.standing)


def is_blocked(context: AccessContext, standing: Standing) -> bool:
    """Whether the professional, or the structure in which they act, is on the block list (AR-40, AR-44)."""
    return context.actor_id in standing.blocked or context.structure in standing.blocked


def is_treating(context: AccessContext, standing: Standing) -> bool:
    """Whether the caller is treating physician of the record. Occupational medicine excludes it (AR-33)."""
    return (
        context.actor_category == "PS"
        and context.actor_id in standing.treating_physicians
        and context.practice_context != "MEDECINE_TRAVAIL"
    )


def valid_permit(context: AccessContext, standing: Standing, now_ms: int) -> Relation | None:
    """The kind of a valid authorisation that covers the caller.

    Occupational, coordinating and fire-service physicians (AR-31, AR-33, AR-34) and social or medico-social roles
    (AR-89) only by one given to themselves.
    """
    individual_only = context.actor_category == "PS_ROLE" or context.practice_context in INDIVIDUAL_CONTEXTS
    found: set[Relation] = set()
    for permit in standing.permits:
        if permit.names(context.actor_id, context.structure) and permit.start_ms <= now_ms < permit.end_ms:
            relation = _PERMIT_KINDS.get(permit.kind)
            if relation is Relation.PERMIT_PERSON:
                return relation
            if relation is not None:
                found.add(relation)
    if individual_only:
        return None
    return next((relation for relation in _NARROWEST if relation in found), None)


def had_permit(context: AccessContext, standing: Standing, now_ms: int) -> bool:
    """Whether an authorisation that covered the caller has ended (AR-23)."""
    return any(
        permit.end_ms <= now_ms and permit.names(context.actor_id, context.structure) for permit in standing.permits
    )


def represents(context: AccessContext, standing: Standing, now_ms: int) -> bool:
    """Whether the caller represents the patient now: a minor's parent, or a protection mandate (AR-79..81)."""
    adult = standing.adult(now_ms)
    return any(
        one.actor == context.actor_id and one.start_ms <= now_ms < one.end_ms and (one.mandate or not adult)
        for one in standing.representatives
    )


def represented(context: AccessContext, standing: Standing) -> bool:
    """Whether the caller is or was named as a representative."""
    return any(one.actor == context.actor_id for one in standing.representatives)


def relation_of(context: AccessContext, standing: Standing, now_ms: int) -> Relation | None:
    """The lasting relation of a caller to a record; emergencies are not looked at here."""
    category = context.actor_category
    if category == "PATIENT":
        return Relation.SELF if context.actor_id in standing.matricules else None
    if category == "REPRESENTANT":
        return Relation.REPRESENTATIVE if represents(context, standing, now_ms) else None
    if category == "AIDANT":
        return Relation.HELPER if context.actor_id in standing.helpers else None
    if category not in PROFESSIONALS:
        return None
    if is_treating(context, standing):
        return Relation.TREATING_PHYSICIAN
    return valid_permit(context, standing, now_ms)
