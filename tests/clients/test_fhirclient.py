"""fhirclient (SMART), a second client that we did not write: https://github.com/smart-on-fhir/client-py. JSON only."""

from __future__ import annotations

from typing import Any

import pytest
from fhirclient.auth import FHIRAuth
from fhirclient.models.bundle import Bundle
from fhirclient.models.documentreference import DocumentReference
from fhirclient.models.fhirsearch import FHIRSearch
from fhirclient.models.organization import Organization
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRPermissionDeniedException, FHIRServer
from requests import HTTPError

from tests.rest.bodies import CLAIRE, NADIA, URI, bundle, lot, oid, simple, text_of
from tests.rest.test_bundles import asked, directory
from tests.rest.test_patch import fhirpath_patch
from tests.support.server import LiveServer


def server_of(live: LiveServer, persona: str = "dr-moreau") -> FHIRServer:
    server = FHIRServer(None, base_uri=live.base_url)
    server.auth = FHIRAuth.create("oauth2", state={"access_token": live.token(persona)})
    return server


def search(server: FHIRServer, kind: type[Any], **parameters: str) -> list[Any]:
    struct = {name.replace("__", "."): value for name, value in parameters.items()}
    found: list[Any] = list(FHIRSearch(kind, struct).perform_resources_iter(server))
    return found


def test_the_capability_statement_is_read(live_server: LiveServer) -> None:
    server = FHIRServer(None, base_uri=live_server.base_url)
    statement = server.capabilityStatement
    assert statement.fhirVersion == "4.0.1"
    assert "DocumentReference" in {each.type for each in statement.rest[0].resource}


def test_create_and_read(live_server: LiveServer) -> None:
    server = server_of(live_server)
    created = DocumentReference(simple("fhirclient create")).create(server)
    assert created["meta"]["versionId"] == "1"
    document = DocumentReference.read(created["id"], server)
    assert document.as_json() == created
    url = document.content[0].attachment.url
    assert server.request_data(url, headers={"Accept": "text/plain"}) == text_of("fhirclient create")
    assert server.request_json(url)["resourceType"] == "Binary"


def test_update_and_delete(live_server: LiveServer) -> None:
    server = server_of(live_server, "exploitant")
    organization = Organization.read(Organization({"name": "Cabinet"}).create(server)["id"], server)
    organization.name = "Cabinet des Lilas"
    assert organization.update()["meta"]["versionId"] == "2"
    assert organization.delete() is None
    with pytest.raises(HTTPError, match="410"):
        Organization.read(organization.id, server)


def test_search_follows_pages(live_server: LiveServer) -> None:
    server = server_of(live_server)
    whole = [each.id for each in search(server, DocumentReference, patient__identifier=CLAIRE, _count="100")]
    paged = [each.id for each in search(server, DocumentReference, patient__identifier=CLAIRE, _count="4")]
    assert len(whole) > 20
    assert paged == whole
    (patient,) = [each for each in search(server, Patient, identifier=CLAIRE) if isinstance(each, Patient)]
    assert patient.active is True
    (one,) = search(
        server,
        DocumentReference,
        patient__identifier=CLAIRE,
        identifier=f"{URI}|urn:oid:2.16.840.1.113883.19.250.1.1.14",
    )
    assert one.type.coding[0].code == "11502-2"


def test_transactions(live_server: LiveServer) -> None:
    """ITI-65, and a plain one with references inside."""
    answer = Bundle(Bundle(lot("fhirclient lot")).create(server_of(live_server)))
    assert [each.response.status for each in answer.entry] == ["201 Created"] * 3
    answer = Bundle(Bundle(directory()).create(server_of(live_server, "exploitant")))
    role, practitioner = (each.resource for each in answer.entry[:2])
    assert role.practitioner.reference == f"Practitioner/{practitioner.id}"


def test_patch(live_server: LiveServer) -> None:
    """The client has no PATCH of its own: it is sent as an entry of a batch, direct and conditional."""
    server = server_of(live_server)
    created = DocumentReference(simple("fhirclient patch")).create(server)
    change = fhirpath_patch("replace", "DocumentReference.status", valueCode="superseded")
    conditional = f"DocumentReference?identifier={URI}|{oid('fhirclient patch')}"
    for url in (f"DocumentReference/{created['id']}", conditional):
        answer = Bundle(Bundle(bundle(asked("PATCH", url, change), kind="batch")).create(server))
        assert answer.entry[0].response.status == "200 OK"
        assert answer.entry[0].resource.status == "superseded"


def test_refusals_are_understood(live_server: LiveServer) -> None:
    server = server_of(live_server)
    with pytest.raises(FHIRPermissionDeniedException):
        search(server, DocumentReference, patient__identifier=NADIA)
    with pytest.raises(FHIRNotFoundException) as refused:
        DocumentReference.read("none", server)
    assert refused.value.response.json()["resourceType"] == "OperationOutcome"
