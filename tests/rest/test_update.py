"""update and delete. https://hl7.org/fhir/R4/http.html#update, #delete, #concurrency"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rest.bodies import CLAIRE, JULIEN, folder, simple
from tests.rest.caller import JSON_PATCH, Caller, Tree
from tests.rest.test_create import BODIES, IDNPS, body_of
from tests.rest.test_refusals import refused

FIXTURES = Path(__file__).parents[2] / "fixtures"
UPDATABLE = tuple(kind for kind in BODIES if kind != "DocumentReference")


def created(caller: Caller, kind: str) -> tuple[Tree, str]:
    tree, by = body_of(caller, kind)
    answer = caller.create(tree, by=by)
    assert answer.status == 201, answer.content
    return answer.tree, by


@pytest.mark.parametrize("kind", UPDATABLE)
def test_each_type_is_updated_to_a_new_version(talk: Caller, kind: str) -> None:
    tree, by = created(talk, kind)
    address = f"{kind}/{tree['id']}"
    answer = talk.ask("PUT", address, tree | {"language": "fr"}, by=by, If_Match='W/"1"')
    assert answer.status == 200, answer.content
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.headers["Location"].endswith(f"{address}/_history/2")
    stored = answer.tree
    assert (stored["language"], stored["meta"]["versionId"]) == ("fr", "2")
    assert {**stored, "meta": 0, "language": 0} == {**tree, "meta": 0, "language": 0}
    assert talk.get(address, by=by).tree == stored
    assert talk.get(f"{address}/_history/1", by=by).tree == tree


@pytest.mark.parametrize("kind", UPDATABLE)
def test_an_update_of_another_version_is_412_and_changes_nothing(talk: Caller, kind: str) -> None:
    tree, by = created(talk, kind)
    address = f"{kind}/{tree['id']}"
    refused(talk.ask("PUT", address, tree | {"language": "fr"}, by=by, If_Match='W/"2"'), 412)
    for malformed in ("1", "*", 'W/"1", W/"2"', '"x"', ""):
        refused(talk.ask("PUT", address, tree, by=by, If_Match=malformed), 400)
    assert talk.get(address, by=by).tree == tree


def test_an_update_never_creates(talk: Caller) -> None:
    tree, by = BODIES["Organization"]
    refused(talk.ask("PUT", "Organization/none", tree | {"id": "none"}, by=by), 404)
    refused(talk.ask("PUT", "Patient/none", BODIES["Patient"][0] | {"id": "none"}, by=by), 404)
    assert talk.get("Organization/none", by=by).status == 404


def test_the_body_carries_the_id_of_the_address(talk: Caller) -> None:
    tree, by = created(talk, "Organization")
    for body in (tree | {"id": "another"}, {name: value for name, value in tree.items() if name != "id"}):
        answer = refused(talk.ask("PUT", f"Organization/{tree['id']}", body, by=by), 400)
        assert answer.tree["issue"][0]["expression"] == ["Organization.id"]


def test_prefer_minimal_of_an_update(talk: Caller) -> None:
    tree, by = created(talk, "Device")
    answer = talk.ask("PUT", f"Device/{tree['id']}", tree, by=by, Prefer="return=minimal")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.headers["ETag"] == 'W/"2"'


def test_a_resource_does_not_move_to_another_record(talk: Caller) -> None:
    for kind, element in (("RelatedPerson", "patient"), ("CareTeam", "subject")):
        tree, _ = created(talk, kind)
        moved = tree | {element: {"reference": f"Patient?identifier={JULIEN}"}}
        refused(talk.ask("PUT", f"{kind}/{tree['id']}", moved, by="exploitant"), 422)


def test_a_taken_national_identifier_is_409_and_a_given_up_one_is_free(talk: Caller) -> None:
    first, by = created(talk, "Practitioner")
    other = {"resourceType": "Practitioner", "name": [{"family": "Autre"}]}
    second = talk.create(other, by=by).tree
    refused(talk.ask("PUT", f"Practitioner/{second['id']}", second | {"identifier": [IDNPS]}, by=by), 409)
    without = {name: value for name, value in first.items() if name != "identifier"}
    assert talk.ask("PUT", f"Practitioner/{first['id']}", without, by=by).status == 200
    taken = talk.ask("PUT", f"Practitioner/{second['id']}", second | {"identifier": [IDNPS]}, by=by)
    assert taken.status == 200, taken.content


def test_without_the_right_an_update_is_refused(talk: Caller) -> None:
    tree, _ = created(talk, "Organization")
    refused(talk.ask("PUT", f"Organization/{tree['id']}", tree), 403)
    patient = talk.search("Patient", identifier=CLAIRE).matches[0]
    refused(talk.ask("PUT", f"Patient/{patient['id']}", patient, by="dr-roux"), 404)
    consent, _ = created(talk, "Consent")
    refused(talk.ask("PUT", f"Consent/{consent['id']}", consent, by="patient-claire-martin"), 404)


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_gets_other_members(talk: Caller) -> None:
    first, second = (talk.create(simple(name)).address for name in ("un", "deux"))
    tree = talk.create(folder("thyroïde", first)).tree
    changed = tree | {"entry": [{"item": {"reference": each}} for each in (first, second)], "title": "Thyroïde, suite"}
    assert talk.ask("PUT", f"List/{tree['id']}", changed).status == 200
    shown = talk.get(f"List/{tree['id']}").tree
    assert [each["item"]["reference"] for each in shown["entry"]] == [first, second]
    found = talk.search("List", patient__identifier=CLAIRE, title="thyroide, suite").matches
    assert [each["id"] for each in found] == [tree["id"]]
    held = talk.search("DocumentReference", patient__identifier=CLAIRE, _id=second.partition("/")[2]).matches
    assert len(held) == 1


def test_an_update_keeps_the_members_that_its_author_does_not_see(talk: Caller) -> None:
    """TF-009: what is hidden can't be sent again, and must not get lost for that."""
    first, second, third = (talk.create(simple(name)).address for name in ("un", "deux", "trois"))
    tree = talk.create(folder("thyroïde", first, second)).tree
    mask = (FIXTURES / "tour" / "mask.json").read_bytes()
    masked = talk.ask("PATCH", second, mask, by="patient-claire-martin", Content_Type=JSON_PATCH)
    assert masked.status == 200, masked.content
    seen = talk.get(f"List/{tree['id']}", by="dr-petit").tree
    assert [each["item"]["reference"] for each in seen["entry"]] == [first]
    changed = seen | {"entry": [{"item": {"reference": each}} for each in (third, first)]}
    answer = talk.ask("PUT", f"List/{tree['id']}", changed, by="dr-petit")
    assert answer.status == 200, answer.content
    assert [each["item"]["reference"] for each in answer.tree["entry"]] == [third, first]
    assert second.partition("/")[2].encode() not in answer.content
    shown = talk.get(f"List/{tree['id']}").tree
    assert [each["item"]["reference"] for each in shown["entry"]] == [third, first, second]


