"""All pairs of changes of one document at the same moment (TF-193): what comes out is what some order of the two would
have given, in the answers and in the state, by the reference model."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import pytest

from dmp_fhir.store.check import check
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore
from tests.support.keys import reopened
from tests.support.server import LiveServer
from tests.writing.api import Answer, OverHttp, at_once
from tests.writing.campaigns import Figures, seed_of
from tests.writing.conftest import Place
from tests.writing.lots import CLAIRE_INS, Tree, archived, body, masked, oid, simple, token_of
from tests.writing.model import MASKED, PATIENT, TREATING, Document, Model

CLAIRE = "patient-claire-martin"
ACTS = ("delete", "replace", "mask", "archive", "folder")
PAIRS = list(itertools.combinations_with_replacement(ACTS, 2))
_numbers = itertools.count(1)
Outcome = tuple[tuple[int, ...], str, bool, bool, int, tuple[bool, ...]]


@dataclass
class Subject:
    """A document, the folder that holds it, and the names of what may replace it."""

    name: str
    id: str
    folder: str

    def successor(self, which: int) -> str:
        return f"{self.name} replaced by {which}"


def prepared(api: OverHttp, folder: Tree) -> Subject:
    name = f"pair {next(_numbers)}"
    answer = api.publish(simple(name))
    assert answer.status == 201, answer.content
    return Subject(name, answer.tree["id"], folder["id"])


def done(api: OverHttp, act: str, which: int, subject: Subject) -> Answer:
    match act:
        case "delete":
            return api.send("DELETE", f"/DocumentReference/{subject.id}")
        case "replace":
            return api.publish(simple(subject.successor(which), replaces=oid(subject.name)))
        case "mask":
            return api.patch(subject.id, masked(), persona=CLAIRE)
        case "archive":
            return api.patch(subject.id, archived(True))
        case _:
            folder = api.get(f"/List/{subject.folder}").tree
            entries = [*folder["entry"], {"item": {"reference": f"DocumentReference/{subject.id}"}}]
            content = body(folder | {"entry": entries, "title": f"{subject.name} {which}"})
            return api.send("PUT", f"/List/{subject.folder}", content, content_type="application/fhir+json")


# --- what the model says ----------------------------------------------------------------------------


def modelled(order: tuple[int, int], acts: tuple[str, str], subject: Subject) -> list[Outcome]:
    """The outcomes of the two acts one after the other. A document that is gone can't be put into a folder, but one
    that is in it stays where it is: the folder's own answer is 200, or a refusal once the document is deleted."""
    model = Model()
    model.publish(Document(subject.name, TREATING, b"", set(), None))
    statuses = [0, 0]
    for n in order:
        statuses[n] = _modelled(model, acts[n], n, subject)
    document = model.documents[subject.name]
    successors = tuple(subject.successor(n) in model.documents for n in range(2))
    masks = MASKED in document.labels
    return [(tuple(statuses), document.status, document.archived, masks, document.version, successors)]


def _modelled(model: Model, act: str, which: int, subject: Subject) -> int:
    match act:
        case "delete":
            (status,) = model.delete(TREATING, subject.name)
            return 204 if status == 200 else status
        case "replace":
            (status,) = model.publish(Document(subject.successor(which), TREATING, b"", set(), subject.name))
            return status
        case "mask":
            # Nobody sees a deleted document: its author and the patient are answered alike.
            return min(model.mask(PATIENT, subject.name, True)) if model.sees(PATIENT, subject.name) else 404
        case "archive":
            (status,) = model.archive(TREATING, subject.name, True)
            return status
        case _:
            return 200 if model.documents[subject.name].status != "entered-in-error" else 422


# --- what the server says ---------------------------------------------------------------------------


def observed(api: OverHttp, database: Database, answers: list[Answer], subject: Subject) -> Outcome:
    with database.snapshot() as reader:
        row = reader.row(
            "SELECT status, archived, masked_professionals, version FROM document WHERE id = :id", {"id": subject.id}
        )
    assert row
    successors = tuple(bool(api.found(oid(subject.successor(n)), persona=CLAIRE)) for n in range(2))
    return tuple(each.status for each in answers), row[0], bool(row[1]), bool(row[2]), row[3], successors


def half_dead(api: OverHttp, subject: Subject, outcome: Outcome) -> list[str]:
    """What is shown of a document must be of one piece: found and read, or neither."""
    status = outcome[1]
    read = api.get(f"/DocumentReference/{subject.id}").status
    query = f"patient.identifier={CLAIRE_INS}&identifier={token_of(oid(subject.name)).replace('|', '%7C')}"
    found = api.get(f"/DocumentReference?{query}&isArchived=true,false").tree["total"]
    wanted = (404, 0) if status == "entered-in-error" else (200, 1)
    return [] if (read, found) == wanted else [f"{subject.name} is {status}, read {read}, found {found}"]


def one_round(api: OverHttp, database: Database, folder: Tree, acts: tuple[str, str]) -> list[str]:
    subject = prepared(api, folder)
    answers = at_once([lambda n=n: done(api, acts[n], n, subject) for n in range(2)])
    outcome = observed(api, database, answers, subject)
    reachable = [each for order in ((0, 1), (1, 0)) for each in modelled(order, acts, subject)]
    strange = [] if outcome in reachable else [f"{acts}: {outcome}, by the model {reachable}"]
    return strange + half_dead(api, subject, outcome)


@pytest.fixture(scope="module")
def database(place: Place) -> Database:
    return reopened(place.database_url, place.data_folder)


@pytest.fixture(scope="module")
def folder(two_workers: LiveServer) -> Tree:
    """A folder of Dr Moreau's."""
    api = OverHttp(two_workers)
    found = api.get(f"/List?patient.identifier={CLAIRE_INS}&code=folder").tree["entry"]
    return found[0]["resource"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("acts", PAIRS, ids="+".join)
def test_some_order_explains_a_pair(http: OverHttp, database: Database, folder: Tree, acts: tuple[str, str]) -> None:
    for _ in range(3):
        assert one_round(http, database, folder, acts) == []


@pytest.mark.campaign
def test_pairs_campaign(
    request: pytest.FixtureRequest, http: OverHttp, place: Place, database: Database, folder: Tree, figures: Figures
) -> None:
    number, strange, tally = seed_of(request), [], Counter[str]()
    for acts in PAIRS:
        for _ in range(134):
            strange += one_round(http, database, folder, acts)
            tally["rounds"] += 1
    findings = check(database, PayloadStore(place.data_folder / "documents"))
    counted = f"{tally['rounds']} rounds, {len(PAIRS)} pairs, {len(strange)} not explained by an order"
    figures.add(f"pairs of changes (TF-193), {database.dialect}", counted, half_written=len(findings), seed=number)
    assert (strange, findings) == ([], [])


def test_an_unexplained_outcome_is_noticed() -> None:
    """Masked and deleted at once: a deleted document that was masked afterwards is in no order's outcomes."""
    subject = Subject("x", "1", "2")
    acts = ("delete", "mask")
    reachable = [each for order in ((0, 1), (1, 0)) for each in modelled(order, acts, subject)]
    assert ((204, 200), "entered-in-error", False, True, 3, (False, False)) in reachable
    assert ((204, 200), "entered-in-error", False, False, 2, (False, False)) not in reachable
    assert ((204, 200), "current", False, True, 2, (False, False)) not in reachable
