"""Stage 6: why somebody may look into the record, and what is said when they may not (AR-21 to AR-35, AR-46 to AR-57,
AR-78 to AR-90)."""

from __future__ import annotations

from dmp_fhir.policy.actions import CONSULTATION, Action
from dmp_fhir.policy.relation import (
    PATIENT_SIDE,
    PHYSICIAN,
    PROFESSIONALS,
    Relation,
    had_permit,
    represented,
)
from dmp_fhir.policy.rules.base import Asked, Effect, Rule
from dmp_fhir.policy.standing import Grant

SHORTEST_MOTIVE = 10
_LOOKING = CONSULTATION | {Action.RECORD_READ, Action.PARTY_READ}


def _permit(rule: str, source: str, fr: str, en: str, relation: Relation, *also: str) -> Rule:
    return Rule(
        id=rule,
        effect=Effect.PERMIT,
        source=source,
        fr=fr,
        en=en,
        actions=frozenset(Action),
        when=lambda asked: asked.relation is relation,
        also=also,
    )


BY_RELATION: dict[Relation, Rule] = {
    Relation.SELF: _permit(
        "AR-78",
        "CSP L1111-19",
        "Le titulaire voit tout son dossier, sauf ce qui attend une annonce.",
        "The holder sees all of their record, except what awaits an announcement.",
        Relation.SELF,
    ),
    Relation.REPRESENTATIVE: _permit(
        "AR-79",
        "CSP R1111-40",
        "Le représentant légal agit comme le patient, pour un mineur ou avec un mandat de protection (AR-81).",
        "The legal representative acts as the patient, for a minor or with a protection mandate (AR-81).",
        Relation.REPRESENTATIVE,
    ),
    Relation.HELPER: _permit(
        "AR-84",
        "Mon espace santé",
        "L'aidant consulte et dépose à la place du patient, sans gérer ses consentements ni la fermeture.",
        "The helper consults and deposits for the patient, without managing consents or closure.",
        Relation.HELPER,
    ),
    Relation.TREATING_PHYSICIAN: _permit(
        "AR-35",
        "CSP L1111-16",
        "Le médecin traitant voit toutes les informations du dossier, même masquées.",
        "The treating physician sees all the information of the record, masked or not.",
        Relation.TREATING_PHYSICIAN,
    ),
    Relation.PERMIT_PERSON: _permit(
        "AR-22",
        "CSP L1111-19",
        "Le patient a autorisé ce professionnel, et l'autorisation court.",
        "The patient has authorised this professional, and the authorisation is running.",
        Relation.PERMIT_PERSON,
    ),
    Relation.PERMIT_STRUCTURE: _permit(
        "AR-24",
        "Mon espace santé (ORGANISATION)",
        "Le patient a autorisé la structure dans laquelle ce professionnel exerce.",
        "The patient has authorised the structure in which this professional acts.",
        Relation.PERMIT_STRUCTURE,
    ),
    Relation.PERMIT_TEAM: _permit(
        "AR-25",
        "CSP R1111-46, L1110-12",
        "Ce professionnel est membre de l'équipe de soins déclarée.",
        "This professional is a member of the declared care team.",
        Relation.PERMIT_TEAM,
    ),
}


def _stranger(asked: Asked) -> bool:
    return asked.relation is None and asked.context.actor_category in PROFESSIONALS


def _breaks_glass(asked: Asked) -> bool:
    return _stranger(asked) and asked.context.purpose == "bris_de_glace"


def _calls_centre_15(asked: Asked) -> bool:
    return _stranger(asked) and asked.context.purpose == "centre_15"


def no_motive(asked: Asked) -> bool:
    context = asked.context
    return context.purpose == "bris_de_glace" and len((context.reason or "").strip()) < SHORTEST_MOTIVE


def _own_grants(asked: Asked) -> list[Grant]:
    """The emergency grants of this person in this structure: never those of colleagues (AR-50)."""
    context = asked.context
    return [
        grant
        for grant in asked.standing.grants
        if (grant.person, grant.structure) == (context.actor_id, context.structure or "")
    ]


def _session_is_over(asked: Asked) -> bool:
    session = asked.context.login
    return any(grant.session == session and grant.expires_ms <= asked.now_ms for grant in _own_grants(asked))


