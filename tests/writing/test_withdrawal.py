"""A right that was taken away is gone as soon as that is acknowledged, on every path and in every process (TF-192)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.access.consents import consent, professional
from tests.rest.bodies import CLAIRE
from tests.support.server import LiveServer, start_server, stop_server
from tests.writing.api import Answer, OverHttp
from tests.writing.campaigns import Figures, seed_of
from tests.writing.conftest import Place
from tests.writing.lots import CLAIRE_INS, PATIENT, Tree, body, masked, oid, simple, token_of

READER, READER_ID = "dr-petit", "899700000146"
# The servers run by the real clock: an authorisation that starts later today would not be one yet.
YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
_numbers = itertools.count(1)
PAGE = f"patient.identifier={CLAIRE_INS}&_count=20&_sort=-_lastUpdated"


@pytest.fixture(scope="module")
def two_servers(place: Place) -> Iterator[tuple[OverHttp, OverHttp]]:
    """The patient talks to one process, the professional to the other."""
    servers: list[LiveServer] = [start_server(place.data_folder, place.database_url) for _ in range(2)]
    yield OverHttp(servers[0]), OverHttp(servers[1])
    for each in servers:
        stop_server(each)


def paths(document: Tree) -> list[str]:
    """Every way to a document: read, version, history, the document itself, search by its id, searches that hold it."""
    address = document["content"][0]["attachment"]["url"]
    number, identifier = document["id"], document["masterIdentifier"]["value"]
    return [
        f"/DocumentReference/{number}",
        f"/DocumentReference/{number}/_history/1",
        f"/DocumentReference/{number}/_history",
        address[address.index("/fhir/") + 5 :],
        f"/DocumentReference?patient.identifier={CLAIRE_INS}&identifier={token_of(identifier).replace('|', '%7C')}",
        f"/DocumentReference?{PAGE}",
        f"/List?{PAGE}&code=submissionset&_include=List:item",
    ]


def shows(answer: Answer, document: Tree) -> bool:
    """Whether an answer has anything of the document: the resource, or its bytes."""
    number, text = document["id"].encode(), document["content"][0]["attachment"]["title"].encode()
    if answer.status not in (200, 304):
        return False
    return number in answer.content or text in answer.content or b"Compte rendu" in answer.content[:20]


def published(api: OverHttp) -> Tree:
    name = f"withdrawn {next(_numbers)}"
    answer = api.publish(simple(name))
    assert answer.status == 201, answer.content
    (tree,) = api.found(oid(name))
    return tree


def mask_round(patient: OverHttp, reader: OverHttp, tally: Counter[str]) -> None:
    document = published(patient)
    ways = paths(document)
    tally["shown before"] += sum(shows(reader.get(each, persona=READER), document) for each in ways)
    assert patient.patch(document["id"], masked(), persona=PATIENT).status == 200
    tally["shown after"] += sum(shows(reader.get(each, persona=READER), document) for each in ways)
    tally["asked"] += len(ways)


def block_round(patient: OverHttp, reader: OverHttp, tally: Counter[str]) -> None:
    document = published(patient)
    ways = paths(document)
    tally["shown before"] += sum(shows(reader.get(each, persona=READER), document) for each in ways)
    blocked = patient.publish(consent("BLOCAGE", "deny", CLAIRE, professional(READER_ID)), persona=PATIENT)
    assert blocked.status == 201, blocked.content
    tally["shown after"] += sum(shows(reader.get(each, persona=READER), document) for each in ways)
    tally["asked"] += len(ways)
    # For the next round.
    tree = blocked.tree | {"status": "inactive"}
    path = f"/Consent/{tree['id']}"
    lifted = patient.send("PUT", path, body(tree), persona=PATIENT, content_type="application/fhir+json")
    assert lifted.status == 200, lifted.content
    again = patient.publish(
        consent("AUTORISATION", "permit", CLAIRE, professional(READER_ID), dateTime=YESTERDAY), persona=PATIENT
    )
    assert again.status in (200, 201), again.content


ROUNDS = {"mask": mask_round, "block": block_round}


@pytest.mark.parametrize("act", ROUNDS)
def test_nothing_is_shown_once_the_withdrawal_is_acknowledged(two_servers: tuple[OverHttp, OverHttp], act: str) -> None:
    tally = Counter[str]()
    for _ in range(4):
        ROUNDS[act](*two_servers, tally)
    assert tally == {"asked": 28, "shown before": 28, "shown after": 0}


@pytest.mark.campaign
@pytest.mark.parametrize("act", ROUNDS)
def test_withdrawal_campaign(
    request: pytest.FixtureRequest, two_servers: tuple[OverHttp, OverHttp], place: Place, figures: Figures, act: str
) -> None:
    number, tally, rounds = seed_of(request), Counter[str](), 1_000
    for _ in range(rounds):
        ROUNDS[act](*two_servers, tally)
    dialect = place.database_url.partition(":")[0]
    counted = (
        f"{rounds} rounds × 7 paths on another process: {tally['shown before']} of {tally['asked']} shown before the"
        f" withdrawal, {tally['shown after']} after"
    )
    figures.add(f"right withdrawn by {act} (TF-192), {dialect}", counted, seed=number)
    assert tally["shown before"] == tally["asked"]
    assert tally["shown after"] == 0
