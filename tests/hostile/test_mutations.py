"""TF-128: damaged copies of every valid message we have. No 5xx, no hang, nothing stored unless the message is sound.

`make test` tries 600, `make campaign` 20 000; `SEED=` replays one.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from lxml import etree

from dmp_fhir.wire.xml import parse_xml
from tests.fixtures.world import bundles, tour
from tests.hostile.conftest import open_target
from tests.hostile.mutations import mutated
from tests.hostile.target import Target, outcome_problems
from tests.writing.campaigns import Figures

Tree = dict[str, Any]

SEED = int(os.environ.get("SEED", "20261122"))
QUICK, CAMPAIGN = 600, 20_000
# A new copy of the world after so many: what was rightly stored must not stand in the way of what follows.
PER_WORLD = 1_000
_UNIQUE = re.compile(r"urn:oid:2\.16\.840\.1\.113883\.19\.250\.([13])\.[0-9.]+")
_OWNED = "SELECT d.id FROM document d JOIN document_author a ON a.record_id = d.record_id AND a.document_id = d.id"


@pytest.fixture(params=["sqlite"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A maker of fresh targets, each closed by the next one."""
    opened: list[Iterator[Target]] = []

    def renew() -> Target:
        if opened:
            next(opened.pop(), None)
        opened.append(open_target(request, request.param, tmp_path_factory))
        return next(opened[0])

    yield renew
    if opened:
        next(opened.pop(), None)


def messages() -> list[tuple[str, str, str, Tree]]:
    """(persona, method, address, tree): the lots and acts of the world, the tour, and single resources."""
    found = []
    for bundle in (*bundles().values(), tour()["publish.json"], tour()["replace.json"]):
        found.append((bundle["meta"]["tag"][0]["code"], "POST", "", bundle))
    simple = tour()["publish-simple.json"]
    found += [("dr-moreau", "POST", "/DocumentReference", simple)] * 20
    for path, value in (
        ("DocumentReference.status", {"valueCode": "superseded"}),
        ("DocumentReference.securityLabel[0]", {"valueCodeableConcept": {"text": "a"}}),
    ):
        parts = [
            {"name": "type", "valueCode": "replace"},
            {"name": "path", "valueString": path},
            {"name": "value"} | value,
        ]
        patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
        found += [("dr-moreau", "PATCH", "/DocumentReference/{document}", patch)] * 10
    return found


def renewed(tree: Tree, number: int) -> Tree:
    """The same message with uniqueIds of its own, so that it is not refused as a duplicate."""
    text = _UNIQUE.sub(lambda match: f"{match[0]}.9.{number}", json.dumps(tree))
    return json.loads(text)


def unsound(body: bytes, kind: str) -> str | None:
    """What an independent reader finds wrong with a message that was accepted; None when nothing."""

    def once(pairs: list[tuple[str, Any]]) -> Tree:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    try:
        tree = json.loads(body.decode(), object_pairs_hook=once) if kind.endswith("json") else _from_xml(body)
        if tree["resourceType"] == "Parameters":
            return None
        get_fhir_model_class(tree["resourceType"]).model_validate(_settled(tree))
    except Exception as fault:
        return f"{type(fault).__name__}: {str(fault)[:500]}"
    return next(_false_contents(tree), None)


def _from_xml(body: bytes) -> Tree:
    etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    return parse_xml(body)


def _settled(tree: Tree) -> Tree:
    """Without the narrative, of which the other reader has its own idea."""
    tree = copy.deepcopy(tree)
    for each in (tree, *(entry.get("resource", {}) for entry in tree.get("entry", []))):
        each.pop("text", None)
    return tree


def _false_contents(tree: Tree) -> Iterator[str]:
    """Sizes and hashes that are not those of the document, counted here."""
    entries = tree.get("entry", []) if tree["resourceType"] == "Bundle" else [{"resource": tree}]
    data = {each.get("fullUrl"): each["resource"].get("data") for each in entries if each.get("resource")}
    for each in entries:
        if each.get("resource", {}).get("resourceType") != "DocumentReference":
            continue
        attachment = each["resource"]["content"][0]["attachment"]
        text = attachment.get("data") or data.get(attachment.get("url"))
        content = base64.b64decode(text) if text else None
        if content is None:
            continue
        digest = hashlib.sha1(content).digest()
        good = {base64.b64encode(digest).decode(), digest.hex(), base64.b64encode(digest.hex().encode()).decode()}
        if attachment.get("size", len(content)) != len(content) or attachment.get("hash", next(iter(good))) not in good:
            yield f"size or hash of {each.get('fullUrl')}"


def campaign(renew: Any, count: int) -> Counter[str]:
    """Send `count` damaged messages; how they were answered."""
    print(f"seed {SEED}, {count} mutations")
    chance = random.Random(SEED)
    answers: Counter[str] = Counter()
    sound = messages()
    target, document = None, ""
    for number in range(count):
        if number % PER_WORLD == 0:
            target = renew()
            document = target.rows(f"{_OWNED} WHERE a.identifier = '899700000112' AND d.status = 'current'")[0][0]
        persona, method, address, tree = chance.choice(sound)
        body, kind = mutated(renewed(tree, number), chance)
        response, problems = target.attempt(
            method, address.format(document=document), by=persona, body=body, kind=kind, may_store=True
        )
        answers[str(response.status_code)] += 1
        if response.status_code >= 400:
            problems += outcome_problems(response, method)
            if target.stored:
                problems.append("stored although refused")
        elif target.stored and (fault := unsound(body, kind)):
            problems.append(f"stored although unsound: {fault}")
        assert not problems, (SEED, number, persona, method, address, kind, problems, body[:3000])
    return answers


def test_damaged_messages(world: Any) -> None:
    answers = campaign(world, QUICK)
    assert sum(answers.values()) == QUICK
    assert len(answers) >= 3, answers


@pytest.mark.campaign
def test_many_damaged_messages(world: Any) -> None:
    answers = campaign(world, CAMPAIGN)
    assert sum(answers.values()) == CAMPAIGN
    told = ", ".join(f"{count} answered {status}" for status, count in sorted(answers.items()))
    Figures().add("damaged copies of valid messages (TF-128), no 5xx", f"{CAMPAIGN} messages: {told}", seed=SEED)
