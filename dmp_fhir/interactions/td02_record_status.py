"""TD0.2: does the record exist, is it open, and what is the caller's own authorisation (AR-14).

`GET Patient?identifier=`: the status of the record is `Patient.active`, its closing the extension dmp-fermeture.
The caller's own status (NON_EXISTE, VALIDE, EXPIRE, INTERDIT) belongs to the answer, not to the Patient: an outcome
entry carries it.
"""

from __future__ import annotations

from dmp_fhir.interactions.gate import Gate
from dmp_fhir.outcome import Issue, information
from dmp_fhir.policy.status import access_status

_SENTENCES = {
    "NON_EXISTE": ("Vous n'avez pas d'autorisation de consultation.", "You have no authorisation to consult."),
    "VALIDE": ("Votre autorisation de consultation est valide.", "Your authorisation to consult is valid."),
    "EXPIRE": ("Votre autorisation de consultation a expiré.", "Your authorisation to consult has expired."),
    "INTERDIT": ("Le patient vous a interdit la consultation.", "The patient has forbidden you to consult."),
}


def access_remark(gate: Gate, record_id: str) -> list[Issue]:
    """The caller's own status, for professionals and structures."""
    if gate.context.actor_category not in ("PS", "PS_ROLE", "STRUCTURE", "CPE"):
        return []
    status = access_status(gate.context, gate.standing(record_id), gate.now)
    fr, en = _SENTENCES[status]
    return [information("informational", fr, en, rule=status)]
