"""The two faces of the rules on random worlds: for every document, SQL finds it exactly when `decide` shows it.

`make campaign` compares over a million pairs of a caller and a document on each database; SEED repeats a run.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from random import Random, SystemRandom

import pytest

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.predicate import Predicate, document_predicate
from dmp_fhir.policy.relation import PATIENT_SIDE, PROFESSIONALS
from dmp_fhir.policy.second_look import columns
from dmp_fhir.policy.standing import Standing, load_standing
from dmp_fhir.store.database import Database, Reader
from tests.policy.random_worlds import NOW, callers, put_world

DOCUMENTS, CALLERS = 60, 40


@dataclass
class Tally:
    """What was compared; `differences` must stay empty."""

    seed: int
    worlds: int = 0
    pairs: int = 0
    asked: int = 0
    left_out: int = 0
    shown: int = 0
    looked_again: int = 0
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.worlds} worlds, {self.pairs} pairs, {self.shown} shown,"
            f" authorship left out for {self.left_out} of {self.asked} callers,"
            f" {self.looked_again} looked at again, {len(self.differences)} differences"
        )


def shown_by_decision(
    context: AccessContext, standing: Standing, facts: dict[str, DocumentFacts], action: Action
) -> set[str]:
    """The documents shown, from decisions alone: those that may be read and, when looking for an identifier, those
    that their author may archive (AR-93, TD3.1b)."""
    readable = {
        name for name, document in facts.items() if decide(context, Action.DOC_READ, standing, document, NOW).permit
    }
    if action is Action.DOC_LIST or context.actor_category in PATIENT_SIDE:
        return readable
    return readable | {name for name, document in facts.items() if _own(context, standing, document)}


def _own(context: AccessContext, standing: Standing, document: DocumentFacts) -> bool:
    if document.status == "entered-in-error" or not decide(context, Action.DOC_FINDID, standing, None, NOW).permit:
        return False
    if context.actor_category in PROFESSIONALS:
        named = document.author_persons
        return context.actor_id in named or (not named and context.structure in document.author_structures)
    if context.actor_category in ("STRUCTURE", "CPE"):
        return context.structure in document.author_structures
    return context.actor_id in document.author_systems


def compare(reader: Reader, record: str, context: AccessContext, facts: dict[str, DocumentFacts], tally: Tally) -> None:
    # As in a snapshot, where authorship is left out for whoever is author of nothing here; every third as in a write.
    author = (
        (context.actor_id, context.structure) if context.actor_category in PROFESSIONALS and tally.asked % 3 else None
    )
    standing = load_standing(reader, record, NOW, author=author)
    tally.asked += 1
    tally.left_out += not standing.may_be_author
    for action in (Action.DOC_LIST, Action.DOC_FINDID):
        predicate = document_predicate(context, standing, NOW, action=action)
        rows = reader.rows(
            f"SELECT d.id, {columns('d')} FROM document d WHERE d.record_id = :record AND ({predicate.sql})",
            {**predicate.params, "record": record},
        )
        found = {row[0] for row in rows}
        expected = shown_by_decision(context, standing, facts, action)
        tally.pairs += len(facts)
        tally.shown += len(found)
        if found != expected:
            tally.differences.append(f"{action} {context} {standing} {sorted(found ^ expected)}")
        tally.looked_again += look_again(reader, record, predicate, rows)


def look_again(reader: Reader, record: str, predicate: Predicate, rows: list[tuple]) -> int:
    """Raises FacesDisagree if the second look refused what SQL found."""
    assert predicate.again is not None
    for row in rows:
        predicate.again.check(reader, record, row[0], row[1:])
    return len(rows)


def run(database: Database, seed: int, pairs: int) -> Tally:
    tally, random = Tally(seed), Random(seed)
    while tally.pairs < pairs and len(tally.differences) < 3:
        record = f"r{tally.worlds}"
        with database.transaction() as tx:
            facts = put_world(tx, random, record, DOCUMENTS)
        with database.snapshot() as reader:
            for context in callers(random, record, CALLERS):
                compare(reader, record, context, facts, tally)
        tally.worlds += 1
    return tally


def test_both_faces_agree_on_random_worlds(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    tally = run(database, 20261122, 70_000)
    with capsys.disabled():
        print(f"\npolicy equivalence, {tally}")
    assert not tally.differences
    assert tally.shown > tally.pairs // 50
    assert tally.left_out > 20


@pytest.mark.campaign
def test_both_faces_agree_on_a_million_pairs(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("SEED", SystemRandom().randrange(2**32)))
    started = time.monotonic()
    tally = run(database, seed, 1_000_000)
    with capsys.disabled():
        print(f"\npolicy equivalence campaign, {tally}, {time.monotonic() - started:.0f} s")
    assert not tally.differences
    assert tally.pairs >= 1_000_000
