"""Ids that nobody guesses (TF-154), versions that nobody needs (TF-155), a description of what is public (TF-160)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from operator import xor
from pathlib import Path
from uuid import UUID

import pytest

from dmp_fhir import __version__
from dmp_fhir.identity.sandbox import claims_of, personas
from dmp_fhir.ids import new_id
from dmp_fhir.registry.documents import with_new_entry_uuid
from dmp_fhir.registry.search.links import PageLinks
from dmp_fhir.store.sealing import SealingKey
from tests.rest.bodies import CLAIRE, lot
from tests.rest.caller import Caller
from tests.support import tally
from tests.support.server import BASE_URL, MakeApp, MakeToken, copy_of_world

COUNT = 10_000
MATRICULE = CLAIRE.rpartition("|")[2]
# Between how often something comes and the half that chance gives: more than that comes once in 10^9 looks.
FAR = 6.1


def _ids() -> list[bytes]:
    return [UUID(new_id()).bytes for _ in range(COUNT)]


def _entry_uuids() -> list[bytes]:
    values = (with_new_entry_uuid({})["identifier"][0]["value"] for _ in range(COUNT))
    return [UUID(value.removeprefix("urn:uuid:")).bytes for value in values]


def _page_links() -> list[bytes]:
    """Of one search by one caller at one moment, again and again."""
    links, state = PageLinks(bytes(range(32))), {"type": "DocumentReference", "used": [["patient.identifier", CLAIRE]]}
    return [urlsafe_b64decode(links.seal(state, caller="x", now_ms=0) + "==")[1:] for _ in range(COUNT)]


def _token_ids() -> list[bytes]:
    return [urlsafe_b64decode(claims_of(PERSONA, now_ms=0)["jti"] + "==") for _ in range(COUNT)]


def _file_names() -> list[bytes]:
    """Of one document at one place, again and again."""
    key = SealingKey(bytes(range(32)))
    return [sha256(b"".join(key.seal_document("here", b"the same"))).digest() for _ in range(COUNT)]


PERSONA = personas()["dr-moreau"]
# Version and variant of a UUID are always the same six bits (RFC 9562, section 5.4).
KINDS = {_ids: 122, _entry_uuids: 122, _page_links: 128, _token_ids: 128, _file_names: 128}


@pytest.mark.parametrize("drawn", KINDS, ids=lambda each: each.__name__.strip("_"))
def test_tf_154_no_order_no_time_nothing_of_what_is_named(drawn: Callable[[], list[bytes]]) -> None:
    """In 10,000 of a kind no two are alike; of 122 bits at least each is as often 0 as 1, whatever the one before and
    however early it was drawn; later ones are as often less than more."""
    values = drawn()
    assert len(set(values)) == COUNT
    assert len({len(each) for each in values}) == 1
    changes = [bytes(map(xor, one, other)) for one, other in pairwise(values)]
    halves = [values[: COUNT // 2], values[COUNT // 2 :]]
    random = 0
    for place in range(len(values[0])):
        looks = [_ones(each, place) for each in (values, changes, *halves)]
        random += sum(all(not _far(ones[bit], of) for ones, of in looks) for bit in range(8))
    assert random >= KINDS[drawn]
    assert not _far(sum(one < other for one, other in pairwise(values)), COUNT - 1)
    assert not any(MATRICULE.encode() in each for each in values)
    tally.count("F", "ids, links and names looked at", COUNT)


def _ones(values: list[bytes], place: int) -> tuple[list[int], int]:
    """How often each bit of a byte is 1, and of how many."""
    counts = Counter(each[place] for each in values)
    return [sum(many for byte, many in counts.items() if byte >> bit & 1) for bit in range(8)], len(values)


def _far(count: int, of: int) -> bool:
    return abs(count - of / 2) > FAR * of**0.5 / 2


@pytest.fixture
def registry(request: pytest.FixtureRequest, make_app: MakeApp, token: MakeToken, data_folder: Path) -> Caller:
    (url,) = copy_of_world(request, "sqlite", data_folder)
    return Caller(make_app(url).test_client(), token)


def test_tf_154_nothing_is_derived_from_content_or_ins(registry: Caller) -> None:
    """The same content for the same person twice: other ids; an ETag is the number of the version."""
    addresses = []
    for name in ("one", "two"):
        answer = registry.provide(lot(name))
        assert answer.status == 200
        addresses += answer.addresses
    assert len(set(addresses)) == len(addresses)
    assert not any(CLAIRE.rpartition("|")[2] in each for each in addresses)
    for address in addresses:
        if address.startswith("DocumentReference"):
            assert registry.get(address).headers["ETag"] == 'W/"1"'


def test_tf_155_versions_are_those_of_the_product_alone(registry: Caller) -> None:
    answers = [
        registry.get("metadata"),
        registry.get("DocumentReference/x"),
        registry.get("Nothing"),
        registry.get("Patient"),
    ]
    for answer in answers:
        assert {"Server", "X-Powered-By", "Via"} & set(answer.headers.keys()) == set()
        for name, value in answer.headers.items():
            assert not re.search(r"(?i)python|werkzeug|flask|granian|sqlite|postgres|/\d+\.\d+", value), (name, value)
    text = answers[0].content.decode()
    assert re.findall(r"(?i)python|werkzeug|flask|granian|sqlite|postgres|apsw|psycopg", text) == []
    assert answers[0].tree["software"] == {"name": "dmp-fhir", "version": __version__}
    assert answers[0].tree["fhirVersion"] == "4.0.1"


def test_tf_160_the_capability_statement_names_public_addresses_only(registry: Caller) -> None:
    tree = registry.get("metadata").tree
    text = registry.get("metadata").content.decode()
    assert tree["implementation"]["url"] == BASE_URL
    hosts = {host for host in re.findall(r'"(?:https?)://([^/"]+)', text) if f"//{host}/" not in BASE_URL + "/"}
    assert not any(re.fullmatch(r"[\d.:]+|localhost.*|.*\.(local|internal|lan)", host) for host in hosts), hosts
    (service,) = tree["rest"][0]["security"]["service"]
    assert service["coding"][0]["code"] == "OAuth"
    offered = {each["type"] for each in tree["rest"][0]["resource"]}
    for kind in ("Observation", "Subscription", "Metadata"):
        assert kind not in offered
        assert registry.get(f"{kind}/x").status == 404
    tally.count("F", "capability statements compared", 1)
