"""Explanations: every rule that decides can be told, and a situation is what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.explain import (
    ON_DOCUMENT,
    ON_RECORD,
    SITUATIONS,
    SOMEBODY,
    Situation,
    actor,
    answers,
    audience,
    sentences,
    situations_of,
)
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.standing import Standing
from tests.policy.worlds import DAY, DOCTOR, ME, MINOR, NOW, OPEN, OTHER, PARENT, PATIENT, ROLES, documents, standings

REPORT = DocumentFacts("http://loinc.org", "11488-4", author_persons=frozenset({OTHER}), deposited_ms=NOW - DAY)
MASKED = replace(REPORT, labels=frozenset({"MASQUE_PS"}))


def seen(standing: Standing, document: DocumentFacts) -> dict[tuple[str, str | None, Situation], bool]:
    return {
        (each.context.actor_category, each.context.profession, each.situation): each.decision.permit
        for each in audience(standing, document, NOW)
    }


def test_every_rule_that_decides_has_its_sentences() -> None:
    told = set()
    for context in ROLES:
        for standing in list(standings())[::31]:
            for action in Action:
                for document in (None, *list(documents())[::41]):
                    decision = decide(context, action, standing, document, NOW)
                    told |= {(rule, decision.permit) for rule in decision.rules}
    for rule, permit in told:
        fr, en = sentences(rule, permit)
        assert fr.endswith((".", ")."))
        assert en.endswith((".", ")."))
        assert fr != en
    assert len({rule for rule, _ in told}) > 40


def test_an_unknown_rule_has_no_sentence() -> None:
    with pytest.raises(LookupError):
        sentences("AR-00", True)


def test_a_caller_learns_about_each_act() -> None:
    lines = answers(PATIENT, OPEN, None, NOW)
    assert [each.action for each in lines] == list(ON_RECORD)
    assert {each.action: each.decision.permit for each in lines}[Action.AUTH_BLOCK]
    with_document = answers(DOCTOR, OPEN, REPORT, NOW, situation=Situation.TREATING_PHYSICIAN)
    assert [each.action for each in with_document] == list(ON_DOCUMENT)
    assert {each.action: each.decision.permit for each in with_document}[Action.DOC_READ]


def test_who_sees_an_open_document() -> None:
    table = seen(OPEN, REPORT)
    assert table["PATIENT", None, Situation.AS_IS]
    assert table["PS", "10", Situation.AUTHORISED]
    assert table["PS", "10", Situation.TREATING_PHYSICIAN]
    assert table["PS", "10", Situation.CENTRE_15]
    assert table["PS", "10", Situation.BREAK_GLASS]
    for category in ("REPRESENTANT", "AIDANT", "STRUCTURE", "CPE", "SUPPORT", "AM_SYSTEM", "SERVICE", "TIERS_EXCLU"):
        assert not table[category, None, Situation.AS_IS]
    for (category, _, situation), permit in table.items():
        if category in ("PS", "PS_ROLE") and situation in (Situation.NONE, Situation.BLOCKED):
            assert not permit
    assert ("PS", "60", Situation.CENTRE_15) not in table
    assert ("PS", "60", Situation.TREATING_PHYSICIAN) not in table


def test_who_sees_a_masked_document() -> None:
    table = seen(OPEN, MASKED)
    professionals = {key for key, permit in table.items() if permit and key[0] in ("PS", "PS_ROLE")}
    assert {situation for _, _, situation in professionals} == {Situation.TREATING_PHYSICIAN, Situation.AUTHOR}
    assert table["PATIENT", None, Situation.AS_IS]


def test_who_sees_what_a_minor_hides() -> None:
    hidden = replace(REPORT, labels=frozenset({"INVISIBLE_REPRESENTANTS_LEGAUX"}))
    assert seen(MINOR, REPORT)["REPRESENTANT", None, Situation.AS_IS]
    assert not seen(MINOR, hidden)["REPRESENTANT", None, Situation.AS_IS]


def test_a_named_actor_is_the_one_of_the_record() -> None:
    assert actor("REPRESENTANT", MINOR, now_ms=NOW).actor_id == PARENT
    assert actor("REPRESENTANT", OPEN, now_ms=NOW).actor_id == SOMEBODY
    assert actor("PS", OPEN, now_ms=NOW, identifier=ME, profession="10").actor_id == ME
    assert situations_of(actor("PATIENT", OPEN, now_ms=NOW)) == (Situation.AS_IS,)


def test_opposition_to_emergencies_shows() -> None:
    opposed = replace(OPEN, break_glass=False, centre_15=False)
    table = seen(opposed, REPORT)
    assert not table["PS", "10", Situation.BREAK_GLASS]
    assert not table["PS", "10", Situation.CENTRE_15]


def test_every_situation_is_described() -> None:
    assert set(SITUATIONS) == set(Situation)
