"""Rules with bounds: emergency grants, practice contexts, helpers, blocked actors, settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action, consent_action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.explain import sentences
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.settings import PolicySettings
from dmp_fhir.policy.standing import Grant, Permit
from tests.policy.worlds import (
    DAY,
    DOCTOR,
    HELPER,
    HELPER_CONTEXT,
    HERE,
    MATRICULE,
    ME,
    MINOR,
    NOW,
    OPEN,
    OTHER,
    PARENT,
    PARENT_CONTEXT,
    PATIENT,
)

HOUR = 3_600_000
MOTIVE = "patient inconscient aux urgences"
BREAKS = replace(DOCTOR, purpose="bris_de_glace", reason=MOTIVE, token_id="session-1")
REPORT = DocumentFacts("http://loinc.org", "11488-4", author_persons=frozenset({OTHER}), deposited_ms=NOW - DAY)


def grant(**changes: object) -> Grant:
    return replace(Grant(ME, HERE, "session-1", "bris_de_glace", MOTIVE, NOW + HOUR), **changes)


@pytest.mark.parametrize(
    ("grants", "reason"),
    [
        ((), None),
        ((grant(),), None),
        ((grant(expires_ms=NOW + 1),), None),
        ((grant(expires_ms=NOW),), "ACCES_URGENCE_TERMINE"),
        ((grant(session="session-0"),), "MOTIF_DEJA_UTILISE"),
        ((grant(session="session-0", expires_ms=NOW - DAY),), "MOTIF_DEJA_UTILISE"),
        ((grant(session="session-0", motive=MOTIVE.upper().replace(" ", "  ")),), "MOTIF_DEJA_UTILISE"),
        ((grant(session="session-0", motive="arrêt cardiaque en salle d'attente"),), None),
        ((grant(session="session-0", purpose="centre_15"),), None),
        # Not shared with colleagues, nor carried to another structure.
        ((grant(person=OTHER, session="session-0"),), None),
        ((grant(structure="1990000028", session="session-0"),), None),
        ((grant(person=OTHER, expires_ms=NOW),), None),
    ],
)
def test_a_grant_is_for_one_person_structure_and_session(grants: tuple[Grant, ...], reason: str | None) -> None:
    decision = decide(BREAKS, Action.DOC_READ, replace(OPEN, grants=grants), REPORT, NOW)
    assert (decision.permit, decision.reason) == (reason is None, reason)
    assert "AR-50" in decision.rules
    if reason:
        assert decision.public is not None
        assert decision.public.id == "AR-50"


def test_the_regulation_centre_has_a_session_too_but_no_motive() -> None:
    calls = replace(DOCTOR, purpose="centre_15", regulation=True, token_id="session-2")
    ended = grant(session="session-2", purpose="centre_15", motive="", expires_ms=NOW)
    assert decide(calls, Action.DOC_READ, replace(OPEN, grants=(ended,)), REPORT, NOW).reason == "ACCES_URGENCE_TERMINE"
    assert decide(replace(calls, token_id="3"), Action.DOC_READ, replace(OPEN, grants=(ended,)), REPORT, NOW).permit


def test_an_authorised_professional_needs_no_grant() -> None:
    standing = replace(OPEN, permits=(Permit("Practitioner", ME),), grants=(grant(expires_ms=NOW),))
    assert decide(BREAKS, Action.DOC_READ, standing, REPORT, NOW).permit


@pytest.mark.parametrize(
    ("context", "rule", "person", "structure", "team"),
    [
        ("MEDECINE_TRAVAIL", "AR-33", True, False, False),
        ("EHPAD_COORDONNATEUR", "AR-31", True, False, False),
        ("SAPEUR_POMPIER", "AR-34", True, False, False),
        ("PMI", "AR-32", True, True, True),
    ],
)
def test_where_only_a_personal_agreement_counts(
    context: str, rule: str, person: bool, structure: bool, team: bool
) -> None:
    caller = replace(DOCTOR, practice_context=context)
    for permit, allowed in (
        (Permit("Practitioner", ME), person),
        (Permit("Organization", HERE), structure),
        (Permit("CareTeam", "t", members=frozenset({ME})), team),
    ):
        standing = replace(OPEN, permits=(permit,))
        decision = decide(caller, Action.DOC_LIST, standing, REPORT, NOW)
        assert decision.permit == allowed, permit
        assert (rule in decision.rules) == allowed
        feeds = decide(caller, Action.DOC_CREATE, standing, REPORT, NOW)
        assert feeds.permit == (allowed or context == "EHPAD_COORDONNATEUR"), permit


def test_feeding_from_these_contexts_needs_the_agreement() -> None:
    for context, rule in (("MEDECINE_TRAVAIL", "AR-33"), ("SAPEUR_POMPIER", "AR-34"), ("PMI", "AR-32")):
        decision = decide(replace(DOCTOR, practice_context=context), Action.DOC_CREATE, OPEN, REPORT, NOW)
        assert (decision.reason, decision.rules) == ("AUTORISATION_ABSENTE", (rule,))
        assert decision.public is None


def test_a_fire_service_physician_may_break_the_glass_an_occupational_one_may_not() -> None:
    fire = replace(BREAKS, practice_context="SAPEUR_POMPIER")
    assert decide(fire, Action.DOC_READ, OPEN, REPORT, NOW).permit
    work = replace(BREAKS, practice_context="MEDECINE_TRAVAIL")
    assert decide(work, Action.DOC_READ, OPEN, REPORT, NOW).reason == "ACTEUR_NON_HABILITE"


DELEGATION = ConsentTarget("DELEGATION", "permit", "RelatedPerson", "fourth")


@pytest.mark.parametrize(
    ("helpers", "target", "reason"),
    [
        (2, DELEGATION, None),
        (3, DELEGATION, "NOMBRE_AIDANTS"),
        (3, replace(DELEGATION, actor_id="h0"), None),
        (3, replace(DELEGATION, ended=True), None),
        (0, replace(DELEGATION, followed=4), None),
        (0, replace(DELEGATION, followed=5), "NOMBRE_AIDANTS"),
    ],
)
def test_three_helpers_of_five_profiles(helpers: int, target: ConsentTarget, reason: str | None) -> None:
    standing = replace(OPEN, helpers=frozenset(f"h{n}" for n in range(helpers)))
    decision = decide(PATIENT, Action.CONSENT_WRITE, standing, None, NOW, target=target)
    assert decision.reason == reason


def test_the_side_of_the_patient_manages_what_came_from_it() -> None:
    standing = replace(MINOR, helpers=frozenset({HELPER}))
    drawing = DocumentFacts("urn:a05", "DOCPAT03", author_patients=frozenset({PARENT}), deposited_ms=NOW - DAY)
    for context in (PATIENT, PARENT_CONTEXT, HELPER_CONTEXT):
        assert decide(context, Action.DOC_DELETE, standing, drawing, NOW).permit, context
        assert decide(context, Action.DOC_DELETE, standing, REPORT, NOW).reason == "PAS_AUTEUR"
        mixed = replace(drawing, author_persons=frozenset({OTHER}))
        assert decide(context, Action.DOC_DELETE, standing, mixed, NOW).reason == "PAS_AUTEUR"
    stranger = replace(HELPER_CONTEXT, actor_id="elsewhere")
    assert not decide(stranger, Action.DOC_DELETE, standing, drawing, NOW).permit


def test_a_blocked_actor_is_not_authorised_and_a_colleague_does_not_learn_it() -> None:
    standing = replace(OPEN, blocked=frozenset({OTHER}), treating_physicians=frozenset({ME}))
    target = ConsentTarget("AUTORISATION", "permit", "Practitioner", OTHER)
    agreed = replace(DOCTOR, patient_agreement=True)
    assert decide(PATIENT, Action.CONSENT_WRITE, standing, None, NOW, target=target).reason == "ACTEUR_BLOQUE"
    assert decide(agreed, Action.CONSENT_WRITE, standing, None, NOW, target=target).reason == "ACTEUR_BLOQUE"
    colleague = replace(standing, treating_physicians=frozenset(), permits=(Permit("Practitioner", ME),))
    assert decide(agreed, Action.CONSENT_WRITE, colleague, None, NOW, target=target).permit


def test_a_refusal_in_the_name_of_the_patient_is_theirs() -> None:
    assert consent_action("AUTORISATION", "deny") is Action.AUTH_REMOVE
    assert consent_action("AUTORISATION", "deny", ended=True) is Action.AUTH_ADD
    standing = replace(OPEN, permits=(Permit("Practitioner", ME),))
    deny = ConsentTarget("AUTORISATION", "deny", "Practitioner", ME)
    assert not decide(DOCTOR, Action.CONSENT_WRITE, standing, None, NOW, target=deny).permit
    assert not decide(DOCTOR, Action.CONSENT_WRITE, standing, None, NOW, target=replace(deny, ended=True)).permit
    assert decide(PATIENT, Action.CONSENT_WRITE, standing, None, NOW, target=deny).permit


def decided(context: AccessContext, action: Action, document: DocumentFacts | None = None, **settings: object) -> bool:
    standing = replace(MINOR, permits=(Permit("Practitioner", ME),))
    return decide(context, action, standing, document, NOW, settings=PolicySettings(**settings)).permit  # type: ignore[arg-type]


def test_settings_of_the_operator() -> None:
    synthesis = replace(REPORT, type_code="60591-5")
    assert not decided(DOCTOR, Action.DOC_CREATE, synthesis)
    assert decided(DOCTOR, Action.DOC_CREATE, synthesis, synthesis_author="physician")
    nurse = replace(DOCTOR, profession="60")
    assert not decided(nurse, Action.DOC_CREATE, synthesis, synthesis_author="physician")
    assert decided(nurse, Action.DOC_CREATE, synthesis, synthesis_author="any")
    social = replace(DOCTOR, actor_category="PS_ROLE", profession="41")
    assert decided(social, Action.DOC_LIST)
    assert not decided(social, Action.DOC_LIST, role_professionals=False)
    indirect = replace(DOCTOR, auth_mode="AIR", patient_request=True)
    assert not decided(indirect, Action.DOC_MASK, REPORT)
    assert decided(indirect, Action.DOC_MASK, REPORT, indirect_visibility=True)
    secret = replace(DOCTOR, secret=True)
    assert decided(secret, Action.DOC_LIST)
    assert not decided(secret, Action.DOC_LIST, minors=False)


@pytest.mark.parametrize(
    ("category", "reason"),
    [("AYANT_DROIT", "HORS_LIGNE"), ("AM_AGENT", "ACTEUR_NON_HABILITE"), ("SOMETHING_ELSE", "FINALITE")],
)
def test_who_has_no_access_at_all(category: str, reason: str) -> None:
    context = AccessContext(category, MATRICULE, "X", "PORTAIL", purpose="patient")
    for action in Action:
        assert decide(context, action, OPEN, REPORT, NOW).reason == reason


def test_what_awaits_an_announcement_is_not_told() -> None:
    hidden = replace(REPORT, labels=frozenset({"INVISIBLE_PATIENT"}))
    assert "NOTIFY_PATIENT" in decide(DOCTOR, Action.DOC_CREATE, OPEN, REPORT, NOW).obligations
    found = decide(DOCTOR, Action.DOC_CREATE, OPEN, hidden, NOW).obligations
    assert found == {"AUDIT", "NOTIFY_14D", "AUTO_LIFT_1M"}


def test_what_the_representatives_must_not_hear_of() -> None:
    kept = replace(REPORT, labels=frozenset({"INVISIBLE_REPRESENTANTS_LEGAUX"}), author_persons=frozenset({ME}))
    assert decide(DOCTOR, Action.DOC_DELETE, MINOR, kept, NOW).discreet
    assert decide(replace(DOCTOR, secret=True), Action.DOC_CREATE, MINOR, REPORT, NOW).discreet
    assert not decide(DOCTOR, Action.DOC_CREATE, MINOR, REPORT, NOW).discreet


@pytest.mark.parametrize("context", ["MEDECINE_TRAVAIL", "EHPAD_COORDONNATEUR", "SAPEUR_POMPIER", "PMI", None])
def test_every_rule_of_a_decision_has_its_sentence(context: str | None) -> None:
    standing = replace(OPEN, permits=(Permit("Practitioner", ME),), grants=(grant(expires_ms=NOW),))
    for caller in (DOCTOR, BREAKS, replace(DOCTOR, actor_category="PS_ROLE", profession="41")):
        for action in Action:
            for world in (standing, replace(standing, permits=())):
                decision = decide(replace(caller, practice_context=context), action, world, REPORT, NOW)
                for rule in decision.rules:
                    french, english = sentences(rule, decision.permit)
                    assert french != english
