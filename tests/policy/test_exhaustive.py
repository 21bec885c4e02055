"""Walks a finite domain completely and checks statements that do not come from the rules' own code."""

from __future__ import annotations

import pytest

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import CONSULTATION, OWN_DOCUMENT, Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.standing import Standing
from tests.policy.worlds import HERE, ME, NOW, ROLES, documents, standings

WALKED = (Action.DOC_READ, Action.DOC_DELETE)
ANYBODY_LOOKS = Action.DMP_EXISTS


def mine(context: AccessContext, document: DocumentFacts) -> bool:
    return context.actor_id in document.author_persons or (
        not document.author_persons and context.structure in document.author_structures
    )


def wrong(context: AccessContext, action: Action, standing: Standing, document: DocumentFacts) -> str | None:
    """The first statement that a permit breaks."""
    professional = context.actor_category in ("PS", "PS_ROLE")
    if standing.status != "open":
        return "only an open record is read or changed"
    if context.actor_category in ("TIERS_EXCLU", "SERVICE", "SUPPORT", "AM_SYSTEM"):
        return "excluded parties, services and systems see no document"
    if context.practice_context == "EXPERTISE":
        return "experts are excluded"
    if context.person_id and context.person_id not in standing.ins:
        return "a token of another patient opens nothing"
    if document.status == "entered-in-error":
        return "deleted is deleted for all"
    if action in CONSULTATION:
        if context.actor_category in ("STRUCTURE", "CPE") or context.auth_mode in ("INDIRECTE", "CPE"):
            return "feeders never read"
        if professional and (ME in standing.blocked or HERE in standing.blocked):
            return "blocked never reads"
        treating = ME in standing.treating_physicians and context.practice_context is None
        if professional and "MASQUE_PS" in document.labels:
            emergency = context.purpose != "normal" and standing.masked_in_emergency
            if not (treating and context.actor_category == "PS") and not mine(context, document) and not emergency:
                return "masked is for the author and the treating physician"
        related = treating or any(permit.end_ms > NOW and permit.actor != "899700000120" for permit in standing.permits)
        if professional and context.purpose == "normal" and not related:
            return "no reading without a relation"
        if (
            not professional
            and "INVISIBLE_PATIENT" in document.labels
            and NOW - document.deposited_ms < 28 * 86_400_000
        ):
            return "what awaits an announcement is not for the side of the patient"
        minor = standing.majority_ms > NOW
        if context.actor_category == "REPRESENTANT" and not minor:
            return "parents do not represent adults"
        if (
            context.actor_category in ("REPRESENTANT", "AIDANT")
            and minor
            and "INVISIBLE_REPRESENTANTS_LEGAUX" in document.labels
        ):
            return "what a minor hides is hidden from representatives"
    if action in OWN_DOCUMENT:
        if context.actor_category in ("STRUCTURE", "CPE"):
            return None if context.structure in document.author_structures else "only the same structure deletes"
        if professional and not mine(context, document):
            return "only the author deletes"
        if not professional and (document.author_persons or not document.author_patients):
            return "the side of the patient deletes only what came from it"
    return None


def walk(worlds: list[Standing], papers: list[DocumentFacts]) -> tuple[int, int]:
    """Decisions taken and permits among them."""
    walked = permitted = 0
    for context in ROLES:
        for standing in worlds:
            for action in WALKED:
                for document in papers:
                    decision = decide(context, action, standing, document, NOW)
                    walked += 1
                    if decision.permit:
                        permitted += 1
                        broken = wrong(context, action, standing, document)
                        assert broken is None, (broken, context, action, standing, document)
    return walked, permitted


def test_no_permit_breaks_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    """Every caller and every document, over a regular sample of the standings (all of them in the campaign)."""
    walked, permitted = walk(list(standings())[::17], list(documents()))
    with capsys.disabled():
        print(f"\npolicy: {walked} decisions walked, {permitted} permits, 0 broken invariants")
    assert permitted > 1000


@pytest.mark.campaign
def test_no_permit_breaks_an_invariant_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    walked, permitted = walk(list(standings()), list(documents()))
    with capsys.disabled():
        print(f"\npolicy campaign: {walked} decisions walked, {permitted} permits, 0 broken invariants")
    assert permitted > 100_000


def test_the_decision_is_total_and_says_why() -> None:
    some_documents = [None, *list(documents())[::37]]
    walked = 0
    for context in ROLES:
        for standing in list(standings())[::13]:
            for action in Action:
                for document in some_documents:
                    decision = decide(context, action, standing, document, NOW)
                    walked += 1
                    assert decision.rules
                    assert decision.permit == (decision.reason is None)
                    assert ("AUDIT_DENIED" in decision.obligations) != decision.permit
                    if not decision.permit and action is not ANYBODY_LOOKS:
                        assert decision.level in ("record", "document", "action")
                    if decision.level == "action":
                        assert decision.public is not None
    assert walked > 10_000
