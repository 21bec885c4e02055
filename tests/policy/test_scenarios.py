"""Decisions one by one: our own cases, and the scenarios of the reference folder when it is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action, consent_action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.scenarios import judge
from dmp_fhir.policy.standing import NO_RECORD, Permit, Standing
from dmp_fhir.policy.status import access_status
from tests.policy.scenarios import every_scenario
from tests.policy.worlds import (
    DAY,
    DOCTOR,
    FEEDER,
    HELPER,
    HELPER_CONTEXT,
    HERE,
    ME,
    MINOR,
    NOW,
    OPEN,
    OPERATOR,
    OTHER,
    PARENT_CONTEXT,
    PATIENT,
)

AUTHORISED = replace(OPEN, permits=(Permit("Practitioner", ME),))
TREATED = replace(OPEN, treating_physicians=frozenset({ME}))
REPORT = DocumentFacts("http://loinc.org", "11488-4", author_persons=frozenset({OTHER}), deposited_ms=NOW - DAY)
MASKED = replace(REPORT, labels=frozenset({"MASQUE_PS"}))
ANNOUNCED = replace(REPORT, labels=frozenset({"INVISIBLE_PATIENT"}))
SECRET = replace(REPORT, labels=frozenset({"INVISIBLE_REPRESENTANTS_LEGAUX"}))
OWN_MASKED = replace(MASKED, author_persons=frozenset({ME}))
ASKED = replace(DOCTOR, patient_request=True)
AGREED = replace(DOCTOR, patient_agreement=True)
CLOSED = replace(TREATED, status="closed")
EMERGENCY = replace(DOCTOR, purpose="bris_de_glace", reason="douleur thoracique, patient inconscient")

CASES: tuple[tuple[str, AccessContext, Action, Standing, DocumentFacts | None, str | None, str], ...] = (
    ("no record", DOCTOR, Action.DOC_LIST, NO_RECORD, None, "DMP_ABSENT", "AR-07"),
    ("closed, treating physician", DOCTOR, Action.DOC_READ, CLOSED, REPORT, "DMP_FERME", "AR-08"),
    ("closed, existence test", DOCTOR, Action.DMP_EXISTS, CLOSED, None, None, "AR-14"),
    (
        "closed, reopened by the patient",
        PATIENT,
        Action.DMP_REOPEN,
        replace(OPEN, status="closed"),
        None,
        None,
        "AR-09",
    ),
    ("suspended", PATIENT, Action.DOC_LIST, replace(OPEN, status="suspended"), None, "DMP_SUSPENDU", "AR-12"),
    ("stranger", DOCTOR, Action.DOC_LIST, OPEN, None, "AUTORISATION_ABSENTE", "AR-21"),
    ("authorised", DOCTOR, Action.DOC_READ, AUTHORISED, REPORT, None, "AR-22"),
    ("authorised, masked", DOCTOR, Action.DOC_READ, AUTHORISED, MASKED, "DOCUMENT_MASQUE", "AR-60"),
    ("author, masked", DOCTOR, Action.DOC_READ, AUTHORISED, OWN_MASKED, None, "AR-59"),
    ("treating physician, masked", DOCTOR, Action.DOC_READ, TREATED, MASKED, None, "AR-35"),
    ("professionals see what awaits an announcement", DOCTOR, Action.DOC_READ, AUTHORISED, ANNOUNCED, None, "AR-22"),
    ("patient before", PATIENT, Action.DOC_READ, OPEN, ANNOUNCED, "DOCUMENT_INVISIBLE_PATIENT", "AR-63"),
    (
        "patient after a month",
        PATIENT,
        Action.DOC_READ,
        OPEN,
        replace(ANNOUNCED, deposited_ms=NOW - 32 * DAY),
        None,
        "AR-78",
    ),
    ("patient, masked to others", PATIENT, Action.DOC_READ, OPEN, MASKED, None, "AR-78"),
    ("parent, hidden by the minor", PARENT_CONTEXT, Action.DOC_READ, MINOR, SECRET, "DOCUMENT_INVISIBLE_RL", "AR-66"),
    ("parent of a minor", PARENT_CONTEXT, Action.DOC_READ, MINOR, REPORT, None, "AR-79"),
    (
        "parent of an adult",
        PARENT_CONTEXT,
        Action.DOC_READ,
        replace(MINOR, majority_ms=NOW),
        REPORT,
        "REPRESENTATION_TERMINEE",
        "AR-80",
    ),
    ("feeder reads", FEEDER, Action.DOC_READ, OPEN, REPORT, "AUTH_MODE_INSUFFISANT", "AR-87"),
    ("feeder deposits", FEEDER, Action.DOC_CREATE, OPEN, REPORT, None, "AR-93"),
    (
        "feeder deletes its structure's",
        FEEDER,
        Action.DOC_DELETE,
        OPEN,
        replace(REPORT, author_structures=frozenset({HERE})),
        None,
        "AR-70",
    ),
    ("feeder deletes others'", FEEDER, Action.DOC_DELETE, OPEN, REPORT, "PAS_AUTEUR", "AR-70"),
    (
        "INS not qualified",
        replace(FEEDER, ins_status="VALIDEE"),
        Action.DOC_CREATE,
        OPEN,
        REPORT,
        "INS_NON_QUALIFIEE",
        "AR-19",
    ),
    (
        "blocked author deposits",
        DOCTOR,
        Action.DOC_CREATE,
        replace(OPEN, blocked=frozenset({ME})),
        REPORT,
        None,
        "AR-42",
    ),
    (
        "patient's types",
        DOCTOR,
        Action.DOC_CREATE,
        OPEN,
        replace(REPORT, type_code="EXPPAT_2"),
        "TYPE_RESERVE",
        "AR-73",
    ),
    (
        "patient deposits own type",
        PATIENT,
        Action.DOC_CREATE,
        OPEN,
        replace(REPORT, type_code="DOCPAT01"),
        None,
        "AR-78",
    ),
    ("patient deposits a report", PATIENT, Action.DOC_CREATE, OPEN, REPORT, "TYPE_RESERVE", "AR-73"),
    (
        "directives of a minor",
        replace(PATIENT),
        Action.DOC_CREATE,
        MINOR,
        replace(REPORT, type_code="EXPPAT_3"),
        "DIRECTIVES_MINEUR",
        "AR-76",
    ),
    (
        "synthesis by another",
        DOCTOR,
        Action.DOC_CREATE,
        AUTHORISED,
        replace(REPORT, type_code="60591-5"),
        "TYPE_RESERVE",
        "AR-39",
    ),
    (
        "synthesis by the treating physician",
        DOCTOR,
        Action.DOC_CREATE,
        TREATED,
        replace(REPORT, type_code="60591-5"),
        None,
        "AR-93",
    ),
    (
        "opposed feeding",
        DOCTOR,
        Action.DOC_CREATE,
        replace(OPEN, feeding_opposed=frozenset({ME})),
        REPORT,
        "OPPOSITION_ALIMENTATION",
        "AR-94",
    ),
    (
        "mask without the patient's request",
        DOCTOR,
        Action.DOC_MASK,
        TREATED,
        REPORT,
        "DEMANDE_PATIENT_ABSENTE",
        "AR-61",
    ),
    ("mask at the patient's request", ASKED, Action.DOC_MASK, AUTHORISED, REPORT, None, "AR-61"),
    ("unmask what one cannot see", ASKED, Action.DOC_UNMASK, AUTHORISED, MASKED, "DOCUMENT_MASQUE", "AR-60"),
    (
        "mask by AIR",
        replace(ASKED, auth_mode="AIR"),
        Action.DOC_MASK,
        AUTHORISED,
        REPORT,
        "AUTH_MODE_INSUFFISANT",
        "AR-18",
    ),
    ("patient masks", PATIENT, Action.DOC_MASK, OPEN, REPORT, None, "AR-61"),
    (
        "helper masks",
        HELPER_CONTEXT,
        Action.DOC_MASK,
        replace(OPEN, helpers=frozenset({HELPER})),
        REPORT,
        None,
        "AR-61",
    ),
    ("show after the announcement", DOCTOR, Action.DOC_SHOW_PATIENT, AUTHORISED, ANNOUNCED, None, "AR-64"),
    ("hide again", DOCTOR, Action.DOC_HIDE_PATIENT, AUTHORISED, REPORT, "OPERATION_INTERDITE", "AR-65"),
    ("patient deletes others'", PATIENT, Action.DOC_DELETE, OPEN, REPORT, "PAS_AUTEUR", "AR-74"),
    ("break-glass", EMERGENCY, Action.DOC_READ, OPEN, REPORT, None, "AR-46"),
    (
        "break-glass does not write rights",
        EMERGENCY,
        Action.DOC_SHOW_PATIENT,
        OPEN,
        ANNOUNCED,
        "ACTION_HORS_URGENCE",
        "AR-49",
    ),
    (
        "break-glass in occupational medicine",
        replace(EMERGENCY, practice_context="MEDECINE_TRAVAIL"),
        Action.DOC_READ,
        OPEN,
        REPORT,
        "ACTEUR_NON_HABILITE",
        "AR-57",
    ),
    ("operator creates", OPERATOR, Action.RECORD_CREATE, NO_RECORD, None, None, "AR-13"),
    ("doctor creates a record", DOCTOR, Action.RECORD_CREATE, NO_RECORD, None, "ACTEUR_NON_HABILITE", "AR-01"),
    ("operator reads a document", OPERATOR, Action.DOC_READ, OPEN, REPORT, "ACTEUR_NON_HABILITE", "AR-90"),
    ("anyone reads the directory", FEEDER, Action.PARTY_READ, NO_RECORD, None, None, "DIR-01"),
    ("doctor writes in the directory", DOCTOR, Action.PARTY_WRITE, NO_RECORD, None, "ACTEUR_NON_HABILITE", "AR-01"),
    ("patient names somebody around them", PATIENT, Action.PARTY_WRITE, OPEN, None, None, "DIR-03"),
    ("stranger looks around a patient", DOCTOR, Action.PARTY_READ, OPEN, None, "AUTORISATION_ABSENTE", "AR-21"),
    ("whole history", DOCTOR, Action.AUDIT_READ_FULL, AUTHORISED, None, "ACTEUR_NON_HABILITE", "AR-98"),
    ("own history", DOCTOR, Action.AUDIT_READ_OWN, AUTHORISED, None, None, "AR-98"),
)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_case(case: tuple) -> None:
    _, context, action, standing, document, reason, rule = case
    decision = decide(context, action, standing, document, NOW)
    assert (decision.permit, decision.reason) == (reason is None, reason), decision
    assert rule in decision.rules


OWN_PERMIT = ConsentTarget("AUTORISATION", "permit", "Practitioner", ME)
COLLEAGUE = ConsentTarget("AUTORISATION", "permit", "Practitioner", OTHER)
BLOCK = ConsentTarget("BLOCAGE", "deny", "Practitioner", OTHER)
TREATING = ConsentTarget("MEDECIN_TRAITANT", "permit", "Practitioner", ME)
CONSENT_CASES = (
    ("own, agreed", AGREED, OPEN, OWN_PERMIT, None),
    ("own, no agreement", DOCTOR, OPEN, OWN_PERMIT, "CONSENTEMENT_ABSENT"),
    ("own, blocked", AGREED, replace(OPEN, blocked=frozenset({ME})), OWN_PERMIT, "PS_BLOQUE"),
    ("given up", DOCTOR, AUTHORISED, replace(OWN_PERMIT, ended=True), None),
    ("colleague, with access", AGREED, AUTHORISED, COLLEAGUE, None),
    ("colleague, without", AGREED, OPEN, COLLEAGUE, "ACTEUR_NON_HABILITE"),
    ("block by a stranger", DOCTOR, AUTHORISED, BLOCK, "ACTEUR_NON_HABILITE"),
    ("block by the treating physician", DOCTOR, TREATED, BLOCK, None),
    ("block by the patient", PATIENT, OPEN, BLOCK, None),
    ("block by a feeder", FEEDER, OPEN, BLOCK, "AUTH_MODE_INSUFFISANT"),
    ("treating physician, agreed", AGREED, OPEN, TREATING, None),
    ("treating physician, a nurse", replace(AGREED, profession="60"), OPEN, TREATING, "PROFESSION"),
    ("emergency preference by a doctor", DOCTOR, TREATED, ConsentTarget("URGENCE_BTG", "deny"), "ACTEUR_NON_HABILITE"),
    ("emergency preference by the patient", PATIENT, OPEN, ConsentTarget("URGENCE_BTG", "deny"), None),
    (
        "masked without any emergency",
        PATIENT,
        replace(OPEN, break_glass=False, centre_15=False),
        ConsentTarget("URGENCE_MASQUES", "permit"),
        "PREFERENCE_INCOHERENTE",
    ),
    ("closure by the patient", PATIENT, OPEN, ConsentTarget("OUVERTURE", "deny"), None),
    ("closure by the operator", OPERATOR, OPEN, ConsentTarget("OUVERTURE", "deny"), None),
    ("closure by a doctor", DOCTOR, TREATED, ConsentTarget("OUVERTURE", "deny"), "ACTEUR_NON_HABILITE"),
    (
        "consents by a helper",
        HELPER_CONTEXT,
        replace(OPEN, helpers=frozenset({HELPER})),
        BLOCK,
        "ACTEUR_NON_HABILITE",
    ),
    ("unknown kind", PATIENT, OPEN, ConsentTarget("RECHERCHE"), "ACTEUR_NON_HABILITE"),
)


@pytest.mark.parametrize("case", CONSENT_CASES, ids=[case[0] for case in CONSENT_CASES])
def test_writing_a_consent(case: tuple) -> None:
    _, context, standing, target, reason = case
    decision = decide(context, Action.CONSENT_WRITE, standing, None, NOW, target=target)
    assert (decision.permit, decision.reason) == (reason is None, reason), decision


def test_closing_and_reopening_are_opposite_acts() -> None:
    assert consent_action("OUVERTURE", "deny") is Action.DMP_CLOSE
    assert consent_action("OUVERTURE", "deny", ended=True) is Action.DMP_REOPEN
    assert consent_action("OUVERTURE", "permit") is Action.DMP_REOPEN


def test_access_status() -> None:
    expired = replace(OPEN, permits=(Permit("Practitioner", ME, 0, NOW),))
    assert access_status(DOCTOR, OPEN, NOW) == "NON_EXISTE"
    assert access_status(DOCTOR, AUTHORISED, NOW) == "VALIDE"
    assert access_status(DOCTOR, TREATED, NOW) == "VALIDE"
    assert access_status(DOCTOR, expired, NOW) == "EXPIRE"
    assert access_status(DOCTOR, expired, NOW - 1) == "VALIDE"
    assert access_status(DOCTOR, replace(TREATED, blocked=frozenset({HERE})), NOW) == "INTERDIT"


def test_the_scenarios_agree() -> None:
    """Decision, reason, listing, rules and obligations of every scenario at hand."""
    scenarios = every_scenario()
    assert len(scenarios) >= 47
    for scenario in scenarios:
        verdict = judge(scenario)
        assert verdict.agrees, (scenario.id, scenario.title, verdict.differences)
