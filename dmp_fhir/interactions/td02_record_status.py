"""TD0.2: does the record exist, is it open, and what is the caller's own authorisation (AR-14).

`GET Patient?identifier=`: the status of the record is `Patient.active`, its closing the extension dmp-fermeture.
The caller's own status (NON_EXISTE, VALIDE, EXPIRE, INTERDIT) belongs to the answer, not to the Patient: an outcome
entry carries it.
"""

from __future__ import annotations

from collections.abc import Iterable

from dmp_fhir.interactions.gate import Gate
from dmp_fhir.outcome import Issue, information, refuse
from dmp_fhir.policy.status import access_status

_SENTENCES = {
    "NON_EXISTE": ("Vous n'avez pas d'autorisation de consultation.", "You have no authorisation to consult."),
    "VALIDE": ("Votre autorisation de consultation est valide.", "Your authorisation to consult is valid."),
    "EXPIRE": ("Votre autorisation de consultation a expiré.", "Your authorisation to consult has expired."),
    "INTERDIT": ("Le patient vous a interdit la consultation.", "The patient has forbidden you to consult."),
}


# R4 and FR Core have them; no transaction of the guides does, and traits are not to be shown nor guessed (RG_0320).
_TRAITS = frozenset(
    {
        "name",
        "family",
        "given",
        "phonetic",
        "birthdate",
        "gender",
        "death-date",
        "deceased",
        "telecom",
        "phone",
        "email",
    }
    | {"address", "address-city", "address-country", "address-postalcode", "address-state", "address-use"}
    | {"mothers-maiden-name", "birthPlace", "language", "link", "general-practitioner"}
)


def refuse_traits(names: Iterable[str]) -> None:
    """A patient is looked for by the INS, never by traits, whoever asks; lenient or not: a trait that is dropped in
    silence would confirm an identity that nobody compared."""
    for name in names:
        base = name.partition(":")[0].partition(".")[0]
        if base in _TRAITS:
            refuse(
                400,
                "not-supported",
                "Un patient ne se cherche pas par ses traits : nommez-le par son INS"
                " (identifier=urn:oid:1.2.250.1.213.1.4.8|<matricule>, TD0.2) et comparez les traits chez vous.",
                "A patient is not looked for by traits: name the INS"
                " (identifier=urn:oid:1.2.250.1.213.1.4.8|<number>, TD0.2) and compare traits on your side.",
                rule="TD0.2",
            )


def access_remark(gate: Gate, record_id: str) -> list[Issue]:
    """The caller's own status, for professionals and structures."""
    if gate.context.actor_category not in ("PS", "PS_ROLE", "STRUCTURE", "CPE"):
        return []
    status = access_status(gate.context, gate.standing(record_id), gate.now)
    fr, en = _SENTENCES[status]
    return [information("informational", fr, en, rule=status)]
