"""Stage 1: who may never come in, and what a token may be used for (AR-02 to AR-04)."""

from __future__ import annotations

from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

_ALL = frozenset(Action)
_EXCLUDED_CONTEXTS = frozenset({"ASSURANCE", "EXPERTISE", "EMPLOYEUR"})
_PURPOSES = {
    "PS": frozenset({"normal", "bris_de_glace", "centre_15"}),
    "PS_ROLE": frozenset({"normal", "bris_de_glace", "centre_15"}),
    "STRUCTURE": frozenset({"normal"}),
    "CPE": frozenset({"normal"}),
    "PATIENT": frozenset({"patient"}),
    "REPRESENTANT": frozenset({"patient"}),
    "AIDANT": frozenset({"patient"}),
    "AM_SYSTEM": frozenset({"systeme"}),
    "SUPPORT": frozenset({"systeme"}),
}


def _excluded(asked: Asked) -> bool:
    context = asked.context
    return context.actor_category == "TIERS_EXCLU" or context.practice_context in _EXCLUDED_CONTEXTS


def _other_patient(asked: Asked) -> bool:
    person = asked.context.person_id
    return person is not None and asked.standing.status != "absent" and person not in asked.standing.ins


CALLERS = (
    Rule(
        id="AR-02",
        effect=Effect.DENY,
        source="CSP L1111-18",
        fr="Assureurs, organismes complémentaires, employeurs, banques et experts n'ont jamais accès, même avec"
        " l'accord de la personne.",
        en="Insurers, complementary health bodies, employers, banks and experts never have access, even with the"
        " person's consent.",
        actions=_ALL,
        when=_excluded,
        reason="ACTEUR_EXCLU",
        public=True,
    ),
    Rule(
        id="AR-92",
        effect=Effect.DENY,
        source="CSP R1111-37 to R1111-39",
        fr="Les services numériques tiers n'ont pas accès au registre.",
        en="Third-party digital services have no access to the registry.",
        actions=_ALL,
        when=lambda asked: asked.context.actor_category == "SERVICE",
        reason="ACTEUR_NON_HABILITE",
        public=True,
    ),
    Rule(
        id="AR-86",
        effect=Effect.DENY,
        source="CSP L1110-4 V, L1111-18",
        fr="Les ayants droit d'une personne décédée s'adressent à l'exploitant du registre.",
        en="The heirs of a deceased person turn to the operator of the registry.",
        actions=_ALL,
        when=lambda asked: asked.context.actor_category == "AYANT_DROIT",
        reason="HORS_LIGNE",
        public=True,
    ),
    Rule(
        id="AR-90",
        effect=Effect.DENY,
        source="CSP L1111-18",
        fr="Les agents de l'assurance maladie n'ont pas accès aux dossiers.",
        en="The staff of the health insurance have no access to records.",
        actions=_ALL,
        when=lambda asked: asked.context.actor_category == "AM_AGENT",
        reason="ACTEUR_NON_HABILITE",
        public=True,
    ),
    Rule(
        id="AR-03",
        effect=Effect.DENY,
        source="IHE IUA ITI-72",
        fr="Un jeton lié à un patient ne sert que pour le dossier de ce patient.",
        en="A token bound to a patient only serves for the record of that patient.",
        actions=_ALL,
        when=_other_patient,
        reason="JETON_PATIENT",
    ),
    Rule(
        id="AR-04",
        effect=Effect.DENY,
        source="CSP R1111-46; TRE_R248",
        fr="La finalité du jeton n'est pas de celles de cette catégorie d'acteur.",
        en="The purpose of the token is not one of this category of actor.",
        actions=_ALL,
        when=lambda asked: asked.context.purpose not in _PURPOSES.get(asked.context.actor_category, ()),
        reason="FINALITE",
        public=True,
    ),
    Rule(
        id="AR-53",
        effect=Effect.DENY,
        source="CSP L1111-17 I",
        fr="La finalité centre 15 est celle d'un centre de régulation : le jeton doit le dire (regulation).",
        en="The purpose centre 15 is that of a regulation centre: the token has to say so (regulation).",
        actions=_ALL,
        when=lambda asked: asked.context.purpose == "centre_15" and not asked.context.regulation,
        reason="ACTEUR_NON_HABILITE",
        public=True,
    ),
)
