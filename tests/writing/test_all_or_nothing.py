"""A lot is stored whole or not at all, whatever its order and whatever is wrong in it (TF-181, TF-185, TF-195,
TF-199)."""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import MakeApp, MakeToken
from tests.writing.api import InProcess, count, files_in, stored_counts
from tests.writing.lots import (
    OTHER_INS,
    Tree,
    attachment_of,
    content_of,
    documents_in,
    lot,
    oid,
    simple,
    urn,
    with_patient,
)

Fault = Callable[[Tree, Tree], None]


# Each fault is done to a DocumentReference and its Binary; (status, name).
def _without_status(document: Tree, binary: Tree) -> None:
    del document["status"]


def _unknown_element(document: Tree, binary: Tree) -> None:
    document["colour"] = "blue"


def _without_type(document: Tree, binary: Tree) -> None:
    del document["type"]


def _unknown_type(document: Tree, binary: Tree) -> None:
    document["type"]["coding"][0]["code"] = "00000-0"


def _wrong_hash(document: Tree, binary: Tree) -> None:
    document["content"][0]["attachment"]["hash"] = base64.b64encode(bytes(20)).decode()


def _wrong_size(document: Tree, binary: Tree) -> None:
    document["content"][0]["attachment"]["size"] += 1


def _other_bytes(document: Tree, binary: Tree) -> None:
    binary["data"] = base64.b64encode(b"something else").decode()


def _empty(document: Tree, binary: Tree) -> None:
    del binary["data"]


def _other_patient(document: Tree, binary: Tree) -> None:
    document |= with_patient(document, OTHER_INS)


def _unknown_patient(document: Tree, binary: Tree) -> None:
    document |= with_patient(document, "299999999999999")


def _reserved_type(document: Tree, binary: Tree) -> None:
    """Refused by an access rule: a type that only the patient deposits (AR-73)."""
    document["type"]["coding"][0] = {
        "system": "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire",
        "code": "DOCPAT03",
    }


def _replaces_nothing(document: Tree, binary: Tree) -> None:
    target = {"identifier": {"system": "urn:ietf:rfc:3986", "value": oid("never deposited")}}
    document["relatesTo"] = [{"code": "replaces", "target": target}]


def _taken_unique_id(document: Tree, binary: Tree) -> None:
    document["masterIdentifier"]["value"] = oid("taken")


FAULTS: dict[str, tuple[int, Fault]] = {
    "structure: status missing": (422, _without_status),
    "structure: unknown element": (422, _unknown_element),
    "profile: type missing": (422, _without_type),
    "profile: unknown type": (422, _unknown_type),
    "content: wrong hash": (422, _wrong_hash),
    "content: wrong size": (422, _wrong_size),
    "content: other bytes": (422, _other_bytes),
    "content: none": (422, _empty),
    "lot: another patient": (422, _other_patient),
    "lot: unknown patient": (422, _unknown_patient),
    "rights: reserved type": (403, _reserved_type),
    "state: replaces what is not there": (422, _replaces_nothing),
    "state: uniqueId of other content": (409, _taken_unique_id),
}


def _spoilt(name: str, size: int, place: int, fault: Fault) -> Tree:
    """A lot of `size` documents in which the one at `place` has a fault."""
    bundle = lot(name, *(content_of(f"{name}/{n}") for n in range(size)))
    fault(bundle["entry"][1 + 2 * place]["resource"], bundle["entry"][2 + 2 * place]["resource"])
    return bundle


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_document_stops_the_lot(
    api: InProcess, seeded_url: str, data_folder: Path, fault: str, record_property: Callable[[str, object], None]
) -> None:
    """TF-181: for every place of the bad document in lots of 1 to 6; without the fault the lot goes through."""
    status, spoil = FAULTS[fault]
    assert api.publish(simple("taken")).status == 201
    before, files = stored_counts(seeded_url), files_in(data_folder)
    refusals = "SELECT COUNT(*) FROM audit_event WHERE outcome = '4' AND subtype = 'transaction'"
    traced = count(seeded_url, refusals)
    tried = 0
    for size in (1, 2, 6):
        for place in range(size):
            answer = api.provide(_spoilt(f"{fault}/{size}/{place}", size, place, spoil))
            assert answer.status == status, answer.content
            assert answer.issue["severity"] == "error"
            tried += 1
    assert stored_counts(seeded_url) == before
    assert count(seeded_url, refusals) == traced + tried
    # Bytes put before the refusal are orphans, named by no row; none is half-written.
    left = files_in(data_folder) - files
    assert not any("tmp" in each for each in left)
    if status == 422 and not fault.startswith("state"):
        assert left == set()
    good = f"{fault}/6/0"
    assert api.provide(lot(good, *(content_of(f"{good}/{n}") for n in range(6)))).statuses == ["201"] * 13
    record_property("bad lots refused", tried)


