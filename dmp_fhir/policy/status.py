"""What TD0.2 tells a professional about their own authorisation (AR-14)."""

from __future__ import annotations

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.relation import had_permit, is_blocked, is_treating, valid_permit
from dmp_fhir.policy.standing import Standing


def access_status(context: AccessContext, standing: Standing, now_ms: int) -> str:
    """The status of the caller's authorisation: INTERDIT, VALIDE, EXPIRE or NON_EXISTE."""
    if is_blocked(context, standing):
        return "INTERDIT"
    if is_treating(context, standing) or valid_permit(context, standing, now_ms) is not None:
        return "VALIDE"
    if had_permit(context, standing, now_ms):
        return "EXPIRE"
    return "NON_EXISTE"
