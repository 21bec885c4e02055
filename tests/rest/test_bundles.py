"""batch and plain transaction. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import pytest

from tests.rest.bodies import CLAIRE, PS, STRUCTURE, URI, bundle, folder, oid, post, simple, urn
from tests.rest.caller import Caller, Tree, query
from tests.rest.test_patch import fhirpath_patch
from tests.rest.test_refusals import refused

ORGANIZATION: Tree = {
    "resourceType": "Organization",
    "identifier": [{"system": STRUCTURE, "value": "1990009995"}],
    "name": "Neuve",
}
PRACTITIONER: Tree = {
    "resourceType": "Practitioner",
    "identifier": [{"system": PS, "value": "899700009998"}],
    "name": [{"family": "Neuf"}],
}
ROLE: Tree = {
    "resourceType": "PractitionerRole",
    "practitioner": {"reference": urn("practitioner")},
    "organization": {"reference": urn("organization")},
}


def asked(method: str, url: str, resource: Tree | None = None, **conditions: str) -> Tree:
    entry: Tree = {"request": {"method": method, "url": url} | conditions}
    return entry | ({"resource": resource} if resource else {})


def directory(*more: Tree) -> Tree:
    """A role before what it refers to."""
    return bundle(
        post(ROLE, urn("role")),
        post(PRACTITIONER, urn("practitioner")),
        post(ORGANIZATION, urn("organization")),
        *more,
    )


def test_references_inside_a_transaction_become_addresses(talk: Caller) -> None:
    answer = talk.provide(directory(), by="exploitant")
    assert answer.status == 200, answer.content
    assert answer.tree["type"] == "transaction-response"
    assert answer.statuses == ["201"] * 3
    role, practitioner, organization = answer.addresses
    tree = talk.get(role).tree
    assert tree["practitioner"]["reference"] == practitioner
    assert tree["organization"]["reference"] == organization
    for entry, address in zip(answer.entries, answer.addresses, strict=True):
        assert entry["response"]["location"] == f"{address}/_history/1"
        assert entry["response"]["etag"] == 'W/"1"'
        assert entry["resource"] == talk.get(address).tree


def test_a_transaction_is_processed_in_the_order_of_r4(talk: Caller) -> None:
    """DELETE, POST, PUT and PATCH, GET; answered in the order of the request."""
    kept = talk.create(ORGANIZATION, by="exploitant")
    changed = kept.tree | {"name": "Changée"}
    answer = talk.provide(
        bundle(
            asked("GET", kept.address),
            asked("PUT", kept.address, changed, ifMatch='W/"1"'),
            asked("POST", "Practitioner", PRACTITIONER),
        ),
        by="exploitant",
    )
    assert answer.statuses == ["200", "200", "201"], answer.content
    assert answer.entries[0]["resource"]["name"] == "Changée"
    assert answer.entries[1]["response"]["etag"] == 'W/"2"'
    gone = talk.provide(
        bundle(
            asked("POST", "Organization", ORGANIZATION | {"name": "Reprise"}),
            asked("DELETE", kept.address),
        ),
        by="exploitant",
    )
    assert gone.statuses == ["201", "204"], gone.content
    assert talk.get(kept.address).status == 410


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (asked("PUT", "Organization/none", ORGANIZATION | {"id": "none"}), 404),
        (
            asked(
                "POST", "Organization", ORGANIZATION | {"identifier": [{"system": STRUCTURE, "value": "1990000010"}]}
            ),
            409,
        ),
        (asked("POST", "Organization", {"resourceType": "Organization", "active": "yes"}), 422),
        (asked("DELETE", "AuditEvent/1"), 405),
        (asked("GET", "Practitioner/none"), 404),
        (asked("GET", "Nothing/1"), 404),
        (asked("POST", "Organization", PRACTITIONER), 400),
        (asked("POST", "Observation", {"resourceType": "Observation"}), 422),
    ],
)
def test_one_entry_that_is_refused_refuses_the_transaction(registry: Caller, entry: Tree, status: int) -> None:
    rows = registry.count("resource_version")
    refused(registry.provide(directory(entry), by="exploitant"), status)
    assert registry.count("resource_version") == rows


def test_a_transaction_names_the_entry_that_is_malformed(talk: Caller) -> None:
    for entry in (
        {"resource": ORGANIZATION},
        asked("POST", "http://elsewhere.example/Organization", ORGANIZATION),
        asked("POST", "", ORGANIZATION),
        asked("HEAD", "Organization/1"),
    ):
        answer = talk.provide(directory(entry), by="exploitant")
        assert answer.status in (400, 422), answer.content
        assert "entry[3]" in answer.tree["issue"][0]["expression"][0], answer.content


def test_two_entries_with_one_address_are_refused(talk: Caller) -> None:
    tree = directory()
    tree["entry"][1]["fullUrl"] = tree["entry"][0]["fullUrl"]
    refused(talk.provide(tree, by="exploitant"), 422)


def test_conditional_creation_in_a_transaction(talk: Caller) -> None:
    """The reference of the role leads to the organisation that was there already."""
    there = talk.create(ORGANIZATION, by="exploitant").address
    tree = directory()
    tree["entry"][2]["request"]["ifNoneExist"] = f"identifier={STRUCTURE}|1990009995"
    answer = talk.provide(tree, by="exploitant")
    assert answer.statuses == ["201", "201", "200"], answer.content
    assert answer.addresses[2] == there
    assert talk.get(answer.addresses[0]).tree["organization"]["reference"] == there


def test_a_batch_answers_each_entry_on_its_own(talk: Caller) -> None:
    there = talk.create(simple("lot"))
    answer = talk.provide(
        bundle(
            asked("GET", there.address),
            asked("GET", "DocumentReference/none"),
            asked("GET", f"DocumentReference?{query(patient__identifier=CLAIRE, _count='2')}"),
            asked("GET", f"{there.address}/_history"),
            asked("GET", f"{there.address}/_history/1"),
            asked("GET", there.address, ifNoneMatch='W/"1"'),
            asked("POST", "DocumentReference", simple("du batch")),
            asked("POST", "List", folder("du batch", there.address)),
            asked("POST", "Organization", ORGANIZATION),
            asked("PUT", "DocumentReference/1", simple("x") | {"id": "1"}),
            asked("DELETE", there.address, ifMatch='W/"1"'),
            asked("GET", there.address),
            kind="batch",
        )
    )
    assert answer.status == 200, answer.content
    assert answer.tree["type"] == "batch-response"
    expected = ["200", "404", "200", "200", "200", "304", "201", "201", "403", "405", "204", "404"]
    assert answer.statuses == expected
    entries = answer.entries
    assert entries[0]["resource"] == there.tree
    assert entries[0]["response"]["etag"] == 'W/"1"'
    assert len([each for each in entries[2]["resource"]["entry"] if each["search"]["mode"] == "match"]) == 2
    assert entries[3]["resource"]["type"] == "history"
    assert "resource" not in entries[5]
    for n in (1, 8, 9, 11):
        assert entries[n]["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_a_batch_says_what_was_refused_without_the_rest(registry: Caller) -> None:
    """A batch leaks nothing that a single request would not (TF-032)."""
    hidden = registry.create(simple("caché")).address
    entries = [asked("GET", each) for each in (hidden, "DocumentReference/none")]
    answer = registry.provide(bundle(*entries, kind="batch"), by="dr-roux")
    assert answer.entries[0] == answer.entries[1]
    assert answer.statuses == ["404", "404"]


def test_empty_bundles(talk: Caller) -> None:
    for kind in ("batch", "transaction"):
        answer = talk.provide({"resourceType": "Bundle", "type": kind})
        assert (answer.status, answer.tree["type"], answer.entries) == (200, f"{kind}-response", [])


def test_too_many_entries_are_413(registry: Caller) -> None:
    entries = [asked("GET", "Practitioner/none")] * 101
    refused(registry.provide(bundle(*entries, kind="batch")), 413)


def test_preferences_of_the_whole_are_those_of_each_entry(talk: Caller) -> None:
    answer = talk.provide(directory(), by="exploitant", Prefer="return=minimal")
    assert answer.statuses == ["201"] * 3
    assert all("resource" not in each for each in answer.entries)
    answer = talk.provide(
        bundle(asked("POST", "Device", {"resourceType": "Device"}), kind="batch"),
        by="exploitant",
        Prefer="return=OperationOutcome",
    )
    (entry,) = answer.entries
    assert "resource" not in entry
    assert entry["response"]["outcome"]["issue"][0]["severity"] == "information"
    unknown = asked("GET", f"DocumentReference?{query(patient__identifier=CLAIRE, colour='red')}")
    assert talk.provide(bundle(unknown, kind="batch")).statuses == ["400"]
    assert talk.provide(bundle(unknown, kind="batch"), Prefer="handling=lenient").statuses == ["200"]


def test_a_conditional_patch_in_a_batch(talk: Caller) -> None:
    """As the guide's transaction does: a FHIRPath Patch as Parameters."""
    there = talk.create(simple("à retirer")).address
    parameters = fhirpath_patch("replace", "DocumentReference.status", valueCode="superseded")
    address = f"DocumentReference?{query(identifier=f'{URI}|' + oid('à retirer'))}"
    for kind in ("batch", "transaction"):
        answer = talk.provide(bundle(asked("PATCH", address, parameters), kind=kind))
        assert answer.statuses == ["200"], answer.content
    assert talk.get(there).tree["status"] == "superseded"