# --- doubles inside one lot (TF-185) ----------------------------------------------------------------------------------


def _two(name: str) -> Tree:
    return lot(name, b"first", b"second")


def _same_unique_id(bundle: Tree) -> None:
    first, second = documents_in(bundle)
    second["masterIdentifier"] = dict(first["masterIdentifier"])


def _same_unique_id_and_content(bundle: Tree) -> None:
    _same_unique_id(bundle)
    _, second = documents_in(bundle)
    second["content"][0]["attachment"] |= attachment_of(b"first")
    bundle["entry"][4]["resource"]["data"] = bundle["entry"][2]["resource"]["data"]


def _same_unique_id_said_otherwise(bundle: Tree) -> None:
    _same_unique_id(bundle)
    del documents_in(bundle)[1]["masterIdentifier"]["system"]


def _same_entry_uuid(bundle: Tree) -> None:
    for document in documents_in(bundle):
        document["identifier"] = [{"use": "official", "system": "urn:ietf:rfc:3986", "value": urn("entry")}]


def _same_binary(bundle: Tree) -> None:
    first, second = documents_in(bundle)
    second["content"] = copy.deepcopy(first["content"])
    del bundle["entry"][4]


def _unique_id_of_the_set(bundle: Tree) -> None:
    documents_in(bundle)[0]["masterIdentifier"]["value"] = bundle["entry"][0]["resource"]["identifier"][0]["value"]


def _same_full_url(bundle: Tree) -> None:
    bundle["entry"][3]["fullUrl"] = bundle["entry"][1]["fullUrl"]


def _listed_twice(bundle: Tree) -> None:
    entries = bundle["entry"][0]["resource"]["entry"]
    entries.append(copy.deepcopy(entries[0]))


@pytest.mark.parametrize(
    ("double", "codes"),
    [
        (_same_unique_id, {"duplicate"}),
        (_same_unique_id_and_content, {"duplicate"}),
        (_same_unique_id_said_otherwise, {"duplicate"}),
        (_same_entry_uuid, {"duplicate"}),
        (_unique_id_of_the_set, {"duplicate"}),
        (_same_full_url, {"invariant"}),
        (_same_binary, {"business-rule"}),
        (_listed_twice, {"business-rule"}),
    ],
)
def test_doubles_inside_one_lot(
    api: InProcess, seeded_url: str, double: Callable[[Tree], None], codes: set[str]
) -> None:
    before = stored_counts(seeded_url)
    bundle = _two(double.__name__)
    double(bundle)
    answer = api.provide(bundle)
    assert answer.status == 422, answer.content
    assert codes <= {each["code"] for each in answer.tree["issue"]}
    assert stored_counts(seeded_url) == before


def test_one_document_replaces_another_once(api: InProcess) -> None:
    """The same target named twice in relatesTo is one fault of the lot, not a clash in the database."""
    api.provide(lot("target"))
    bundle = lot("twice", replaces=oid("target/0"))
    (document,) = documents_in(bundle)
    document["relatesTo"] *= 2
    answer = api.provide(bundle)
    assert (answer.status, answer.issue["code"]) == (422, "duplicate")
    assert answer.issue["expression"] == ["Bundle.entry[1].resource.relatesTo[1].target"]


