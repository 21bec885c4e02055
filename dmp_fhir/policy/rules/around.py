"""Records as a whole, the directory, the people around a patient, consents and traces to read, changes of visibility.

AR-13, AR-14, AR-61, AR-64, AR-65, AR-67, AR-90, AR-97, AR-98. First match of a table wins."""

from __future__ import annotations

from dmp_fhir.policy.actions import MASKING, Action
from dmp_fhir.policy.relation import PATIENT_SIDE, PERMITS, PROFESSIONALS, Relation
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

_LASTING = PERMITS | {Relation.TREATING_PHYSICIAN}
_PATIENT = frozenset({Relation.SELF, Relation.REPRESENTATIVE})


def _in_directory(asked: Asked) -> bool:
    return asked.standing.record_id == ""


def _system(asked: Asked) -> bool:
    return asked.context.actor_category in ("SUPPORT", "AM_SYSTEM")


def _permit(rule: str, source: str, fr: str, en: str, actions: set[Action], when: object, *also: str) -> Rule:
    return Rule(rule, Effect.PERMIT, source, fr, en, frozenset(actions), when, also=also)  # type: ignore[arg-type]


AROUND = (
    _permit(
        "AR-14",
        "guide TD0.2",
        "Le test d'existence est ouvert aux professionnels, structures et systèmes, et à chacun pour son dossier.",
        "The existence test is open to professionals, structures and systems, and to anyone for their own record.",
        {Action.DMP_EXISTS},
        lambda asked: asked.context.actor_category not in PATIENT_SIDE or asked.relation is not None,
    ),
    _permit(
        "AR-13",
        "CSP R1111-40",
        "L'exploitant et l'assurance maladie créent les dossiers et tiennent leur identité, sans lire leur contenu.",
        "The operator and the health insurance create records and keep their identity, without reading their content.",
        {Action.RECORD_CREATE, Action.RECORD_READ, Action.RECORD_UPDATE},
        _system,
    ),
    _permit(
        "DIR-01",
        "D12",
        "L'annuaire des professionnels et des structures est lisible par tout demandeur authentifié.",
        "The directory of professionals and structures can be read by any authenticated caller.",
        {Action.PARTY_READ},
        _in_directory,
    ),
    _permit(
        "DIR-02",
        "D12",
        "L'exploitant et l'assurance maladie tiennent l'annuaire.",
        "The operator and the health insurance keep the directory.",
        {Action.PARTY_WRITE},
        lambda asked: _in_directory(asked) and _system(asked),
    ),
    _permit(
        "DIR-03",
        "CSP R1111-40; AR-79",
        "Les proches et l'équipe de soins sont tenus par l'exploitant, le patient ou son représentant.",
        "The people around a patient and the care team are kept by the operator, the patient or their representative.",
        {Action.PARTY_READ, Action.PARTY_WRITE},
        lambda asked: asked.context.actor_category == "SUPPORT" or asked.relation in _PATIENT,
    ),
    _permit(
        "AR-97",
        "CSP R1111-43, L1111-19",
        "Le titulaire, son représentant et le médecin traitant voient les décisions du patient et tout l'historique.",
        "The holder, their representative and the treating physician see all decisions and the whole history.",
        {Action.CONSENT_READ, Action.AUDIT_READ_FULL, Action.AUDIT_READ_OWN},
        lambda asked: asked.relation in _PATIENT | {Relation.TREATING_PHYSICIAN},
        "AR-37",
    ),
    _permit(
        "AR-98",
        "CSP R1111-43",
        "Un autre professionnel voit les autorisations et les traces qui le concernent.",
        "Another professional sees the authorisations and the traces that concern them.",
        {Action.CONSENT_READ, Action.AUDIT_READ_OWN},
        lambda asked: asked.context.actor_category in PROFESSIONALS,
    ),
    _permit(
        "AR-98",
        "CSP R1111-43",
        "Chaque compte voit ses propres traces.",
        "Each account sees its own traces.",
        {Action.AUDIT_READ_OWN},
        lambda asked: asked.context.actor_category not in PATIENT_SIDE,
    ),
    Rule(
        id="AR-98",
        effect=Effect.DENY,
        source="CSP R1111-43",
        fr="L'historique complet est réservé au titulaire, à son représentant et au médecin traitant.",
        en="The whole history is for the holder, their representative and the treating physician.",
        actions=frozenset({Action.AUDIT_READ_FULL}),
        when=lambda asked: True,
        reason="ACTEUR_NON_HABILITE",
    ),
)


def _visibility(rule: str, reason: str, fr: str, en: str, actions: frozenset[Action], when: object) -> Rule:
    return Rule(rule, Effect.DENY, "guide TD3.3a, TD3.3b", fr, en, actions, when, reason=reason)  # type: ignore[arg-type]


VISIBILITY_REFUSALS = (
    _visibility(
        "AR-65",
        "OPERATION_INTERDITE",
        "Un document ne se rend invisible au patient qu'à son dépôt : ensuite on ne peut que le rendre visible.",
        "A document is made invisible to the patient when it is deposited only: later it can only be made visible.",
        frozenset({Action.DOC_HIDE_PATIENT}),
        lambda asked: True,
    ),
    _visibility(
        "AR-64",
        "ACTEUR_NON_HABILITE",
        "Rendre visible au patient ou à ses représentants revient à un professionnel.",
        "Making a document visible to the patient or their representatives is for a professional.",
        frozenset({Action.DOC_SHOW_PATIENT, Action.DOC_HIDE_REPS, Action.DOC_SHOW_REPS}),
        lambda asked: asked.context.actor_category not in PROFESSIONALS,
    ),
    _visibility(
        "AR-61",
        "DEMANDE_PATIENT_ABSENTE",
        "Masquer ou démasquer appartient au patient : attester sa demande dans le jeton (patient_request).",
        "Masking and unmasking belong to the patient: attest their request in the token (patient_request).",
        MASKING,
        lambda asked: asked.context.actor_category in PROFESSIONALS and not asked.context.patient_request,
    ),
    _visibility(
        "AR-67",
        "DEMANDE_PATIENT_ABSENTE",
        "Cacher ou montrer aux représentants se fait à la demande du mineur, attestée dans le jeton (patient_request).",
        "Hiding from or showing to representatives is done at the minor's request, attested in the token.",
        frozenset({Action.DOC_HIDE_REPS, Action.DOC_SHOW_REPS}),
        lambda asked: not asked.context.patient_request,
    ),
)
VISIBILITY_RULE_OF = {
    Action.DOC_MASK: "AR-61",
    Action.DOC_UNMASK: "AR-61",
    Action.DOC_SHOW_PATIENT: "AR-64",
    Action.DOC_HIDE_REPS: "AR-67",
    Action.DOC_SHOW_REPS: "AR-67",
}
