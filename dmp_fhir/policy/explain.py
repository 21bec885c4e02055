"""Explaining the rules: what a caller may do and why, and who can see a document, by profession and situation.

Nothing is decided here: every line is an answer of `engine.decide` for a caller put in a situation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import ABOUT_DOCUMENT, Action
from dmp_fhir.policy.document import STAGES
from dmp_fhir.policy.engine import Decision, decide
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.relation import PATIENT_SIDE, PHYSICIAN, PROFESSIONALS
from dmp_fhir.policy.rules.base import DocumentRule, Rule
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import Permit, Standing

SOMEBODY = "somebody"
"""The identifier of a caller who exists only in an explanation: it is nobody's national identifier."""
_MOTIVE = "explication des règles d'accès"

ON_RECORD = tuple(action for action in Action if action not in (Action.CONSENT_WRITE, Action.RECORD_CREATE))
ON_DOCUMENT = tuple(action for action in Action if action in ABOUT_DOCUMENT)


class Situation(StrEnum):
    """Where somebody stands towards a record and a document."""

    AS_IS = "as-is"
    NONE = "none"
    AUTHORISED = "authorised"
    TREATING_PHYSICIAN = "treating-physician"
    AUTHOR = "author"
    BLOCKED = "blocked"
    BREAK_GLASS = "break-glass"
    CENTRE_15 = "centre-15"


SITUATIONS: dict[Situation, tuple[str, str]] = {
    Situation.AS_IS: ("telle quelle dans ce dossier", "as it is in this record"),
    Situation.NONE: ("sans autorisation du patient", "without an authorisation of the patient"),
    Situation.AUTHORISED: ("autorisé par le patient", "authorised by the patient"),
    Situation.TREATING_PHYSICIAN: ("médecin traitant", "treating physician"),
    Situation.AUTHOR: ("auteur du document, autorisé", "author of the document, authorised"),
    Situation.BLOCKED: ("bloqué par le patient", "blocked by the patient"),
    Situation.BREAK_GLASS: ("en bris de glace, avec un motif", "breaking the glass, with a motive"),
    Situation.CENTRE_15: ("médecin régulateur (centre 15)", "regulation physician (centre 15)"),
}
_OF_PROFESSIONALS = tuple(each for each in Situation if each is not Situation.AS_IS)

AUDIENCE = ("PATIENT", "REPRESENTANT", "AIDANT", "STRUCTURE", "CPE", "SUPPORT", "AM_SYSTEM", "SERVICE", "TIERS_EXCLU")
"""The categories of actors besides professionals, in the order in which a table shows them."""

_MODES = {"STRUCTURE": "INDIRECTE", "CPE": "CPE"} | dict.fromkeys(PATIENT_SIDE, "PORTAIL")
_PURPOSES = {"SUPPORT": "systeme", "AM_SYSTEM": "systeme"} | dict.fromkeys(PATIENT_SIDE, "patient")

# Rules that only add to the reason of another one have no object of their own.
_NOTES: dict[str, tuple[str, str]] = {
    "AR-31": (
        "Pour un médecin coordonnateur d'EHPAD, seule une autorisation donnée en personne ouvre le dossier.",
        "For a coordinating physician of an EHPAD, only an authorisation given in person opens the record.",
    ),
    "AR-32": (
        "En PMI, une autorisation ou l'appartenance à l'équipe de soins ouvre le dossier.",
        "In PMI, an authorisation or membership of the care team opens the record.",
    ),
    "AR-33": (
        "En médecine du travail, seule une autorisation donnée en personne ouvre le dossier.",
        "In occupational medicine, only an authorisation given in person opens the record.",
    ),
    "AR-34": (
        "Pour un médecin de sapeurs-pompiers, seule une autorisation donnée en personne, ou l'urgence, ouvre le"
        " dossier.",
        "For a fire-service physician, only an authorisation given in person, or an emergency, opens the record.",
    ),
    "AR-41": ("Un blocage vaut aussi en urgence.", "A block also holds in an emergency."),
    "AR-42": (
        "Un professionnel bloqué peut toujours déposer des documents.",
        "A blocked professional may still deposit documents.",
    ),
    "AR-44": (
        "La structure dans laquelle ce professionnel exerce est bloquée.",
        "The structure in which this professional acts is blocked.",
    ),
    "AR-45": (
        "Bloqué, un auteur ne relit plus le contenu de ses documents.",
        "Once blocked, an author no longer reads the content of their documents.",
    ),
    "AR-52": (
        "L'urgence est déclarée par quelqu'un qui a déjà accès : cet accès suffit.",
        "The emergency is declared by somebody who already has access: that access is enough.",
    ),
    "AR-59": (
        "L'auteur d'un document le voit malgré les masques.",
        "The author of a document sees it in spite of masks.",
    ),
    "AR-69": (
        "L'auteur, ou le patient pour les siens, archive un document et le ressort.",
        "The author, or the patient for their own, archives a document and takes it out again.",
    ),
    "AR-71": (
        "L'auteur remplace son document par une nouvelle version.",
        "The author replaces the document with a new version.",
    ),
    "AR-74": (
        "Le patient ne modifie ni ne supprime les documents des autres ; il peut les masquer.",
        "The patient neither changes nor deletes the documents of others; they may mask them.",
    ),
    "AR-89": (
        "Un professionnel du social ou du médico-social voit, avec une autorisation donnée en personne, les types de"
        " documents que la matrice lui ouvre.",
        "A social or medico-social professional sees, with an authorisation given in person, the types of document"
        " that the matrix opens to them.",
    ),
    "AR-82": (
        "En connexion secrète, le dépôt est invisible aux représentants légaux.",
        "In secret connection, the deposit is invisible to the legal representatives.",
    ),
}