def _repeats_motive(asked: Asked) -> bool:
    session, grants = asked.context.login, _own_grants(asked)
    if any(grant.session == session for grant in grants):
        return False
    motive = same_words(asked.context.reason)
    return any(grant.purpose == "bris_de_glace" and same_words(grant.motive) == motive for grant in grants)


def same_words(motive: str | None) -> str:
    """A motive without what does not make it another one: case and blanks."""
    return " ".join((motive or "").casefold().split())


NO_EMERGENCY = Rule(
    id="AR-57",
    effect=Effect.DENY,
    source="CSP L1111-17 I",
    fr="Les accès d'urgence sont réservés aux professions de santé, hors médecine du travail.",
    en="Emergency accesses are for health professionals, occupational medicine excepted.",
    actions=frozenset(Action),
    when=lambda asked: (
        asked.context.actor_category in PROFESSIONALS
        and asked.context.purpose in ("bris_de_glace", "centre_15")
        and (asked.context.actor_category != "PS" or asked.context.practice_context == "MEDECINE_TRAVAIL")
        and _stranger(asked)
    ),
    reason="ACTEUR_NON_HABILITE",
)
OUT_OF_EMERGENCY = Rule(
    id="AR-49",
    effect=Effect.DENY,
    source="Mon espace santé; CSP R1111-46",
    fr="Un accès d'urgence permet de lire, rien d'autre.",
    en="An emergency access allows reading, nothing else.",
    actions=frozenset(Action) - _LOOKING,
    when=lambda asked: _breaks_glass(asked) or _calls_centre_15(asked),
    reason="ACTION_HORS_URGENCE",
)
NO_MOTIVE = Rule(
    id="AR-47",
    effect=Effect.DENY,
    source="CNIL; guide LIB",
    fr=f"Le bris de glace demande un motif d'au moins {SHORTEST_MOTIVE} caractères dans le jeton.",
    en=f"Break-glass needs a motive of at least {SHORTEST_MOTIVE} characters in the token.",
    actions=_LOOKING,
    when=lambda asked: _breaks_glass(asked) and no_motive(asked),
    reason="MOTIF_MANQUANT",
    status=400,
)
NO_MOTIVE_AT_ALL = Rule(
    id="AR-47",
    effect=Effect.DENY,
    source=NO_MOTIVE.source,
    fr=NO_MOTIVE.fr,
    en=NO_MOTIVE.en,
    actions=_LOOKING,
    when=no_motive,
    reason="MOTIF_MANQUANT",
    status=400,
    public=True,
)
BREAK_GLASS_OPPOSED = Rule(
    id="AR-48",
    effect=Effect.DENY,
    source="CSP L1111-17 I, R1111-48",
    fr="Le patient s'est opposé au bris de glace.",
    en="The patient has opposed break-glass.",
    actions=_LOOKING,
    when=lambda asked: _breaks_glass(asked) and not asked.standing.break_glass,
    reason="OPPOSITION_BRIS_DE_GLACE",
)
NOT_REGULATING = Rule(
    id="AR-53",
    effect=Effect.DENY,
    source="CSP L1111-17 I",
    fr="L'accès centre 15 est réservé au médecin régulateur en régulation.",
    en="The centre 15 access is for the physician on regulation duty.",
    actions=_LOOKING,
    when=lambda asked: _calls_centre_15(asked) and asked.context.profession != PHYSICIAN,
    reason="ACTEUR_NON_HABILITE",
)
CENTRE_15_OPPOSED = Rule(
    id="AR-54",
    effect=Effect.DENY,
    source="CSP L1111-17 I",
    fr="Le patient s'est opposé à la consultation par le centre de régulation.",
    en="The patient has opposed consultation by the regulation centre.",
    actions=_LOOKING,
    when=lambda asked: _calls_centre_15(asked) and not asked.standing.centre_15,
    reason="OPPOSITION_CENTRE15",
)
GRANT_OVER = Rule(
    id="AR-50",
    effect=Effect.DENY,
    source="D20",
    fr="Cet accès d'urgence a pris fin : ouvrez une nouvelle session, avec un nouveau motif.",
    en="This emergency access has ended: open a new session, with a new motive.",
    actions=_LOOKING,
    when=lambda asked: (_breaks_glass(asked) or _calls_centre_15(asked)) and _session_is_over(asked),
    reason="ACCES_URGENCE_TERMINE",
    public=True,
)
SAME_MOTIVE = Rule(
    id="AR-50",
    effect=Effect.DENY,
    source="D20",
    fr="Ce motif a déjà servi à ouvrir ce dossier en urgence : renouveler l'accès demande un nouveau motif.",
    en="This motive has already opened this record in an emergency: renewing the access needs a new motive.",
    actions=_LOOKING,
    when=lambda asked: _breaks_glass(asked) and _repeats_motive(asked),
    reason="MOTIF_DEJA_UTILISE",
    status=400,
    public=True,
)
EMERGENCY_REFUSALS = (
    NO_EMERGENCY,
    OUT_OF_EMERGENCY,
    NO_MOTIVE,
    BREAK_GLASS_OPPOSED,
    NOT_REGULATING,
    CENTRE_15_OPPOSED,
    GRANT_OVER,
    SAME_MOTIVE,
)
BREAK_GLASS = Rule(
    id="AR-46",
    effect=Effect.PERMIT,
    source="CSP L1111-17 I, R1111-48",
    fr="Bris de glace : personne hors d'état d'exprimer sa volonté, risque immédiat, motif écrit.",
    en="Break-glass: a person unable to express their will, immediate risk, written motive.",
    actions=_LOOKING,
    when=_breaks_glass,
    also=("AR-47", "AR-49", "AR-50"),
)
CENTRE_15 = Rule(
    id="AR-53",
    effect=Effect.PERMIT,
    source="CSP L1111-17 I",
    fr="Médecin régulateur qui reçoit un appel pour la personne.",
    en="Regulation physician receiving a call for the person.",
    actions=_LOOKING,
    when=_calls_centre_15,
    also=("AR-55", "AR-50"),
)
EXPIRED = Rule(
    id="AR-23",
    effect=Effect.DENY,
    source="guide LIB (statut EXPIRE)",
    fr="L'autorisation de ce professionnel a expiré : recueillir à nouveau l'accord du patient.",
    en="The authorisation of this professional has expired: ask for the patient's agreement again.",
    actions=frozenset(Action),
    when=lambda asked: _stranger(asked) and had_permit(asked.context, asked.standing, asked.now_ms),
    reason="AUTORISATION_EXPIREE",
)
ABSENT = Rule(
    id="AR-21",
    effect=Effect.DENY,
    source="CSP R1111-46",
    fr="Aucune autorisation du patient : recueillir son accord et l'enregistrer.",
    en="No authorisation of the patient: ask for their agreement and record it.",
    actions=frozenset(Action),
    when=_stranger,
    reason="AUTORISATION_ABSENTE",
)
REPRESENTATION_OVER = Rule(
    id="AR-80",
    effect=Effect.DENY,
    source="Code civil",
    fr="La représentation a pris fin (majorité, ou terme du mandat).",
    en="The representation has ended (majority, or end of the mandate).",
    actions=frozenset(Action),
    when=lambda asked: asked.context.actor_category == "REPRESENTANT" and represented(asked.context, asked.standing),
    reason="REPRESENTATION_TERMINEE",
)
SUPPORT_SEES_NOTHING = Rule(
    id="AR-90",
    effect=Effect.DENY,
    source="CSP L1111-18",
    fr="L'exploitant et l'assurance maladie ne voient pas le contenu des dossiers.",
    en="The operator and the health insurance do not see the content of records.",
    actions=frozenset(Action),
    when=lambda asked: asked.context.actor_category in ("SUPPORT", "AM_SYSTEM"),
    reason="ACTEUR_NON_HABILITE",
    public=True,
)
NOBODY = Rule(
    id="AR-01",
    effect=Effect.DENY,
    source="CSP L1111-17, L1111-18",
    fr="Aucune règle n'autorise cet acte à ce demandeur.",
    en="No rule allows this act to this caller.",
    actions=frozenset(Action),
    when=lambda asked: True,
    reason="ACTEUR_NON_HABILITE",
)
STRANGERS = (
    *EMERGENCY_REFUSALS,
    BREAK_GLASS,
    CENTRE_15,
    EXPIRED,
    ABSENT,
    REPRESENTATION_OVER,
    SUPPORT_SEES_NOTHING,
    NOBODY,
)


def is_patient_side(asked: Asked) -> bool:
    return asked.context.actor_category in PATIENT_SIDE
