"""What a refusal tells, byte by byte."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmp_fhir.outcome import Refusal, Refused
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.refusals import refuse_record
from dmp_fhir.policy.standing import NO_RECORD, Permit, Standing
from tests.policy.worlds import DOCTOR, FEEDER, ME, NOW, OPEN, OTHER, PATIENT


def answer(context, standing: Standing, action: Action = Action.DOC_LIST, document=None) -> Refusal:
    with pytest.raises(Refused) as caught:
        refuse_record(decide(context, action, standing, document, NOW))
    return caught.value.refusal


def test_absent_opposed_blocked_expired_and_unknown_are_the_same_bytes() -> None:
    answers = [
        answer(DOCTOR, standing)
        for standing in (
            NO_RECORD,
            OPEN,
            replace(OPEN, status="suspended"),
            replace(OPEN, blocked=frozenset({ME})),
            replace(OPEN, permits=(Permit("Practitioner", ME, 0, NOW),)),
            replace(OPEN, ins=frozenset({"other|1"})),
        )
    ]
    assert {refusal.status for refusal in answers} == {403}
    assert len({str(refusal.tree) for refusal in answers}) == 1
    assert len({refusal.reason for refusal in answers}) == 5


def test_a_closed_record_says_so() -> None:
    refusal = answer(DOCTOR, replace(OPEN, status="closed"))
    assert refusal.status == 403
    assert refusal.reason == "DMP_FERME"


def test_what_the_caller_lacks_is_told_whatever_the_record() -> None:
    short = replace(DOCTOR, purpose="bris_de_glace", reason="vite")
    unqualified = replace(FEEDER, ins_status="VALIDEE")
    for context, action, status in (
        (FEEDER, Action.DOC_LIST, 403),
        (short, Action.DOC_LIST, 400),
        (unqualified, Action.DOC_CREATE, 422),
    ):
        there, absent = answer(context, OPEN, action), answer(context, NO_RECORD, action)
        assert there.status == absent.status == status
        assert there.tree == absent.tree


def test_a_hidden_document_is_the_uniform_404() -> None:
    masked = DocumentFacts(labels=frozenset({"MASQUE_PS"}), author_persons=frozenset({OTHER}))
    standing = replace(OPEN, permits=(Permit("Practitioner", ME),))
    hidden = answer(DOCTOR, standing, Action.DOC_READ, masked)
    deleted = answer(PATIENT, OPEN, Action.DOC_READ, replace(masked, status="entered-in-error"))
    assert hidden.status == deleted.status == 404
    assert hidden.tree == deleted.tree


def test_a_visible_document_of_another_author_is_a_plain_403() -> None:
    theirs = DocumentFacts(author_persons=frozenset({OTHER}))
    refusal = answer(PATIENT, OPEN, Action.DOC_DELETE, theirs)
    assert refusal.status == 403
    assert refusal.reason == "PAS_AUTEUR"
    assert "auteur" in refusal.issues[0].fr