def test_two_documents_of_a_lot_do_not_replace_the_same_one(api: InProcess) -> None:
    api.provide(lot("prey"))
    bundle = lot("hunters", b"one", b"two", replaces=oid("prey/0"))
    first, second = documents_in(bundle)
    second["relatesTo"] = first["relatesTo"]
    answer = api.provide(bundle)
    assert (answer.status, answer.issue["code"]) == (409, "conflict")
    assert [each["status"] for each in api.found(oid("prey/0"))] == ["current"]


# --- order and number of entries --------------------------------------------------------------------------------------


def _stored(api: InProcess, name: str) -> list[Tree]:
    """The two documents and the set of a lot, ids and instants apart."""
    kept = []
    for n in range(2):
        (document,) = api.found(oid(f"{name}/{n}"))
        kept.append(
            {
                "relation": [each["code"] for each in document.get("relatesTo", [])],
                "bytes": api.bytes_of(document),
                "title": document["content"][0]["attachment"]["title"],
            }
        )
    return kept


def test_the_order_of_entries_changes_nothing(make_app: MakeApp, seeded_url: str, token: MakeToken) -> None:
    """TF-195: the 120 orders of a lot of five entries, the second document naming the first."""
    api = InProcess(make_app(seeded_url).test_client(), token)
    for number, order in enumerate(itertools.permutations(range(5))):
        name = f"order-{number}"
        bundle = lot(name, b"first " + name.encode(), b"second " + name.encode())
        _, second = documents_in(bundle)
        second["relatesTo"] = [{"code": "appends", "target": {"reference": bundle["entry"][1]["fullUrl"]}}]
        kinds = ("List", "DocumentReference", "Binary", "DocumentReference", "Binary")
        bundle["entry"] = [bundle["entry"][place] for place in order]
        answer = api.provide(bundle)
        assert answer.status == 200, answer.content
        assert [each.partition("/")[0] for each in answer.locations] == [kinds[place] for place in order]
        if number % 12 == 0:
            one, two = _stored(api, name)
            assert (one["bytes"], two["bytes"]) == (b"first " + name.encode(), b"second " + name.encode())
            assert (one["relation"], two["relation"]) == ([], ["appends"])
        by_place = dict(zip(order, answer.locations, strict=True))
        second = api.get(f"/{by_place[3]}").tree
        assert second["relatesTo"][0]["target"]["reference"] == by_place[1]
        assert second["content"][0]["attachment"]["url"].endswith(by_place[4])
        members = api.get(f"/{by_place[0]}").tree["entry"]
        assert [each["item"]["reference"] for each in members] == [by_place[1], by_place[3]]


@pytest.mark.parametrize(("entries", "status"), [(99, 200), (101, 413)])
def test_entries_at_the_limit(api: InProcess, seeded_url: str, entries: int, status: int) -> None:
    """TF-199, with the default limit of 100 entries; a lot has an odd number of them."""
    before = stored_counts(seeded_url)
    contents = [content_of(f"many-{n}") for n in range((entries - 1) // 2)]
    answer = api.provide(lot("many", *contents))
    assert answer.status == status
    if status == 413:
        assert answer.issue["code"] == "too-costly"
        assert stored_counts(seeded_url) == before


def test_exactly_the_limit_of_entries(api: InProcess) -> None:
    """TF-199: 100 entries, the last one a Patient that is only referred to."""
    bundle = lot("hundred", *(content_of(f"hundred-{n}") for n in range(49)))
    bundle["entry"].append(
        {
            "fullUrl": urn("claire"),
            "resource": {
                "resourceType": "Patient",
                "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "274036912390153"}],
            },
            "request": {"method": "GET", "url": "Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|274036912390153"},
        }
    )
    answer = api.provide(bundle)
    assert len(bundle["entry"]) == 100
    assert answer.status == 200, answer.content
    assert len(answer.tree["entry"]) == 100
