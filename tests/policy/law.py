"""The check set of the mutation test: what the rule book says, one line per statement, written apart from the rules.

Together with the cases of test_scenarios.py it must notice every rule that is switched off, turned round or of the
other effect (tests/policy/test_mutation.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import Decision, decide
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import NO_RECORD, Grant, Permit, Standing
from tests.policy.test_scenarios import CASES, CONSENT_CASES
from tests.policy.worlds import (
    DAY,
    DOCTOR,
    ELSEWHERE,
    FEEDER,
    HELPER,
    HELPER_CONTEXT,
    HERE,
    MATRICULE,
    ME,
    MINOR,
    NOW,
    OPEN,
    OPERATOR,
    OTHER,
    PARENT,
    PARENT_CONTEXT,
    PATIENT,
    STAFF,
)

REPORT = DocumentFacts("http://loinc.org", "11488-4", author_persons=frozenset({OTHER}), deposited_ms=NOW - DAY)
MINE = replace(REPORT, author_persons=frozenset({ME}))
MASKED = replace(REPORT, labels=frozenset({"MASQUE_PS"}))
DELETED = replace(MINE, status="entered-in-error")
AUTHORISED = replace(OPEN, permits=(Permit("Practitioner", ME),))
TREATED = replace(OPEN, treating_physicians=frozenset({ME}))
EXPIRED = replace(OPEN, permits=(Permit("Practitioner", ME, 0, NOW),))
BLOCKED = replace(AUTHORISED, blocked=frozenset({ME}))
HELPED = replace(OPEN, helpers=frozenset({HELPER}))
GLASS = replace(DOCTOR, purpose="bris_de_glace", reason="patient inconscient aux urgences", token_id="session-1")
REGULATION = replace(DOCTOR, purpose="centre_15", regulation=True, token_id="session-1")
ROLE = replace(DOCTOR, actor_category="PS_ROLE", profession="41")
INSURANCE = AccessContext("AM_SYSTEM", "am", "AM", "SYSTEME", purpose="systeme")
HOUR = 3_600_000


@dataclass(frozen=True)
class Line:
    """A statement of the rule book: `reason` None for a permit."""

    name: str
    context: AccessContext
    action: Action
    standing: Standing
    document: DocumentFacts | None = None
    reason: str | None = None
    target: ConsentTarget | None = None
    rule: str | None = None
    public: bool | None = None
    settings: PolicySettings = DEFAULT_SETTINGS

    def decide(self) -> Decision:
        return decide(
            self.context,
            self.action,
            self.standing,
            self.document,
            NOW,
            target=self.target,
            settings=self.settings,
        )

    def holds(self) -> bool:
        decision = self.decide()
        return (
            (decision.permit, decision.reason) == (self.reason is None, self.reason)
            and (self.rule is None or self.rule in decision.rules)
            and (self.public is None or (decision.public is not None) == self.public)
        )


def _grant(session: str = "session-1", expires: int = NOW - 1, motive: str = "un autre motif") -> Standing:
    purposes = ("bris_de_glace", "centre_15")
    return replace(
        OPEN,
        grants=tuple(
            Grant(
                person=ME,
                structure=HERE,
                session=session,
                purpose=purpose,
                motive=motive,
                expires_ms=expires,
            )
            for purpose in purposes
        ),
    )


def _category(category: str, purpose: str = "normal") -> AccessContext:
    return replace(DOCTOR, actor_category=category, purpose=purpose)


READ, LIST, CREATE, DELETE = Action.DOC_READ, Action.DOC_LIST, Action.DOC_CREATE, Action.DOC_DELETE
DELEGATED = ConsentTarget("DELEGATION", "permit", "RelatedPerson", HELPER)
REMB = replace(REPORT, type_code="REMB")
HIDE_REPS, SHOW_REPS, SHOW = Action.DOC_HIDE_REPS, Action.DOC_SHOW_REPS, Action.DOC_SHOW_PATIENT
ASKED = replace(DOCTOR, patient_request=True)
AGREED = replace(DOCTOR, patient_agreement=True)

LINES = (
    # Stage 1: callers.
    Line("insurers, even authorised", _category("TIERS_EXCLU"), LIST, AUTHORISED, reason="ACTEUR_EXCLU"),
    Line(
        "experts, even authorised", replace(DOCTOR, practice_context="EXPERTISE"), LIST, TREATED, None, "ACTEUR_EXCLU"
    ),
    Line("excluded parties do not feed", _category("TIERS_EXCLU"), CREATE, OPEN, REPORT, "ACTEUR_EXCLU"),
    Line("services", _category("SERVICE", "systeme"), LIST, OPEN, reason="ACTEUR_NON_HABILITE", rule="AR-92"),
    Line(
        "services feed nothing",
        _category("SERVICE", "systeme"),
        CREATE,
        OPEN,
        REPORT,
        "ACTEUR_NON_HABILITE",
        rule="AR-92",
    ),
    Line("heirs", _category("AYANT_DROIT", "patient"), LIST, OPEN, reason="HORS_LIGNE"),
    Line(
        "staff of the insurance", _category("AM_AGENT", "systeme"), Action.DMP_EXISTS, OPEN, None, "ACTEUR_NON_HABILITE"
    ),
    Line("token of another patient", replace(DOCTOR, person_id="x|1"), LIST, TREATED, reason="JETON_PATIENT"),
    Line("purpose of research", replace(DOCTOR, purpose="recherche"), LIST, TREATED, reason="FINALITE", public=True),
    # Stage 2: the record.
    Line("absent", DOCTOR, CREATE, NO_RECORD, REPORT, "DMP_ABSENT"),
    Line("absent is told to nobody on the portal", PATIENT, Action.DMP_EXISTS, NO_RECORD, reason="DMP_ABSENT"),
    Line("closed to deposits", FEEDER, CREATE, replace(OPEN, status="closed"), REPORT, "DMP_FERME"),
    Line("suspended to deposits", FEEDER, CREATE, replace(OPEN, status="suspended"), REPORT, "DMP_SUSPENDU"),
    # Stage 3: authentication.
    Line("staff card", STAFF, LIST, OPEN, reason="AUTH_MODE_INSUFFISANT", rule="AR-16", public=True),
    Line("structure account", FEEDER, LIST, OPEN, reason="AUTH_MODE_INSUFFISANT", rule="AR-87", public=True),
    Line(
        "indirect", replace(DOCTOR, auth_mode="INDIRECTE"), LIST, TREATED, reason="AUTH_MODE_INSUFFISANT", rule="AR-15"
    ),
    Line("AIR reads", replace(DOCTOR, auth_mode="AIR"), LIST, TREATED),
    Line(
        "AIR masks nothing", replace(ASKED, auth_mode="AIR"), Action.DOC_MASK, TREATED, REPORT, "AUTH_MODE_INSUFFISANT"
    ),
    Line("INS not qualified", replace(DOCTOR, ins_status="RECUPEREE"), CREATE, OPEN, REPORT, "INS_NON_QUALIFIEE"),
    Line("secret for an adult", replace(DOCTOR, secret=True), LIST, TREATED, reason="SECRET_MAJEUR"),
    Line("secret for a minor", replace(DOCTOR, secret=True), LIST, replace(MINOR, treating_physicians=frozenset({ME}))),
    Line(
        "social professionals, closed by the operator",
        ROLE,
        LIST,
        AUTHORISED,
        reason="ACTEUR_NON_HABILITE",
        rule="AR-89",
        settings=replace(DEFAULT_SETTINGS, role_professionals=False),
    ),
    Line("social professionals, authorised", ROLE, LIST, AUTHORISED),
    # Stage 4: feeding.
    Line("blocked feeds", DOCTOR, CREATE, BLOCKED, REPORT, rule="AR-42"),
    Line(
        "occupational physician feeds",
        replace(DOCTOR, practice_context="MEDECINE_TRAVAIL"),
        CREATE,
        OPEN,
        REPORT,
        "AUTORISATION_ABSENTE",
        rule="AR-33",
    ),
    Line(
        "authorised occupational physician feeds",
        replace(DOCTOR, practice_context="MEDECINE_TRAVAIL"),
        CREATE,
        AUTHORISED,
        REPORT,
    ),
    Line(
        "fire-service physician feeds",
        replace(DOCTOR, practice_context="SAPEUR_POMPIER"),
        CREATE,
        OPEN,
        REPORT,
        "AUTORISATION_ABSENTE",
        rule="AR-34",
    ),
    Line(
        "PMI physician feeds",
        replace(DOCTOR, practice_context="PMI"),
        CREATE,
        OPEN,
        REPORT,
        "AUTORISATION_ABSENTE",
        rule="AR-32",
    ),
    Line("reimbursement by a doctor", DOCTOR, CREATE, OPEN, REMB, "TYPE_RESERVE", rule="AR-75", public=True),
    Line("reimbursement by the insurance", INSURANCE, CREATE, OPEN, REMB),
    Line("report by the insurance", INSURANCE, CREATE, OPEN, REPORT, "TYPE_RESERVE", rule="AR-75"),
    Line("support feeds nothing", OPERATOR, CREATE, OPEN, REPORT, "ACTEUR_NON_HABILITE", rule="AR-01"),
    Line("own document", DOCTOR, DELETE, OPEN, MINE, rule="AR-70"),
    Line("another's document, seen", DOCTOR, DELETE, AUTHORISED, REPORT, "PAS_AUTEUR", public=True),
    Line("deleted twice", DOCTOR, DELETE, OPEN, DELETED, "DOCUMENT_SUPPRIME"),
    Line("deleted for its author", DOCTOR, READ, TREATED, DELETED, "DOCUMENT_SUPPRIME"),
    Line("deleted for the patient", PATIENT, READ, OPEN, DELETED, "DOCUMENT_SUPPRIME"),
    # Stage 5: blocks.
    Line("blocked reads", DOCTOR, READ, BLOCKED, REPORT, "PS_BLOQUE"),
    Line(
        "structure blocked",
        DOCTOR,
        READ,
        replace(AUTHORISED, blocked=frozenset({HERE})),
        REPORT,
        "PS_BLOQUE",
        rule="AR-44",
    ),
    Line("another is blocked", DOCTOR, READ, replace(AUTHORISED, blocked=frozenset({OTHER, ELSEWHERE})), REPORT),
    # Stage 6: relations.
    Line(
        "structure authorised",
        DOCTOR,
        READ,
        replace(OPEN, permits=(Permit("Organization", HERE),)),
        REPORT,
        rule="AR-24",
    ),
    Line(
        "team",
        DOCTOR,
        READ,
        replace(OPEN, permits=(Permit("CareTeam", "t", members=frozenset({ME})),)),
        REPORT,
        rule="AR-25",
    ),
    Line("expired", DOCTOR, READ, EXPIRED, REPORT, "AUTORISATION_EXPIREE"),
    Line("glass", GLASS, READ, OPEN, REPORT, rule="AR-46"),
    Line("glass by a nurse", replace(GLASS, profession="60"), LIST, OPEN, rule="AR-46"),
    Line("glass, authorised", GLASS, READ, AUTHORISED, REPORT, rule="AR-52"),
    Line(
        "glass without a motive", replace(GLASS, reason="   vite   "), READ, OPEN, REPORT, "MOTIF_MANQUANT", public=True
    ),
    Line(
        "no motive, no record: told all the same",
        replace(GLASS, reason=None),
        LIST,
        NO_RECORD,
        reason="DMP_ABSENT",
        public=True,
    ),
    Line("a motive, no record: nothing told", GLASS, LIST, NO_RECORD, reason="DMP_ABSENT", public=False),
    Line("glass opposed", GLASS, READ, replace(OPEN, break_glass=False), REPORT, "OPPOSITION_BRIS_DE_GLACE"),
    Line("glass, blocked", GLASS, READ, BLOCKED, REPORT, "PS_BLOQUE", rule="AR-41"),
    Line(
        "glass by a role",
        replace(GLASS, actor_category="PS_ROLE"),
        LIST,
        OPEN,
        reason="ACTEUR_NON_HABILITE",
        rule="AR-57",
    ),
    Line(
        "glass changes nothing",
        replace(GLASS, patient_request=True),
        Action.DOC_MASK,
        OPEN,
        REPORT,
        "ACTION_HORS_URGENCE",
    ),
    Line("glass does not open masks", GLASS, READ, OPEN, MASKED, "DOCUMENT_MASQUE", rule="AR-60"),
    Line("glass opens masks when chosen", GLASS, READ, replace(OPEN, masked_in_emergency=True), MASKED),
    Line("grant over", GLASS, READ, _grant(), REPORT, "ACCES_URGENCE_TERMINE"),
    Line("grant running", GLASS, READ, _grant(expires=NOW + HOUR), REPORT),
    Line(
        "same motive again",
        GLASS,
        READ,
        _grant("session-0", motive=" Patient INCONSCIENT  aux urgences"),
        REPORT,
        "MOTIF_DEJA_UTILISE",
    ),
    Line("new motive", GLASS, READ, _grant("session-0"), REPORT),
    Line("regulation", REGULATION, READ, OPEN, REPORT, rule="AR-53"),
    Line(
        "regulation by a nurse",
        replace(REGULATION, profession="60"),
        READ,
        OPEN,
        REPORT,
        "ACTEUR_NON_HABILITE",
        rule="AR-53",
    ),
    *(
        Line(
            f"not on duty, {name}",
            replace(REGULATION, regulation=False),
            READ,
            standing,
            REPORT,
            "ACTEUR_NON_HABILITE",
            rule="AR-53",
            public=True,
        )
        for name, standing in (("a stranger", OPEN), ("authorised", AUTHORISED), ("treating", TREATED))
    ),
    Line("regulation opposed", REGULATION, READ, replace(OPEN, centre_15=False), REPORT, "OPPOSITION_CENTRE15"),
    Line("regulation, glass opposed", REGULATION, READ, replace(OPEN, break_glass=False), REPORT),
    Line("glass, regulation opposed", GLASS, READ, replace(OPEN, centre_15=False), REPORT),
    Line("parent of nobody", PARENT_CONTEXT, READ, OPEN, REPORT, "ACTEUR_NON_HABILITE", rule="AR-01"),
    Line("helper reads", HELPER_CONTEXT, READ, HELPED, REPORT, rule="AR-84"),
    Line("another's helper", HELPER_CONTEXT, READ, OPEN, REPORT, "ACTEUR_NON_HABILITE", rule="AR-01"),
    Line("insurance reads nothing", INSURANCE, READ, OPEN, REPORT, "ACTEUR_NON_HABILITE", rule="AR-90"),
    Line("feeder, expired permit of its structure", FEEDER, READ, EXPIRED, REPORT, "AUTH_MODE_INSUFFISANT"),
    # Stage 6a: consents.
    Line(
        "helper ends a block", HELPER_CONTEXT, Action.AUTH_UNBLOCK, HELPED, reason="ACTEUR_NON_HABILITE", rule="AR-84"
    ),
    Line("a third helper", PATIENT, Action.DELEGATE, replace(OPEN, helpers=frozenset({"a", "b"})), target=DELEGATED),
    Line(
        "a fourth helper",
        PATIENT,
        Action.DELEGATE,
        replace(OPEN, helpers=frozenset({"a", "b", "c"})),
        None,
        "NOMBRE_AIDANTS",
        DELEGATED,
    ),
    Line("a sixth profile", PATIENT, Action.DELEGATE, OPEN, None, "NOMBRE_AIDANTS", replace(DELEGATED, followed=5)),
    Line(
        "authorising the blocked",
        PATIENT,
        Action.AUTH_ADD,
        replace(OPEN, blocked=frozenset({OTHER})),
        None,
        "ACTEUR_BLOQUE",
        ConsentTarget("AUTORISATION", "permit", "Practitioner", OTHER),
    ),
    Line("unagreed declaration", DOCTOR, Action.MT_DECLARE, OPEN, reason="CONSENTEMENT_ABSENT", rule="AR-36"),
    Line("physician declares", AGREED, Action.MT_DECLARE, OPEN, rule="AR-36"),
    Line("giving up treating", DOCTOR, Action.MT_REVOKE, TREATED, rule="AR-38"),
    Line(
        "making another give up",
        DOCTOR,
        Action.MT_REVOKE,
        TREATED,
        None,
        "ACTEUR_NON_HABILITE",
        ConsentTarget("MEDECIN_TRAITANT", "permit", "Practitioner", OTHER, True),
    ),
    Line("operator reopens", OPERATOR, Action.DMP_REOPEN, replace(OPEN, status="closed"), rule="AR-09"),
    # Stage 6b: around the record.
    Line("directory kept by the operator", OPERATOR, Action.PARTY_WRITE, NO_RECORD, rule="DIR-02"),
    Line("directory read by all", DOCTOR, Action.PARTY_READ, NO_RECORD, rule="DIR-01"),
    Line("around a patient, kept by the operator", OPERATOR, Action.PARTY_WRITE, OPEN, rule="DIR-03"),
    Line("insurance keeps nobody around a patient", INSURANCE, Action.PARTY_WRITE, OPEN, reason="ACTEUR_NON_HABILITE"),
    Line("decisions seen by the patient", PATIENT, Action.CONSENT_READ, OPEN, rule="AR-97"),
    Line("history seen by the patient", PATIENT, Action.AUDIT_READ_FULL, OPEN, rule="AR-97"),
    Line("history seen by the treating physician", DOCTOR, Action.AUDIT_READ_FULL, TREATED, rule="AR-97"),
    Line(
        "history not seen by the authorised",
        DOCTOR,
        Action.AUDIT_READ_FULL,
        AUTHORISED,
        reason="ACTEUR_NON_HABILITE",
        rule="AR-98",
    ),
    Line("own authorisations", DOCTOR, Action.CONSENT_READ, OPEN, rule="AR-98"),
    Line("helper reads no decisions", HELPER_CONTEXT, Action.CONSENT_READ, HELPED, reason="ACTEUR_NON_HABILITE"),
    Line("own traces of a structure", FEEDER, Action.AUDIT_READ_OWN, OPEN, rule="AR-98"),
    Line("no traces for a helper", HELPER_CONTEXT, Action.AUDIT_READ_OWN, HELPED, reason="ACTEUR_NON_HABILITE"),
    Line("identity kept by the operator", OPERATOR, Action.RECORD_UPDATE, OPEN, rule="AR-13"),
    Line("identity not kept by doctors", DOCTOR, Action.RECORD_UPDATE, TREATED, reason="ACTEUR_NON_HABILITE"),
    Line("existence, for a stranger", DOCTOR, Action.DMP_EXISTS, OPEN, rule="AR-14"),
    Line(
        "existence, for another patient",
        replace(PATIENT, actor_id=PARENT, person_id=None),
        Action.DMP_EXISTS,
        OPEN,
        reason="ACTEUR_NON_HABILITE",
    ),
    # Stage 7: documents.
    Line("no row of the matrix", replace(DOCTOR, profession="99"), READ, AUTHORISED, REPORT, "MATRICE"),
    Line("the treating physician has no matrix", DOCTOR, READ, TREATED, replace(REPORT, type_code="unknown")),
    Line("the author has no matrix", replace(DOCTOR, profession="99"), READ, AUTHORISED, MINE, rule="AR-59"),
    # Stage 7a: visibility.
    Line("patient shows to himself", PATIENT, SHOW, OPEN, REPORT, "ACTEUR_NON_HABILITE", rule="AR-64"),
    Line("patient hides from parents", PATIENT, HIDE_REPS, MINOR, REPORT, "ACTEUR_NON_HABILITE", rule="AR-64"),
    Line(
        "hiding from parents without request",
        DOCTOR,
        HIDE_REPS,
        TREATED,
        REPORT,
        "DEMANDE_PATIENT_ABSENTE",
        rule="AR-67",
    ),
    Line("hiding from parents at request", ASKED, HIDE_REPS, TREATED, REPORT, rule="AR-67"),
    Line("showing to parents at request", ASKED, SHOW_REPS, TREATED, REPORT, rule="AR-67"),
    Line(
        "matricule alone is not the patient",
        replace(PATIENT, actor_category="AIDANT", actor_id=MATRICULE, person_id=None),
        READ,
        OPEN,
        REPORT,
        "ACTEUR_NON_HABILITE",
    ),
)

CHECKS = (
    *LINES,
    *(Line(name, who, act, there, paper, reason, rule=rule) for name, who, act, there, paper, reason, rule in CASES),
    *(
        Line(name, who, Action.CONSENT_WRITE, there, None, reason, target=target)
        for name, who, there, target, reason in CONSENT_CASES
    ),
)
