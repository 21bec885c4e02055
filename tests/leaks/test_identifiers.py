"""Ids that nobody guesses (TF-154), versions that nobody needs (TF-155), a description of what is public (TF-160)."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from dmp_fhir import __version__
from dmp_fhir.ids import new_id
from tests.rest.bodies import CLAIRE, lot
from tests.rest.caller import Caller
from tests.support import tally
from tests.support.server import BASE_URL, MakeApp, MakeToken, copy_of_world

COUNT = 10_000
# Of the 74 that a UUIDv7 leaves (RFC 9562, section 5.7), those that are drawn anew for ids of one millisecond, which
# keep their order (ids.py).
RANDOM_BITS = 60


def test_tf_154_ids_are_random_but_for_their_time() -> None:
    """No two alike, in the order in which they were made, and each bit that is drawn is as often 0 as 1 and independent
    of the one before."""
    ids = [UUID(new_id()) for _ in range(COUNT)]
    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}
    randoms = [(each.int >> 64 & 0xFFF) << 62 | each.int & (1 << 62) - 1 for each in ids]
    assert len(set(randoms)) == COUNT
    for bit in range(RANDOM_BITS):
        ones = sum(each >> bit & 1 for each in randoms)
        changes = sum((one ^ other) >> bit & 1 for one, other in pairwise(randoms))
        assert abs(ones - COUNT / 2) < 5 * (COUNT**0.5) / 2 + 50, bit
        assert abs(changes - COUNT / 2) < 5 * (COUNT**0.5) / 2 + 50, bit
    tally.count("F", "ids looked at", COUNT)


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
