"""Stage 5: the block list (AR-40 to AR-45). Nothing lifts a block but unblocking."""

from __future__ import annotations

from dmp_fhir.policy.actions import CONSENT_ACTS, CONSULTATION, FEEDING, VISIBILITY, Action
from dmp_fhir.policy.relation import EMERGENCY_PURPOSES, PROFESSIONALS, is_blocked
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

BLOCKED = Rule(
    id="AR-40",
    effect=Effect.DENY,
    source="guide TD0.2 NB1",
    fr="Le patient a bloqué ce professionnel ou sa structure : ni consultation, ni visibilité, ni autorisation.",
    en="The patient has blocked this professional or their structure: no consulting, no visibility, no authorisation.",
    actions=CONSULTATION
    | VISIBILITY
    | CONSENT_ACTS
    | {Action.RECORD_READ, Action.CONSENT_READ, Action.AUDIT_READ_FULL, Action.PARTY_READ, Action.PARTY_WRITE},
    when=lambda asked: (
        asked.context.actor_category in PROFESSIONALS
        and asked.action not in FEEDING
        and is_blocked(asked.context, asked.standing)
    ),
    reason="PS_BLOQUE",
)


def block_rules(asked: Asked) -> tuple[str, ...]:
    """All the rules that a block brings together, for the trace."""
    context, standing, document = asked.context, asked.standing, asked.document
    found = [BLOCKED.id]
    if context.actor_id in standing.treating_physicians:
        found.append("AR-38")
    if context.purpose in EMERGENCY_PURPOSES:
        found.append("AR-41")
    if context.actor_id not in standing.blocked:
        found.append("AR-44")
    if document is not None and context.actor_id in document.author_persons:
        found.append("AR-45")
    return tuple(found)
