"""Who may decide what about the record: authorisations, blocks, treating physician, preferences, closure.

AR-09, AR-11, AR-22, AR-27, AR-28, AR-36, AR-37, AR-43, AR-48, AR-56, AR-84, AR-85. First match wins; nothing permits by
default."""

from __future__ import annotations

from dmp_fhir.policy.actions import CONSENT_ACTS, Action
from dmp_fhir.policy.relation import PERMITS, PHYSICIAN, PROFESSIONALS, Relation, is_treating
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

MOST_HELPERS = 3
MOST_FOLLOWED = 5
_DECIDING = frozenset({Relation.SELF, Relation.REPRESENTATIVE})


def _decides(asked: Asked) -> bool:
    return asked.relation in _DECIDING


def _own(asked: Asked) -> bool:
    context, target = asked.context, asked.target
    return (
        context.actor_category in PROFESSIONALS
        and context.purpose == "normal"
        and (target is None or (target.actor_kind == "Practitioner" and target.actor_id == context.actor_id))
    )


def _own_permit(asked: Asked) -> bool:
    # A refusal in the name of the patient is the patient's: a professional only gives up what they were given.
    return _own(asked) and (asked.target is None or asked.target.decision == "permit")


def _treats(asked: Asked) -> bool:
    return is_treating(asked.context, asked.standing) and asked.context.purpose == "normal"


def _colleague(asked: Asked) -> bool:
    target = asked.target
    return (
        asked.context.actor_category == "PS"
        and asked.context.purpose == "normal"
        and asked.relation in PERMITS | {Relation.TREATING_PHYSICIAN}
        and target is not None
        and target.kind == "AUTORISATION"
        and target.actor_kind == "Practitioner"
    )


def _incoherent(asked: Asked) -> bool:
    target = asked.target
    return (
        target is not None
        and target.kind == "URGENCE_MASQUES"
        and target.decision == "permit"
        and not target.ended
        and not (asked.standing.break_glass or asked.standing.centre_15)
    )


def _too_many_helpers(asked: Asked) -> bool:
    target = asked.target
    if target is None or target.ended or target.decision != "permit":
        return False
    others = asked.standing.helpers - {target.actor_id}
    return len(others) >= MOST_HELPERS or target.followed >= MOST_FOLLOWED


def _permit(rule: str, source: str, fr: str, en: str, actions: set[Action], when: object, *also: str) -> Rule:
    return Rule(rule, Effect.PERMIT, source, fr, en, frozenset(actions), when, also=also)  # type: ignore[arg-type]


def _deny(rule: str, source: str, reason: str, fr: str, en: str, actions: set[Action], when: object) -> Rule:
    return Rule(rule, Effect.DENY, source, fr, en, frozenset(actions), when, reason=reason)  # type: ignore[arg-type]


