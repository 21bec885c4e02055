"""Stage 4: feeding, and an author's own documents (AR-32 to AR-34, AR-39, AR-42, AR-69 to AR-76, AR-93, AR-94).

Feeding needs no authorisation and is not stopped by a block. Patients and those around them feed within their relation.
"""

from __future__ import annotations

from collections.abc import Callable

from dmp_fhir.policy.actions import DEPOSIT, OWN_DOCUMENT, Action
from dmp_fhir.policy.relation import FEEDERS, PATIENT_SIDE, PHYSICIAN, PROFESSIONALS, is_treating, valid_permit
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

PATIENT_TYPES = frozenset({f"DOCPAT{n:02d}" for n in range(1, 10)} | {"EXPPAT_1", "EXPPAT_2", "EXPPAT_3", "74465-6"})
REIMBURSEMENT_TYPES = frozenset({"REMB"})
SYNTHESIS = "60591-5"
DIRECTIVES = "EXPPAT_3"
_CREATE = frozenset({Action.DOC_CREATE})


def _type(asked: Asked) -> str | None:
    return asked.document.type_code if asked.document else None


def _opposed(asked: Asked) -> bool:
    context = asked.context
    return context.actor_id in asked.standing.feeding_opposed or context.structure in asked.standing.feeding_opposed


def _reserved_to_patient(asked: Asked) -> bool:
    if asked.document is None:
        return False
    return (_type(asked) in PATIENT_TYPES) != (asked.context.actor_category in PATIENT_SIDE)


def _reserved_to_insurance(asked: Asked) -> bool:
    if asked.document is None:
        return False
    return (_type(asked) in REIMBURSEMENT_TYPES) != (asked.context.actor_category == "AM_SYSTEM")


def _may_write_synthesis(asked: Asked) -> bool:
    context, author = asked.context, asked.settings.synthesis_author
    if is_treating(context, asked.standing) or author == "any":
        return True
    return author == "physician" and context.actor_category == "PS" and context.profession == PHYSICIAN


def _needs_agreement(*contexts: str) -> Callable[[Asked], bool]:
    """A professional in one of these contexts, without an authorisation that counts there."""

    def applies(asked: Asked) -> bool:
        context = asked.context
        return (
            context.actor_category in PROFESSIONALS
            and context.practice_context in contexts
            and not is_treating(context, asked.standing)
            and valid_permit(context, asked.standing, asked.now_ms) is None
        )

    return applies


def _agreement(rule: str, source: str, fr: str, en: str, context: str) -> Rule:
    return Rule(
        id=rule,
        effect=Effect.DENY,
        source=source,
        fr=fr,
        en=en,
        actions=DEPOSIT,
        when=_needs_agreement(context),
        reason="AUTORISATION_ABSENTE",
    )


DEPOSIT_REFUSALS = (
    _agreement(
        "AR-33",
        "CSP L1111-17 IV",
        "Le médecin du travail n'alimente le dossier qu'avec l'autorisation expresse du travailleur.",
        "The occupational physician feeds the record only with the express authorisation of the worker.",
        "MEDECINE_TRAVAIL",
    ),
    _agreement(
        "AR-34",
        "CSP L1111-17 V",
        "Le médecin de sapeurs-pompiers n'alimente le dossier qu'avec l'autorisation expresse de la personne.",
        "The fire-service physician feeds the record only with the express authorisation of the person.",
        "SAPEUR_POMPIER",
    ),
    _agreement(
        "AR-32",
        "CSP L1111-18",
        "Le médecin de PMI alimente le dossier avec une autorisation, ou comme membre de l'équipe de soins.",
        "The PMI physician feeds the record with an authorisation, or as a member of the care team.",
        "PMI",
    ),
    Rule(
        id="AR-94",
        effect=Effect.DENY,
        source="CSP R1111-47",
        fr="Le patient s'est opposé, pour motif légitime, aux dépôts de ce professionnel ou de cette structure.",
        en="The patient has opposed, on legitimate ground, the deposits of this professional or structure.",
        actions=DEPOSIT | {Action.DOC_REPLACE},
        when=_opposed,
        reason="OPPOSITION_ALIMENTATION",
    ),
    Rule(
        id="AR-75",
        effect=Effect.DENY,
        source="CSP R1111-42",
        fr="Les données de remboursement ne sont déposées que par l'assurance maladie, qui ne dépose qu'elles.",
        en="Reimbursement data are deposited by the health insurance only, which deposits nothing else.",
        actions=_CREATE,
        when=_reserved_to_insurance,
        reason="TYPE_RESERVE",
        public=True,
    ),
    Rule(
        id="AR-73",
        effect=Effect.DENY,
        source="JDV_J07; Mon espace santé",
        fr="Ce type est réservé au patient, qui ne dépose que les siens (DOCPATxx, EXPPAT_x, 74465-6).",
        en="This type is reserved to the patient, who deposits only their own types (DOCPATxx, EXPPAT_x, 74465-6).",
        actions=_CREATE,
        when=lambda asked: asked.context.actor_category != "AM_SYSTEM" and _reserved_to_patient(asked),
        reason="TYPE_RESERVE",
        public=True,
    ),
    Rule(
        id="AR-76",
        effect=Effect.DENY,
        source="Mon espace santé",
        fr="Les directives anticipées concernent les majeurs.",
        en="Advance directives are for adults.",
        actions=_CREATE,
        when=lambda asked: _type(asked) == DIRECTIVES and not asked.standing.adult(asked.now_ms),
        reason="DIRECTIVES_MINEUR",
    ),
    Rule(
        id="AR-39",
        effect=Effect.DENY,
        source="CSP L1111-15; D19",
        fr="La synthèse médicale (VSM) est déposée par le médecin traitant.",
        en="The medical synthesis (VSM) is deposited by the treating physician.",
        actions=_CREATE,
        when=lambda asked: _type(asked) == SYNTHESIS and not _may_write_synthesis(asked),
        reason="TYPE_RESERVE",
        also=("D19",),
    ),
)
FEEDS = Rule(
    id="AR-93",
    effect=Effect.PERMIT,
    source="CSP R1111-47",
    fr="Tout professionnel ou toute structure identifiés alimentent le dossier, sans autorisation et même bloqués.",
    en="Any identified professional or structure feeds the record, without authorisation and even when blocked.",
    actions=DEPOSIT | {Action.DOC_FINDID},
    when=lambda asked: asked.context.actor_category in PROFESSIONALS | FEEDERS | {"AM_SYSTEM"},
)
NOT_AUTHOR = Rule(
    id="AR-70",
    effect=Effect.DENY,
    source="guide TD3.3c NB2",
    fr="Seul l'auteur du document peut le remplacer, l'archiver ou le supprimer.",
    en="Only the author of the document may replace, archive or delete it.",
    actions=OWN_DOCUMENT,
    when=lambda asked: True,
    reason="PAS_AUTEUR",
)
OWN_RULE_OF = {
    Action.DOC_REPLACE: "AR-71",
    Action.DOC_DELETE: "AR-70",
    Action.DOC_ARCHIVE: "AR-69",
    Action.DOC_UNARCHIVE: "AR-69",
}