@cache
def sentences(rule: str, permit: bool) -> tuple[str, str]:
    """The French and English sentence of a rule that permitted or refused. LookupError for an unknown id."""
    found = [each for _, stage in STAGES for each in stage if rule in each.ids]
    # Its own object before those that mention it, the same effect before the other.
    found.sort(key=lambda each: (each.id != rule, (each.effect.value == "permit") != permit))
    own: Rule | DocumentRule | None = found[0] if found else None
    if rule in _NOTES and (own is None or own.id != rule or (own.effect.value == "permit") != permit):
        return _NOTES[rule]
    if own is None:
        raise LookupError(rule)
    return own.fr, own.en


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of an explanation: an act (or a reader) and the decision about it."""

    action: Action
    situation: Situation
    context: AccessContext
    decision: Decision


def answers(
    context: AccessContext,
    standing: Standing,
    document: DocumentFacts | None,
    now_ms: int,
    *,
    situation: Situation = Situation.AS_IS,
    settings: PolicySettings = DEFAULT_SETTINGS,
) -> list[Answer]:
    """What a caller may do, act by act, with the document when there is one, else with the record."""
    there, paper = placed(context, standing, document, situation)
    acting = in_situation(context, situation)
    return [
        Answer(action, situation, acting, decide(acting, action, there, paper, now_ms, settings=settings))
        for action in (ON_DOCUMENT if document else ON_RECORD)
    ]


def audience(
    standing: Standing, document: DocumentFacts, now_ms: int, *, settings: PolicySettings = DEFAULT_SETTINGS
) -> Iterator[Answer]:
    """Who can see a document: the people around the patient and the systems as they are, then every profession in every
    situation."""
    for category in AUDIENCE:
        yield _read(actor(category, standing, now_ms=now_ms), standing, document, now_ms, Situation.AS_IS, settings)
    for category, profession in professions(settings):
        context = actor(category, standing, profession=profession, now_ms=now_ms)
        for situation in situations_of(context):
            yield _read(context, standing, document, now_ms, situation, settings)


def professions(settings: PolicySettings) -> list[tuple[str, str]]:
    """(category, code) of every profession and role that the matrix in force knows."""
    matrix = settings.matrix
    return [("PS", code) for code in sorted(matrix.professions)] + [("PS_ROLE", code) for code in sorted(matrix.roles)]


def situations_of(context: AccessContext) -> tuple[Situation, ...]:
    """The situations in which a category or profession can find itself."""
    if context.actor_category not in PROFESSIONALS:
        return (Situation.AS_IS,)
    physician = context.actor_category == "PS" and context.profession == PHYSICIAN
    only_physicians = (Situation.TREATING_PHYSICIAN, Situation.CENTRE_15)
    return tuple(each for each in _OF_PROFESSIONALS if physician or each not in only_physicians)


def actor(
    category: str,
    standing: Standing,
    *,
    now_ms: int,
    identifier: str | None = None,
    profession: str | None = None,
    structure: str | None = None,
    purpose: str | None = None,
) -> AccessContext:
    """A caller of this category as the record sees them: the holder, their representative or helper when there is one;
    for the others `identifier`, or somebody whom the record does not know."""
    known = {
        "PATIENT": sorted(standing.matricules),
        "REPRESENTANT": sorted(one.actor for one in standing.representatives if one.start_ms <= now_ms < one.end_ms),
        "AIDANT": sorted(standing.helpers),
    }.get(category, [])
    name = identifier or (known[0] if known else SOMEBODY)
    asked = purpose or _PURPOSES.get(category, "normal")
    return AccessContext(
        actor_category=category,
        actor_id=name,
        actor_name=name,
        auth_mode=_MODES.get(category, "CPS" if category in PROFESSIONALS else "SYSTEME"),
        purpose=asked,
        profession=profession,
        structure=structure or (name if category in ("STRUCTURE", "CPE") else None),
        regulation=asked == "centre_15" and profession == PHYSICIAN,
        reason=_MOTIVE if asked == "bris_de_glace" else None,
    )


def in_situation(context: AccessContext, situation: Situation) -> AccessContext:
    """The caller with the purpose that goes with the situation."""
    if situation is Situation.BREAK_GLASS:
        return replace(context, purpose="bris_de_glace", reason=_MOTIVE)
    if situation is Situation.CENTRE_15:
        return replace(context, purpose="centre_15", regulation=True)
    return context


def placed(
    context: AccessContext, standing: Standing, document: DocumentFacts | None, situation: Situation
) -> tuple[Standing, DocumentFacts | None]:
    """The record and the document as they would be, were the caller in that situation."""
    who = context.actor_id
    if situation is Situation.TREATING_PHYSICIAN:
        return replace(standing, treating_physicians=standing.treating_physicians | {who}), document
    if situation is Situation.BLOCKED:
        return replace(standing, blocked=standing.blocked | {who}), document
    if situation in (Situation.AUTHORISED, Situation.AUTHOR):
        standing = replace(standing, permits=(*standing.permits, Permit("Practitioner", who)))
    if situation is Situation.AUTHOR and document is not None:
        document = replace(document, author_persons=document.author_persons | {who})
    return standing, document


def _read(
    context: AccessContext,
    standing: Standing,
    document: DocumentFacts,
    now_ms: int,
    situation: Situation,
    settings: PolicySettings,
) -> Answer:
    there, paper = placed(context, standing, document, situation)
    acting = in_situation(context, situation)
    decision = decide(acting, Action.DOC_READ, there, paper, now_ms, settings=settings)
    return Answer(Action.DOC_READ, situation, acting, decision)