def test_a_submission_set_does_not_change(talk: Caller) -> None:
    talk.create(simple("un"))
    (tree,) = talk.search(
        "List", patient__identifier=CLAIRE, code="submissionset", _sort="-_lastUpdated", _count="1"
    ).matches
    refused(talk.ask("PUT", f"List/{tree['id']}", tree), 405)


# --- delete ---------------------------------------------------------------------------------------


def test_delete_is_idempotent_and_keeps_the_history(talk: Caller) -> None:
    tree, by = created(talk, "Organization")
    address = f"Organization/{tree['id']}"
    refused(talk.ask("DELETE", address), 403)
    refused(talk.ask("DELETE", address, by=by, If_Match='W/"7"'), 412)
    for _ in range(2):
        answer = talk.ask("DELETE", address, by=by)
        assert (answer.status, answer.content) == (204, b"")
    refused(talk.get(address, by=by), 410)
    assert len(talk.get(f"{address}/_history", by=by).entries) == 2
    assert tree["id"] not in {each["id"] for each in talk.get("Organization", by=by).matches}
    refused(talk.ask("PUT", address, tree, by=by), 404)


def test_the_national_identifier_of_somebody_deleted_is_free_again(talk: Caller) -> None:
    tree, by = created(talk, "Practitioner")
    assert talk.ask("DELETE", f"Practitioner/{tree['id']}", by=by).status == 204
    body, _ = BODIES["Practitioner"]
    assert talk.create(body, by=by).status == 201


def test_a_document_is_deleted_by_its_author_and_gone_for_everybody(talk: Caller) -> None:
    """D3: logical deletion."""
    answer = talk.create(simple("effacé"))
    payload = answer.tree["content"][0]["attachment"]["url"].partition("/fhir/")[2]
    refused(talk.ask("DELETE", answer.address, by="infirmiere-robert"), 403)
    refused(talk.ask("DELETE", answer.address, by="dr-roux"), 404)
    refused(talk.ask("DELETE", answer.address, If_Match='W/"2"'), 412)
    assert talk.ask("DELETE", answer.address).status == 204
    for by in ("dr-moreau", "patient-claire-martin"):
        refused(talk.get(answer.address, by=by), 404)
        refused(talk.get(f"{answer.address}/_history", by=by), 404)
        refused(talk.get(f"{answer.address}/_history/1", by=by), 404)
        refused(talk.get(payload, by=by), 404)
    refused(talk.ask("DELETE", answer.address), 404)
    with talk.database.snapshot() as reader:
        rows = reader.rows(
            "SELECT version FROM resource_version WHERE resource_id = :id", {"id": answer.address.partition("/")[2]}
        )
    assert len(list(rows)) == 2
