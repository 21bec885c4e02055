"""Version conditions in every form: what can't be read or does not hold stops the request (TF-189)."""

from __future__ import annotations

import json

import pytest

from tests.writing.api import InProcess
from tests.writing.lots import Tree, archived, documents_in, lot, oid, simple, token_of, urn

# If-Match on a document at version 2.
FORMS = {
    'W/"2"': 200,
    '"2"': 200,
    ' W/"2" ': 200,
    "2": 400,
    "*": 400,
    "": 400,
    '""': 400,
    'W/""': 400,
    'W/"1"': 412,
    'W/"3"': 412,
    'W/"0"': 412,
    'W/"002"': 200,
    'W/"-2"': 400,
    'W/"2.0"': 400,
    'W/"99999999999999999999999999"': 400,
    'W/"2", W/"1"': 400,
    '"2" "2"': 400,
    'w/"2"': 400,
    "W/2": 400,
    'W/"two"': 400,
    'W/"٢"': 400,
    'W/"2": drop': 400,
}


@pytest.fixture
def document(api: InProcess) -> str:
    """The id of a document at version 2."""
    created = api.publish(simple("conditions")).tree["id"]
    assert api.patch(created, archived(True)).version == 2
    return created  # type: ignore[no-any-return]


def version(api: InProcess, document: str) -> int:
    return api.get(f"/DocumentReference/{document}").version


def test_forms_of_if_match(api: InProcess, document: str) -> None:
    for form, status in FORMS.items():
        sent = form.encode("utf-8").decode("latin-1")
        before = version(api, document)
        now = sent.replace("2", str(before)) if status == 200 else sent
        answer = api.patch(document, archived(before % 2 == 1), If_Match=now)
        assert answer.status == status, (form, answer.content)
        assert version(api, document) == before + (status == 200)
        if status != 200:
            assert answer.issue["code"] == ("conflict" if status == 412 else "value")
    assert version(api, document) == 2 + sum(status == 200 for status in FORMS.values())


def test_if_match_guards_every_kind_of_write(api: InProcess, document: str) -> None:
    stale = {"If_Match": 'W/"1"'}
    assert api.patch(document, archived(False), **stale).status == 412
    assert api.send("DELETE", f"/DocumentReference/{document}", **stale).status == 412
    device = {"resourceType": "Device", "deviceName": [{"name": "Essai", "type": "other"}]}
    created = api.publish(device, persona="exploitant").tree
    content = json.dumps(device | {"id": created["id"]}).encode()
    address, fhir = f"/Device/{created['id']}", "application/fhir+json"
    put = api.send("PUT", address, content, persona="exploitant", content_type=fhir, If_Match='W/"7"')
    assert put.status == 412
    assert api.send("DELETE", address, persona="exploitant", If_Match='W/"7"').status == 412
    assert api.get(address, persona="exploitant").version == 1
    assert version(api, document) == 2


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If_None_Match", "*", 412),
        ("If_None_Match", 'W/"2"', 412),
        ("If_None_Match", 'W/"1", W/"2"', 412),
        ("If_None_Match", 'W/"1"', 200),
        ("If_Unmodified_Since", "Sun, 22 Nov 2026 23:00:00 GMT", 400),
        ("If_Unmodified_Since", "yesterday", 400),
    ],
)
def test_other_conditions_of_a_write(api: InProcess, document: str, header: str, value: str, status: int) -> None:
    assert api.patch(document, archived(False), **{header: value}).status == status
    assert version(api, document) == (3 if status == 200 else 2)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If_Match", 'W/"2"', 200),
        ("If_Match", 'W/"1"', 412),
        ("If_Match", "two", 400),
        ("If_Unmodified_Since", "Sun, 22 Nov 2026 23:00:00 GMT", 200),
        ("If_Unmodified_Since", "Sat, 21 Nov 2026 23:00:00 GMT", 412),
        ("If_Unmodified_Since", "yesterday", 400),
    ],
)
def test_conditions_of_a_read(api: InProcess, document: str, header: str, value: str, status: int) -> None:
    assert api.get(f"/DocumentReference/{document}", **{header: value}).status == status


@pytest.mark.parametrize(
    ("value", "status"), [("Sun, 22 Nov 2026 23:00:00 GMT", 200), ("Sat, 21 Nov 2026 23:00:00 GMT", 412), ("x", 400)]
)
def test_if_unmodified_since_of_a_document(api: InProcess, document: str, value: str, status: int) -> None:
    url = api.get(f"/DocumentReference/{document}").tree["content"][0]["attachment"]["url"]
    assert api.get(url[url.index("/fhir/") + 5 :], If_Unmodified_Since=value).status == status


# --- inside bundles ------------------------------------------------------------------------------------------------


def _replacement(name: str, if_match: str) -> Tree:
    """A lot that replaces `old/0`, with the PATCH entry of MHD and its condition."""
    bundle = lot(name, replaces=oid("old/0"))
    operation = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    bundle["entry"].append(
        {
            "fullUrl": urn(f"{name}/patch"),
            "resource": {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": operation}]},
            "request": {
                "method": "PATCH",
                "url": f"DocumentReference?identifier={token_of(oid('old/0'))}",
                "ifMatch": if_match,
            },
        }
    )
    return bundle


def test_if_match_of_the_patch_entry_of_a_replacement(api: InProcess) -> None:
    api.provide(lot("old"))
    assert api.provide(_replacement("stale", 'W/"2"')).status == 412
    assert api.provide(_replacement("unreadable", "1")).status == 400
    assert api.found(oid("old/0"))[0]["meta"]["versionId"] == "1"
    assert api.found(oid("stale/0")) == []
    good = _replacement("good", 'W/"1"')
    assert api.provide(good).statuses == ["201", "201", "201", "200"]
    # Sent again, the lot is done already and its condition was met then.
    assert api.provide(good).statuses == ["200"] * 4


def test_if_match_of_a_folder_updated_in_a_lot(api: InProcess) -> None:
    first = lot("in-folder")
    folder = {
        "resourceType": "List",
        "meta": first["entry"][0]["resource"]["meta"],
        "identifier": [{"use": "usual", "system": "urn:ietf:rfc:3986", "value": oid("folder")}],
        "status": "current",
        "mode": "working",
        "title": "Suivi",
        "code": {"coding": [{"system": "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", "code": "folder"}]},
        "subject": first["entry"][0]["resource"]["subject"],
        "date": "2026-11-22T08:00:00Z",
        "extension": first["entry"][0]["resource"]["extension"][:1],
    }
    folder["meta"] = {
        "profile": ["https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-folder-comprehensive"]
    }

    def with_folder(name: str, request: Tree) -> Tree:
        bundle = lot(name)
        (document,) = (each for each in bundle["entry"] if each["resource"] in documents_in(bundle))
        content = folder | {"entry": [{"item": {"reference": document["fullUrl"]}}]}
        bundle["entry"][0]["resource"]["entry"].append({"item": {"reference": urn("folder")}})
        bundle["entry"].append({"fullUrl": urn("folder"), "resource": content, "request": request})
        return bundle

    created = api.provide(with_folder("in-folder", {"method": "POST", "url": "List"}))
    assert created.status == 200, created.content
    place = next(each for each in created.locations[1:] if each.startswith("List/"))
    stale = api.provide(with_folder("stale", {"method": "PUT", "url": place, "ifMatch": 'W/"4"'}))
    assert stale.status == 412, stale.content
    assert api.get(f"/{place}").version == 1
    assert api.provide(with_folder("fresh", {"method": "PUT", "url": place, "ifMatch": 'W/"1"'})).status == 200
    assert api.get(f"/{place}").version == 2
