"""read, vread, history, conditional read, HEAD; documents in their own type or as FHIR (ITI-68, TD3.2).

https://hl7.org/fhir/R4/http.html#read, #vread, #history, #cread; https://profiles.ihe.net/ITI/MHD/ITI-68.html
"""

from __future__ import annotations

import base64
from typing import Any

import fhir.resources.R4B as r4b
import pytest

from tests.rest.bodies import (
    CLAIRE,
    binary,
    bundle,
    document,
    lot,
    mask,
    oid,
    post,
    replace,
    simple,
    submission_set,
    urn,
)
from tests.rest.caller import MEDIA_TYPES, Caller, Tree, path_of

DIRECTORY = ("Practitioner", "PractitionerRole", "Organization", "Device")


def published(caller: Caller, name: str = "un", **changes: Any) -> str:
    """DocumentReference/id of a new document."""
    answer = caller.create(simple(name, **changes))
    assert answer.status == 201, answer.content
    return answer.address


def test_a_resource_is_read_with_its_version_and_date(talk: Caller) -> None:
    address = published(talk)
    answer = talk.get(address)
    assert answer.status == 200
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["Content-Type"] == f"{MEDIA_TYPES[talk.form]}; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    tree = answer.tree
    assert f"DocumentReference/{tree['id']}" == address
    assert tree["meta"]["versionId"] == "1"
    assert tree["meta"]["lastUpdated"].endswith("Z")


def test_every_type_of_the_world_is_found_and_read_again_as_sound_r4(talk: Caller) -> None:
    cases = dict.fromkeys(DIRECTORY, "")
    cases |= dict.fromkeys(("DocumentReference", "List", "Consent", "AuditEvent"), f"patient.identifier={CLAIRE}")
    cases |= {"Patient": f"identifier={CLAIRE}"}
    for kind, parameters in cases.items():
        found = talk.get(f"{kind}?{parameters}", by="patient-claire-martin").matches
        assert found, kind
        one = talk.get(f"{kind}/{found[0]['id']}", by="patient-claire-martin")
        assert one.status == 200, kind
        assert one.tree == found[0]
        r4b.get_fhir_model_class(kind).model_validate(one.tree)


def test_both_formats_say_the_same(registry: Caller) -> None:
    address = published(registry)
    json = registry.get(address)
    xml = registry.get(f"{address}?_format=xml")
    assert xml.headers["Content-Type"].startswith("application/fhir+xml")
    assert xml.tree == json.tree
    assert registry.get(address, Accept="application/fhir+xml;q=0.5, application/fhir+json;q=0.4").tree == json.tree


