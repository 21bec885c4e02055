"""Walks a finite domain and checks statements that do not come from the rules' own code (tests/policy/invariants.py).

The domain is the product of callers, standings, documents and acts of tests/policy/worlds.py. `make campaign` walks
every caller, standing and document for reading, and a stated part of the domain for every other act.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dmp_fhir.policy.actions import ABOUT_DOCUMENT, Action
from dmp_fhir.policy.engine import Decision, decide
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.standing import Standing
from tests.policy.invariants import MORE_RIGHTS, NOT_MONOTONE, SAME_RIGHTS, STATEMENTS, Permitted
from tests.policy.worlds import NOW, ROLES, documents, standings

STANDINGS, DOCUMENTS = tuple(standings()), tuple(documents())
WITH_DOCUMENT = ABOUT_DOCUMENT | {Action.DOC_CREATE}


def papers(action: Action, some: Iterable[DocumentFacts]) -> list[DocumentFacts | None]:
    return [None, *some] if action in WITH_DOCUMENT else [None]


def well_formed(decision: Decision) -> bool:
    """A decision says why, which trace it leaves, and how a refusal is answered."""
    if not decision.rules or decision.permit != (decision.reason is None):
        return False
    if decision.permit:
        return bool(decision.obligations & {"AUDIT", "AUDIT_SECRET"}) and "AUDIT_DENIED" not in decision.obligations
    told = decision.level != "action" or decision.public is not None
    return decision.obligations == {"AUDIT_DENIED"} and decision.level in ("record", "document", "action") and told


def walk(
    actions: Iterable[Action], worlds: Iterable[Standing], some_documents: Iterable[DocumentFacts]
) -> tuple[int, int, set[str]]:
    """Decisions taken, permits among them, and the statements of which some permit made use (each broken one fails)."""
    worlds, some_documents = tuple(worlds), tuple(some_documents)
    walked = permitted = 0
    for action in actions:
        for document in papers(action, some_documents):
            for context in ROLES:
                for standing in worlds:
                    decision = decide(context, action, standing, document, NOW)
                    walked += 1
                    assert well_formed(decision), (decision, context, action, standing, document)
                    if not decision.permit:
                        continue
                    permitted += 1
                    permit = Permitted(context, action, standing, document)
                    for name, holds in STATEMENTS.items():
                        assert holds(permit), (name, context, action, standing, document)
    return walked, permitted, set(STATEMENTS)


def compare(actions: Iterable[Action], worlds: Iterable[Standing], some_documents: Iterable[DocumentFacts]) -> int:
    """Pairs of worlds that differ in one thing, compared for every caller and act."""
    worlds, some_documents = tuple(worlds), tuple(some_documents)
    compared = 0
    for action in actions:
        for document in papers(action, some_documents):
            for standing in worlds:
                for name, change in MORE_RIGHTS.items():
                    if action in NOT_MONOTONE.get(name, ()):
                        continue
                    for there, paper in change(standing, document):
                        for context in ROLES:
                            before = decide(context, action, standing, document, NOW).permit
                            after = decide(context, action, there, paper, NOW).permit
                            compared += 1
                            assert after or not before, (name, context, action, standing, document)
                            assert name not in SAME_RIGHTS or after == before, (name, context, action, standing)
    return compared


def test_there_are_enough_statements() -> None:
    assert len(STATEMENTS) + len(MORE_RIGHTS) >= 25


def test_no_permit_breaks_a_statement(capsys: pytest.CaptureFixture[str]) -> None:
    """Every caller and act, over a regular sample of the standings and documents."""
    walked, permitted, checked = walk(Action, STANDINGS[::19], DOCUMENTS[::23])
    with capsys.disabled():
        print(f"\npolicy: {walked} decisions walked, {permitted} permits, {len(checked)} statements, 0 broken")
    assert walked > 100_000
    assert permitted > 3_000


def test_no_comparison_breaks_a_statement(capsys: pytest.CaptureFixture[str]) -> None:
    compared = compare(Action, STANDINGS[3::61], DOCUMENTS[5::53])
    with capsys.disabled():
        print(f"\npolicy: {compared} pairs of worlds compared, {len(MORE_RIGHTS)} statements, 0 broken")
    assert compared > 50_000


@pytest.mark.campaign
def test_no_permit_breaks_a_statement_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """All of the domain for reading; for every other act all callers, every third standing, every twelfth document."""
    everything = walk([Action.DOC_READ], STANDINGS, DOCUMENTS)
    others = walk([action for action in Action if action is not Action.DOC_READ], STANDINGS[::3], DOCUMENTS[::12])
    compared = compare(Action, STANDINGS[::17], DOCUMENTS[::31])
    with capsys.disabled():
        print(
            f"\npolicy campaign: {everything[0]} decisions to read (all of {len(ROLES)} callers x {len(STANDINGS)}"
            f" standings x {len(DOCUMENTS) + 1} documents), {others[0]} of the other acts,"
            f" {everything[1] + others[1]} permits, {compared} pairs of worlds,"
            f" {len(STATEMENTS) + len(MORE_RIGHTS)} statements, 0 broken"
        )
    assert everything[0] == len(ROLES) * len(STANDINGS) * (len(DOCUMENTS) + 1)