CONSENTS = (
    Rule(
        id="AR-84",
        effect=Effect.DENY,
        source="Mon espace santé",
        fr="L'aidant ne gère ni les consentements, ni les blocages, ni la fermeture du dossier.",
        en="The helper manages neither consents, nor blocks, nor the closure of the record.",
        actions=CONSENT_ACTS,
        when=lambda asked: asked.relation is Relation.HELPER,
        reason="ACTEUR_NON_HABILITE",
        also=("AR-09",),
    ),
    _deny(
        "AR-56",
        "Mon espace santé",
        "PREFERENCE_INCOHERENTE",
        "Ouvrir les documents masqués aux urgences suppose d'accepter au moins un accès d'urgence.",
        "Opening masked documents to emergencies supposes accepting at least one emergency access.",
        {Action.PREF_EMERGENCY},
        lambda asked: _decides(asked) and _incoherent(asked),
    ),
    _deny(
        "AR-85",
        "Mon espace santé",
        "NOMBRE_AIDANTS",
        f"Un patient a au plus {MOST_HELPERS} aidants, un aidant suit au plus {MOST_FOLLOWED} profils.",
        f"A patient has at most {MOST_HELPERS} helpers, a helper follows at most {MOST_FOLLOWED} profiles.",
        {Action.DELEGATE},
        lambda asked: _decides(asked) and _too_many_helpers(asked),
    ),
    _deny(
        "AR-43",
        "Mon espace santé",
        "ACTEUR_BLOQUE",
        "Ce professionnel ou cette structure est bloqué : débloquez d'abord, rien n'est rétabli au déblocage.",
        "This professional or structure is blocked: unblock first; unblocking restores nothing.",
        {Action.AUTH_ADD, Action.MT_DECLARE},
        lambda asked: (
            (_decides(asked) or _treats(asked))
            and asked.target is not None
            and asked.target.actor_id in asked.standing.blocked
        ),
    ),
    _permit(
        "AR-43",
        "CSP L1111-19; Mon espace santé",
        "Le patient ou son représentant décide de toutes les autorisations, de tous les blocages et préférences.",
        "The patient or their representative decides on all authorisations, blocks and preferences.",
        set(CONSENT_ACTS) - {Action.DMP_CLOSE, Action.DMP_REOPEN},
        _decides,
    ),
    _permit(
        "AR-09",
        "CSP R1111-36",
        "Le patient, son représentant ou l'exploitant ferme le dossier, et le rouvre tant qu'il est archivé (AR-11).",
        "The patient, their representative or the operator closes the record, and reopens it while archived (AR-11).",
        {Action.DMP_CLOSE, Action.DMP_REOPEN},
        lambda asked: _decides(asked) or asked.context.actor_category == "SUPPORT",
    ),
    _permit(
        "AR-37",
        "CSP R1111-43",
        "Le médecin traitant bloque ou débloque un professionnel à la demande du patient.",
        "The treating physician blocks or unblocks a professional at the patient's request.",
        {Action.AUTH_BLOCK, Action.AUTH_UNBLOCK},
        _treats,
        "AR-43",
    ),
    _deny(
        "AR-22",
        "CSP L1111-19",
        "CONSENTEMENT_ABSENT",
        "Enregistrer une autorisation demande d'attester l'accord oral du patient dans le jeton (patient_agreement).",
        "Recording an authorisation needs the patient's oral agreement attested in the token (patient_agreement).",
        {Action.AUTH_ADD},
        lambda asked: (_own(asked) or _colleague(asked)) and not asked.context.patient_agreement,
    ),
    _permit(
        "AR-22",
        "CSP L1111-19",
        "Le professionnel enregistre l'autorisation que le patient vient de lui donner.",
        "The professional records the authorisation that the patient has just given them.",
        {Action.AUTH_ADD},
        _own,
        "AR-30",
    ),
    _permit(
        "AR-27",
        "CSP L1111-17 II",
        "Un professionnel qui a accès recueille l'accord du patient pour un confrère.",
        "A professional who has access collects the patient's agreement for a colleague.",
        {Action.AUTH_ADD},
        _colleague,
    ),
    _permit(
        "AR-28",
        "CSP L1111-19",
        "Chacun peut renoncer à sa propre autorisation.",
        "Anyone may give up their own authorisation.",
        {Action.AUTH_REMOVE},
        _own_permit,
    ),
    _deny(
        "AR-36",
        "guide LIB",
        "PROFESSION",
        "Seul un médecin peut se déclarer médecin traitant.",
        "Only a physician may declare themselves treating physician.",
        {Action.MT_DECLARE},
        lambda asked: _own(asked) and asked.context.profession != PHYSICIAN,
    ),
    _deny(
        "AR-36",
        "guide LIB",
        "CONSENTEMENT_ABSENT",
        "Déclarer un médecin traitant demande d'attester l'accord du patient dans le jeton (patient_agreement).",
        "Declaring a treating physician needs the patient's agreement attested in the token (patient_agreement).",
        {Action.MT_DECLARE},
        lambda asked: (_own(asked) or _treats(asked)) and not asked.context.patient_agreement,
    ),
    _permit(
        "AR-36",
        "guide LIB; CSP R1111-43",
        "Un médecin se déclare médecin traitant avec l'accord du patient, ou le médecin traitant en désigne un autre.",
        "A physician declares themselves treating physician with the patient's agreement, or names another one.",
        {Action.MT_DECLARE},
        lambda asked: _own(asked) or _treats(asked),
    ),
    _permit(
        "AR-38",
        "guide LIB",
        "Le médecin traitant peut renoncer à ce statut.",
        "The treating physician may give up this status.",
        {Action.MT_REVOKE},
        _own_permit,
    ),
)
