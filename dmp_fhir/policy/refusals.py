"""How a refusal of the policy is answered (AR-06, D14, D27).

A record-level refusal has one text for everything that depends on the record: absent, opposed, blocked, not authorised
or expired give the same bytes. What depends on the caller alone is told plainly.
"""

from __future__ import annotations

from typing import NoReturn

from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.engine import Decision

COARSE = "AUTORISATION_REFUSEE"
CLOSED = "DMP_FERME"


class PolicyInTrouble(Exception):
    """The rules could not be asked, or did not answer in time or with sense: answered 503, never with data (TF-028)."""


def refuse_record(decision: Decision) -> NoReturn:
    """Raise the answer to a decision that does not permit: 403 (or 400, 422 for what the token lacks); 404 for a hidden
    document."""
    if decision.level == "document":
        not_found(decision.reason, decision.rules)
    if decision.public is not None:
        rule = decision.public
        code = "forbidden" if rule.status == 403 else "business-rule"
        refuse(rule.status, code, rule.fr, rule.en, rule=rule.id, reason=decision.reason, rules=decision.rules)
    if decision.reason == CLOSED:
        refuse(
            403,
            "forbidden",
            "Le dossier est fermé.",
            "The record is closed.",
            rule=CLOSED,
            reason=decision.reason,
            rules=decision.rules,
        )
    refuse(
        403,
        "forbidden",
        "L'accès à ce dossier n'est pas autorisé : TD0.2 (GET Patient?identifier=) donne votre statut d'autorisation.",
        "Access to this record is not authorised: TD0.2 (GET Patient?identifier=) tells your authorisation status.",
        rule=COARSE,
        reason=decision.reason,
        rules=decision.rules,
    )