def test_an_unchanged_resource_is_304_without_a_body(talk: Caller) -> None:
    address = published(talk)
    known = talk.get(address)
    for headers in (
        {"If_None_Match": known.headers["ETag"]},
        {"If_None_Match": 'W/"7", W/"1"'},
        {"If_Modified_Since": known.headers["Last-Modified"]},
    ):
        answer = talk.get(address, **headers)
        assert (answer.status, answer.content) == (304, b""), headers
        assert answer.headers["ETag"] == 'W/"1"'
        assert "Content-Type" not in answer.headers
    for headers in (
        {"If_None_Match": 'W/"2"'},
        {"If_Modified_Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"If_Modified_Since": "not a date"},
        # If-None-Match wins over If-Modified-Since (RFC 9110, 13.1.3).
        {"If_None_Match": 'W/"2"', "If_Modified_Since": known.headers["Last-Modified"]},
    ):
        assert talk.get(address, **headers).status == 200, headers


def test_conditions_are_looked_at_after_the_rights(registry: Caller) -> None:
    """Nobody learns by a 304 that a hidden document is there."""
    address = published(registry)
    assert registry.get(address, by="dr-roux", If_None_Match='W/"1"').status == 404


def test_head_is_get_without_the_body(talk: Caller) -> None:
    address = published(talk)
    for path in (address, f"DocumentReference?patient.identifier={CLAIRE}", "metadata", f"{address}/_history"):
        head, get = talk.ask("HEAD", path), talk.get(path)
        assert (head.status, head.content) == (200, b"")
        for name in ("Content-Type", "ETag", "Last-Modified"):
            assert head.headers.get(name) == get.headers.get(name), (path, name)
    assert talk.ask("HEAD", "DocumentReference/none").status == 404


def test_every_version_is_kept_and_read_as_it_was(talk: Caller) -> None:
    address = published(talk)
    first = talk.get(address).tree
    assert talk.patch(address, replace("/status", "superseded")).status == 200
    second = talk.get(address)
    assert second.headers["ETag"] == 'W/"2"'
    assert talk.get(f"{address}/_history/1").tree == first
    assert talk.get(f"{address}/_history/1").headers["ETag"] == 'W/"1"'
    assert talk.get(f"{address}/_history/2").tree == second.tree
    for version in ("0", "3", "01", "x", "999999999999"):
        assert talk.get(f"{address}/_history/{version}").status == 404, version


def test_history_lists_every_version_newest_first(talk: Caller) -> None:
    address = published(talk)
    talk.patch(address, replace("/status", "superseded"))
    answer = talk.get(f"{address}/_history")
    tree = answer.tree
    r4b.get_fhir_model_class("Bundle").model_validate(tree)
    assert (tree["type"], tree["total"]) == ("history", 2)
    assert [each["resource"]["meta"]["versionId"] for each in tree["entry"]] == ["2", "1"]
    assert [each["request"]["method"] for each in tree["entry"]] == ["PATCH", "POST"]
    assert [each["response"]["etag"] for each in tree["entry"]] == ['W/"2"', 'W/"1"']
    assert tree["entry"][1]["resource"] == talk.get(f"{address}/_history/1").tree


def test_a_deleted_person_of_the_directory_is_410_and_stays_in_history(talk: Caller) -> None:
    created = talk.create({"resourceType": "Organization", "name": "Éphémère"}, by="exploitant")
    assert created.status == 201
    assert talk.ask("DELETE", created.address, by="exploitant").status == 204
    assert talk.get(created.address).status == 410
    assert talk.get(f"{created.address}/_history/2").status == 410
    assert talk.get(f"{created.address}/_history/1").tree["name"] == "Éphémère"
    history = talk.get(f"{created.address}/_history").entries
    assert [each["request"]["method"] for each in history] == ["DELETE", "POST"]
    assert "resource" not in history[0]


# --- documents ------------------------------------------------------------------------------------


def attachment(caller: Caller, address: str) -> Tree:
    return caller.get(address).tree["content"][0]["attachment"]


def test_a_document_comes_back_byte_for_byte_in_its_own_type(talk: Caller) -> None:
    content = bytes(range(256)) * 3
    tree = simple("octets", content=content)
    tree["content"][0]["attachment"]["contentType"] = "application/octet-stream"
    created = talk.create(tree)
    assert created.status == 201, created.content
    url = attachment(talk, created.address)["url"]
    for accept in ("application/octet-stream", "*/*", "application/*", ""):
        answer = talk.get(path_of(url), Accept=accept)
        assert (answer.status, answer.content) == (200, content), accept
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head = talk.ask("HEAD", path_of(url), Accept="*/*")
    assert (head.status, head.content, head.headers["Content-Length"]) == (200, b"", str(len(content)))


def test_a_document_is_given_as_a_fhir_binary_when_fhir_is_asked_for(talk: Caller) -> None:
    address = published(talk)
    binary_path = path_of(attachment(talk, address)["url"])
    native = talk.get(binary_path, Accept="*/*").content
    answer = talk.get(binary_path)
    assert answer.headers["Content-Type"].startswith(MEDIA_TYPES[talk.form])
    tree = answer.tree
    r4b.get_fhir_model_class("Binary").model_validate(tree)
    assert base64.b64decode(tree["data"]) == native
    assert tree["contentType"] == "text/plain"
    assert f"Binary/{tree['id']}" == binary_path
    by_format = talk.get(f"{binary_path}?_format={talk.form}", Accept="*/*")
    assert by_format.tree == tree
    refused = talk.get(binary_path, Accept="image/png")
    assert refused.status == 406
    assert "ITI-68" in refused.rules


def test_a_document_is_304_when_known_and_404_when_hidden(talk: Caller) -> None:
    path = path_of(attachment(talk, published(talk))["url"])
    known = talk.get(path, Accept="*/*")
    assert talk.get(path, Accept="*/*", If_None_Match=known.headers["ETag"]).status == 304
    assert talk.get(path, by="dr-roux", Accept="*/*").status == 404
    assert talk.get("Binary/none").status == 404


@pytest.mark.parametrize("declared", ["application/fhir+json", "application/fhir+xml"])
def test_a_fhir_document_comes_back_as_its_bundle(talk: Caller, declared: str) -> None:
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "date": "2026-11-20",
        "author": [{"display": "Dr Moreau"}],
        "title": "Consultation",
    }
    inner = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": oid("fhir document")},
        "type": "document",
        "timestamp": "2026-11-20T11:00:00+01:00",
        "entry": [{"fullUrl": urn("composition"), "resource": composition}],
    }
    described = document("fhir", content=b"x")
    described["content"][0]["attachment"]["contentType"] = declared
    answer = talk.provide(
        bundle(
            post(submission_set("fhir", urn("fhir")), urn("fhir set")),
            post(described, urn("fhir")),
            post(inner, urn("fhir document")),
        )
    )
    assert answer.status == 200, answer.content
    assert answer.statuses == ["201", "201", "201"]
    shown = attachment(talk, answer.addresses[1])
    assert path_of(shown["url"]) == answer.addresses[2]
    assert shown["contentType"] == declared
    found = talk.get(answer.addresses[2])
    assert found.headers["Content-Type"].startswith(MEDIA_TYPES[talk.form])
    tree = found.tree
    assert {name: value for name, value in tree.items() if name not in ("id", "meta")} == inner
    assert f"Bundle/{tree['id']}" == answer.addresses[2]
    native = talk.get(answer.addresses[2], Accept="application/fhir+json").content
    assert shown["size"] == len(native)


def test_the_documents_of_one_lot_are_each_their_own(registry: Caller) -> None:
    answer = registry.provide(
        bundle(
            post(submission_set("two", urn("a"), urn("b")), urn("two set")),
            *(
                entry
                for name in "ab"
                for entry in (
                    post(document(name, content=name.encode()), urn(name)),
                    post(binary(name.encode()), urn(f"{name} document")),
                )
            ),
        )
    )
    assert answer.statuses == ["201"] * 5
    assert registry.get(answer.addresses[2], Accept="*/*").content == b"a"
    assert registry.get(answer.addresses[4], Accept="*/*").content == b"b"


def test_the_submission_set_shows_only_visible_members(talk: Caller) -> None:
    """A masked document leaves no trace in its submission set for those who may not see it."""
    answer = talk.provide(lot("one"))
    set_address, document_address = answer.addresses[:2]
    assert [each["item"]["reference"] for each in talk.get(set_address).tree["entry"]] == [document_address]
    assert talk.get(set_address, by="infirmiere-robert").status == 200
    masked = replace("/securityLabel/0", mask("MASQUE_PS"))
    done = talk.patch(document_address, masked, by="patient-claire-martin")
    assert done.status == 200, done.content
    assert talk.get(set_address, by="infirmiere-robert").status == 404
    assert talk.get(set_address).status == 200
