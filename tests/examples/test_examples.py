"""The published examples that are meant to be stored are stored, found again by each search parameter that applies, and
come back byte for byte; the same with bodies of our own, for whoever has only this project."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import fhir.resources.R4B as r4b
import pybase64
import pytest

from tests.examples.examples import (
    Example,
    Tree,
    for_claire,
    guide,
    guides_are_there,
    mhd,
    own_mhd,
    stored_examples,
    wrong_sizes,
)
from tests.rest.bodies import CLAIRE, oid, relation, supersede
from tests.rest.caller import Answer, Caller, path_of
from tests.rest.test_refusals import refused
from tests.support.server import MakeApp, MakeToken

STORED = list(stored_examples())
# Set or changed by the registry: everything else comes back as it was sent.
SERVER_SET = ("id", "identifier", "securityLabel", "subject")


def caller(make_app: MakeApp, token: MakeToken, url: str, example: Example) -> Caller:
    return Caller(make_app(url, profile_level=example.level).test_client(), token)


def published(asking: Caller, example: Example) -> str:
    """DocumentReference/id of the example, published as the treating physician of the record."""
    if example.body["resourceType"] == "DocumentReference":
        answer = asking.create(example.body)
        assert answer.status == 201, answer.content
        return answer.address
    answer = asking.provide(example.body)
    assert answer.status == 200, answer.content
    assert set(answer.statuses) == {"201"}
    return next(each for each in answer.addresses if each.startswith("DocumentReference/"))


@pytest.mark.parametrize("example", STORED, ids=str)
def test_an_example_comes_back_as_it_was_sent(
    make_app: MakeApp, token: MakeToken, seeded_url: str, example: Example
) -> None:
    asking = caller(make_app, token, seeded_url, example)
    address = published(asking, example)
    stored = asking.get(address).tree
    r4b.get_fhir_model_class("DocumentReference").model_validate(stored)
    assert plain(stored) == plain(example.document)
    kept = [each["coding"][0]["code"] for each in example.document.get("securityLabel", [])]
    assert [each["coding"][0]["code"] for each in stored["securityLabel"]] == (kept or ["N"])
    by_xml = asking.get(address, Accept="application/fhir+xml")
    assert by_xml.tree == stored


def plain(tree: Tree) -> Tree:
    """Without what the registry sets."""
    kept = {name: copy.deepcopy(value) for name, value in tree.items() if name not in SERVER_SET}
    kept["meta"] = {
        name: value for name, value in tree.get("meta", {}).items() if name not in ("versionId", "lastUpdated")
    }
    attachment = kept["content"][0]["attachment"]
    for name in ("url", "data", "size", "hash"):
        attachment.pop(name, None)
    return {name: value for name, value in kept.items() if value}


@pytest.mark.parametrize("example", STORED, ids=str)
def test_the_document_comes_back_byte_for_byte(
    make_app: MakeApp, token: MakeToken, seeded_url: str, example: Example
) -> None:
    asking = caller(make_app, token, seeded_url, example)
    attachment = asking.get(published(asking, example)).tree["content"][0]["attachment"]
    path = path_of(attachment["url"])
    answer = asking.get(path, Accept=attachment["contentType"])
    if example.content is not None:
        assert answer.content == example.content
        assert answer.headers["Content-Type"] == attachment["contentType"]
        as_fhir = asking.get(path)
        assert pybase64.b64decode(as_fhir.tree["data"]) == example.content
    else:
        sent = example.of_type("Bundle")
        assert {**answer.tree, "id": 0, "meta": 0} == {**sent, "id": 0, "meta": 0}
        assert asking.get(path).content == answer.content
    digest = hashlib.sha1(answer.content, usedforsecurity=False).digest()
    assert (attachment["size"], attachment["hash"]) == (len(answer.content), pybase64.b64encode_as_string(digest))


@pytest.mark.parametrize("example", STORED, ids=str)
def test_an_example_is_found_by_each_parameter_that_applies(
    make_app: MakeApp, token: MakeToken, seeded_url: str, example: Example
) -> None:
    asking = caller(make_app, token, seeded_url, example)
    stored = asking.get(published(asking, example)).tree

    def finds(name: str, value: str) -> bool:
        parameters = {name.replace(".", "__"): value} if name != "patient.identifier" else {}
        answer = asking.search("DocumentReference", patient__identifier=CLAIRE, _count="100", **parameters)
        assert answer.status == 200, (name, value, answer.content)
        assert answer.link("next") is None
        return stored["id"] in {each["id"] for each in answer.matches}

    wanted = searches(example.document, stored)
    names = {name for name, _, _ in wanted}
    assert {"identifier", "type", "status", "security-label"} <= names
    if example.level == "released" and example.body["resourceType"] == "Bundle":
        assert {"facility", "setting", "format", "category", "period-start", "creation", "date"} <= names
    for name, value, other in wanted:
        assert finds(name, value), (name, value)
        assert not finds(name, other), (name, other)


def searches(sent: Tree, stored: Tree) -> list[tuple[str, str, str]]:
    """(parameter, a value that finds it, one that does not) for every search parameter of ITI-67 that applies."""
    context, first = sent.get("context", {}), sent["content"][0]
    master = sent["masterIdentifier"]
    full = f"{master['system']}|{master['value']}"
    found = [
        ("_id", stored["id"], "none"),
        ("identifier", full, f"{full}0"),
        ("identifier", master["value"], "urn:oid:1.2.3"),
        ("identifier", stored["identifier"][0]["value"], "urn:uuid:00000000-0000-4000-8000-000000000000"),
        ("status", "current", "superseded"),
        ("isArchived", "false", "true"),
        ("_lastUpdated", f"ge{stored['meta']['lastUpdated']}", f"gt{stored['meta']['lastUpdated']}"),
    ]
    coded: dict[str, list[Tree]] = {
        "type": [sent["type"]],
        "category": sent.get("category", []),
        "security-label": stored["securityLabel"],
        "event": context.get("event", []),
        "facility": [context[name] for name in ("facilityType",) if name in context],
        "setting": [context[name] for name in ("practiceSetting",) if name in context],
        "format": [{"coding": [first["format"]]}] if "format" in first else [],
    }
    for name, concepts in coded.items():
        for coding in (each for concept in concepts for each in concept["coding"]):
            found.append((name, f"{coding['system']}|{coding['code']}", f"{coding['system']}|none"))
            found.append((name, coding["code"], f"{coding['system']}x|{coding['code']}"))
    dates: dict[str, str | None] = {
        "date": sent.get("date"),
        "creation": first["attachment"].get("creation"),
        "period-start": context.get("period", {}).get("start"),
        "period-end": context.get("period", {}).get("end"),
    }
    for name, value in dates.items():
        if value:
            found += [(name, value, "1999"), (name, f"ge{value}", f"gt{value}"), (name, f"le{value}", f"lt{value}")]
    if start := dates["period-start"]:
        found.append(("period", f"ge{start}", f"lt{start}"))
    for related in context.get("related", []):
        identifier = related["identifier"]
        found.append(("related:identifier", f"{identifier['system']}|{identifier['value']}", "urn:oid:1|2"))
    return found + authors(sent)


def authors(sent: Tree) -> list[tuple[str, str, str]]:
    contained = {f"#{each['id']}": each for each in sent.get("contained", [])}
    found = []
    for author in (contained[each["reference"]] for each in sent.get("author", [])):
        person = contained.get(author.get("practitioner", {}).get("reference", ""), author)
        for identifier in author.get("identifier", []):
            found.append(("author.identifier", f"{identifier['system']}|{identifier['value']}", "urn:oid:1|2"))
        for name in person.get("name", []):
            found += [("author.family", name["family"], "Personne"), ("author.given", name["given"][0], "Personne")]
    return found


# --- refused as published -------------------------------------------------------------------------


@pytest.mark.parametrize("example", list(wrong_sizes()), ids=str)
def test_a_wrong_size_is_refused(make_app: MakeApp, token: MakeToken, seeded_url: str, example: Example) -> None:
    """D8: the published CDA example says 128 bytes for 80."""
    asking = caller(make_app, token, seeded_url, example)
    answer = refused(asking.provide(example.body), 422)
    assert "XDSNonIdenticalSize" in answer.rules
    assert "XDSNonIdenticalHash" not in answer.rules


def test_the_lots_of_mhd_are_refused_at_the_french_level(make_app: MakeApp, token: MakeToken, seeded_url: str) -> None:
    """D1: what only France asks for is information at level mhd, an error at the default level."""
    bodies = [own_mhd("exemple mhd")] + ([for_claire(mhd("Simple"))] if guides_are_there() else [])
    for body in bodies:
        asking = Caller(make_app(seeded_url).test_client(), token)
        answer = refused(asking.provide(body), 422)
        named = {each["expression"][0].rpartition(".")[2] for each in answer.tree["issue"]}
        assert "author" in named


# --- replacement of MHD ---------------------------------------------------------------------------


def replaced(asking: Caller, old: str, answer: Answer) -> None:
    assert answer.status == 200, answer.content
    assert sorted(answer.statuses) == ["200", "201", "201", "201"]
    assert asking.get(old).tree["status"] == "superseded"
    new = next(each for each in answer.addresses if each.startswith("DocumentReference/") and each != old)
    (link,) = asking.get(new).tree["relatesTo"]
    assert (link["code"], link["target"]["reference"]) == ("replaces", old)


def test_a_replacement_in_the_wording_of_mhd(make_app: MakeApp, token: MakeToken, seeded_url: str) -> None:
    asking = Caller(make_app(seeded_url, profile_level="mhd").test_client(), token)
    old = published(asking, Example("own MHD", own_mhd("ancien"), "mhd"))
    body = own_mhd("nouveau", supersede(old.partition("/")[2]), relatesTo=[relation("replaces", "ancien")])
    replaced(asking, old, asking.provide(body))


def test_the_published_replacement_of_mhd(make_app: MakeApp, token: MakeToken, seeded_url: str) -> None:
    """As published it says one byte too many (D8) and has the uniqueId of the document it replaces (D17): both are
    refused in turn, then it is stored. Without the folder of examples, the same faults in a lot of our own."""
    asking = Caller(make_app(seeded_url, profile_level="mhd").test_client(), token)
    if guides_are_there():
        first, second = for_claire(mhd("Simple")), for_claire(mhd("Replace"))
    else:
        first = own_mhd("ancien")
        second = own_mhd("nouveau", supersede("ex-documentreference"), relatesTo=[relation("replaces", "ancien")])
        document_of(second)["masterIdentifier"]["value"] = oid("ancien")
        document_of(second)["content"][0]["attachment"]["size"] += 1
    old = published(asking, Example("first", first, "mhd"))
    text = json.dumps(second).replace("DocumentReference/ex-documentreference", old)
    body: Tree = json.loads(text)
    assert "XDSNonIdenticalSize" in refused(asking.provide(body), 422).rules
    document_of(body)["content"][0]["attachment"]["size"] -= 1
    refused(asking.provide(body), 409)
    assert asking.get(old).tree["status"] == "current"
    document_of(body)["masterIdentifier"]["value"] = oid("le sien")
    replaced(asking, old, asking.provide(body))


def document_of(body: Tree) -> dict[str, Any]:
    (found,) = [e["resource"] for e in body["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
    return found


# --- patches and folder of the guides -------------------------------------------------------------


def test_the_patches_of_the_guide(make_app: MakeApp, token: MakeToken, seeded_url: str) -> None:
    """TD3.3d as published changes a document; TD3.3b as published is understood, and refused by the rule AR-65 (a
    document is hidden from the patient at its deposit only). Bodies of our own say the same in tests/rest."""
    example = STORED[0]
    asking = caller(make_app, token, seeded_url, example)
    address = published(asking, example)
    url = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"
    unarchive: Any = [{"op": "replace", "path": f"/extension[url:'{url}']/valueBoolean", "value": False}]
    if guides_are_there():
        unarchive = guide("pdsm4dmp/JsonPatch-td3-3d-desarchiver.json")
        hide: Any = guide("pdsm4dmp/JsonPatch-td3-3b-rendre-invisible-patient.json")
        refused(asking.patch(address, *hide), 403)
    archive = [{**unarchive[0], "value": True}]
    assert asking.patch(address, *archive).tree["extension"][0]["valueBoolean"] is True
    assert asking.patch(address, *unarchive).tree["extension"][0]["valueBoolean"] is False
