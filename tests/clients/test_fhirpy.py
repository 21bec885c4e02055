"""fhirpy, a generic FHIR client that we did not write, against a running server: https://github.com/beda-software/fhir-py"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, ForbiddenError, OperationOutcome, ResourceNotFound

from tests.rest.bodies import CLAIRE, IS_ARCHIVED, NADIA, URI, lot, oid, simple, text_of
from tests.rest.test_bundles import directory
from tests.rest.test_patch import fhirpath_patch
from tests.support.server import LiveServer


def client_of(server: LiveServer, persona: str = "dr-moreau", **headers: str) -> SyncFHIRClient:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SyncFHIRClient(server.base_url, f"Bearer {server.token(persona)}", extra_headers=named)


def test_create_and_read(live_server: LiveServer) -> None:
    client = client_of(live_server)
    document = client.resource(**{"resource_type": "DocumentReference", **without_type(simple("fhirpy create"))})
    document.save()
    assert document.id
    assert document["meta"]["versionId"] == "1"
    again = client.reference("DocumentReference", document.id).to_resource()
    assert again.serialize() == document.serialize()
    binary = client.execute(document["content"][0]["attachment"]["url"], method="get")
    assert binary["resourceType"] == "Binary"


def without_type(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name != "resourceType"}


def test_update_and_delete(live_server: LiveServer) -> None:
    client = client_of(live_server, "exploitant")
    device = client.resource("Device", deviceName=[{"name": "LPS", "type": "other"}])
    device.save()
    device["status"] = "active"
    device.save()
    assert device["meta"]["versionId"] == "2"
    device.refresh()
    device.delete()
    with pytest.raises(ResourceNotFound):
        client.reference("Device", device.id).to_resource()


def test_search_follows_pages(live_server: LiveServer) -> None:
    client = client_of(live_server)
    search = client.resources("DocumentReference").search(**{"patient.identifier": CLAIRE}).sort("-date")
    whole = [each.id for each in search.limit(100).fetch()]
    paged = [each.id for each in search.limit(4).fetch_all()]
    assert len(whole) > 20
    assert paged == whole
    found = search.search(identifier=f"{URI}|urn:oid:2.16.840.1.113883.19.250.1.1.14").get()
    assert found["type"]["coding"][0]["code"] == "11502-2"
    included = client.resources("List").search(**{"patient.identifier": CLAIRE, "code": "folder"})
    bundle = included.include("List", "item").fetch_raw()
    assert {each.resource.resource_type for each in bundle.entry} == {"List", "DocumentReference"}


def test_count_needs_a_lenient_search(live_server: LiveServer) -> None:
    """The client adds a parameter of its own, which is refused unless the caller says otherwise (D11)."""
    wanted = {"patient.identifier": CLAIRE}
    with pytest.raises(OperationOutcome, match="_totalMethod"):
        client_of(live_server).resources("DocumentReference").search(**wanted).count()
    lenient = client_of(live_server, Prefer="handling=lenient").resources("DocumentReference").search(**wanted)
    assert lenient.count() == len(lenient.limit(100).fetch())


def test_transactions(live_server: LiveServer) -> None:
    """ITI-65, and a plain one with references inside."""
    answer = client_of(live_server).resource("Bundle", **without_type(lot("fhirpy lot"))).save()
    assert [each["response"]["status"] for each in answer["entry"]] == ["201 Created"] * 3
    client = client_of(live_server, "exploitant")
    answer = client.resource("Bundle", **without_type(directory())).save()
    role, practitioner = (each["resource"] for each in answer["entry"][:2])
    reference = client.resource("PractitionerRole", **without_type(role))["practitioner"]
    assert reference.to_resource().id == practitioner["id"]


def test_patch(live_server: LiveServer) -> None:
    """By id and by condition: a FHIRPath Patch, sent as FHIR."""
    client = client_of(live_server, Content_Type="application/fhir+json")
    document = client.resource("DocumentReference", **without_type(simple("fhirpy patch"))).save()
    change = fhirpath_patch("replace", "DocumentReference.status", valueCode="superseded")
    changed = client.patch("DocumentReference", document.id, **change)
    assert (changed["status"], changed["meta"]["versionId"]) == ("superseded", "2")
    path = f"DocumentReference.extension.where(url='{IS_ARCHIVED}').value"
    archive = fhirpath_patch("replace", path, valueBoolean=True)
    here = client.resources("DocumentReference").search(identifier=f"{URI}|{oid('fhirpy patch')}")
    assert here.patch(**archive)["meta"]["versionId"] == "3"


def test_refusals_are_understood(live_server: LiveServer) -> None:
    client = client_of(live_server)
    with pytest.raises(ForbiddenError):
        client.resources("DocumentReference").search(**{"patient.identifier": NADIA}).fetch()
    with pytest.raises(AuthorizationError):
        SyncFHIRClient(live_server.base_url).resources("Patient").search(identifier=CLAIRE).fetch()
    with pytest.raises(OperationOutcome) as refused:
        client.resource("DocumentReference", **without_type(simple("x", status="nearly"))).save()
    assert refused.value.resource["issue"][0]["expression"] == ["DocumentReference.status"]


def test_the_asynchronous_client(live_server: LiveServer) -> None:
    async def work() -> None:
        client = AsyncFHIRClient(live_server.base_url, f"Bearer {live_server.token('dr-moreau')}")
        created = await client.resource("DocumentReference", **without_type(simple("fhirpy async"))).save()
        search = client.resources("DocumentReference").search(**{"patient.identifier": CLAIRE})
        found = [each.id async for each in search.limit(5)]
        assert created.id in found
        assert len(found) == len(set(found)) == len(await search.limit(100).fetch())
        documents = [client.resource("Bundle", **without_type(lot(f"fhirpy async {n}"))).save() for n in range(4)]
        answers = await asyncio.gather(*documents)
        assert all(each["entry"][1]["response"]["status"] == "201 Created" for each in answers)

    asyncio.run(work())


def test_the_document_is_what_was_sent(live_server: LiveServer) -> None:
    """The client has no raw reading: its session headers with requests."""
    import requests

    client = client_of(live_server)
    document = client.resource("DocumentReference", **without_type(simple("fhirpy bytes"))).save()
    url = document["content"][0]["attachment"]["url"]
    answer = requests.get(url, headers=live_server.headers("dr-moreau"), timeout=10)
    assert answer.content == text_of("fhirpy bytes")
    assert json.loads(json.dumps(document.serialize()))["content"][0]["attachment"]["size"] == len(answer.content)
