"""What messages say. Never any health content, nor who, nor which document: a message can be read by whoever holds the
telephone. It says that something happened, and that the record tells the rest (AR-30, AR-51, AR-64; TF-018)."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

from dmp_fhir.policy.actions import CONSENT_ACTS, Action
from dmp_fhir.policy.standing import Standing
from dmp_fhir.registry.notifications import Recipient


class Text(NamedTuple):
    fr: str
    en: str


FIRST_ACCESS = "first-access"
EMERGENCY = "emergency"
DOCUMENT = "document"
DECISION = "decision"
CLOSED = "record-closed"
REOPENED = "record-reopened"
SUSPENDED = "record-suspended"
ANNOUNCEMENT = "announcement"
VISIBLE = "document-visible"

TEXTS = MappingProxyType(
    {
        FIRST_ACCESS: Text(
            "Un professionnel de santé a consulté votre dossier médical partagé pour la première fois."
            " L'historique de votre dossier indique qui et quand.",
            "A health professional has consulted your shared medical record for the first time."
            " The history of your record tells who and when.",
        ),
        EMERGENCY: Text(
            "Un dossier médical partagé qui vous concerne a été consulté en urgence. L'historique du dossier indique"
            " qui, quand et pour quel motif.",
            "A shared medical record that concerns you was consulted in an emergency. The history of the record tells"
            " who, when and why.",
        ),
        DOCUMENT: Text(
            "Un document de votre dossier médical partagé a été ajouté ou modifié.",
            "A document of your shared medical record was added or changed.",
        ),
        DECISION: Text(
            "Un choix sur les accès à votre dossier médical partagé a été enregistré en votre nom. Vérifiez-le dans"
            " votre dossier.",
            "A choice about access to your shared medical record was recorded on your behalf. Check it in your record.",
        ),
        CLOSED: Text(
            "Votre dossier médical partagé est fermé. Il est archivé pendant dix ans ; vous pouvez le rouvrir, ou"
            " demander son effacement.",
            "Your shared medical record is closed. It is archived for ten years; you can reopen it, or ask for its"
            " erasure.",
        ),
        REOPENED: Text(
            "Votre dossier médical partagé est rouvert. Les autorisations données avant sa fermeture ne sont pas"
            " rétablies.",
            "Your shared medical record is open again. Authorisations given before its closure are not restored.",
        ),
        SUSPENDED: Text(
            "L'accès à votre dossier médical partagé est suspendu. Sans opposition de votre part sous six semaines,"
            " il sera fermé.",
            "Access to your shared medical record is suspended. Without objection from you within six weeks, it will"
            " be closed.",
        ),
        ANNOUNCEMENT: Text(
            "Vous êtes invité à prendre contact avec un professionnel de santé qui vous suit, au sujet de votre dossier"
            " médical partagé.",
            "You are invited to get in touch with a health professional who follows you, about your shared medical"
            " record.",
        ),
        VISIBLE: Text(
            "Un nouveau document est visible dans votre dossier médical partagé.",
            "A new document is visible in your shared medical record.",
        ),
    }
)


def kind_of(action: Action | None) -> str:
    """The message that tells the patient of an act."""
    if action is Action.DMP_CLOSE:
        return CLOSED
    if action is Action.DMP_REOPEN:
        return REOPENED
    if action is Action.DOC_SHOW_PATIENT:
        return VISIBLE
    return DECISION if action in CONSENT_ACTS else DOCUMENT


def patient_and_representatives(standing: Standing, now_ms: int, *, discreet: bool) -> Iterable[Recipient]:
    """Who hears what the patient hears: the patient, and those who represent them now, unless the act is a secret of
    the minor (AR-82, AR-99)."""
    for matricule in sorted(standing.matricules):
        yield "patient", matricule
    if discreet:
        return
    adult = standing.adult(now_ms)
    for one in standing.representatives:
        if one.start_ms <= now_ms < one.end_ms and (one.mandate or not adult):
            yield "representative", one.actor


def treating_physicians(standing: Standing) -> Iterable[Recipient]:
    for person in sorted(standing.treating_physicians):
        yield "treating_physician", person
