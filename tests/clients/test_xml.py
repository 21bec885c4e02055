"""XML over HTTP with plain `requests` and `lxml`: nothing of ours on the side of the client but the bodies."""

from __future__ import annotations

import base64
from typing import Any

import requests
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.documentreference import DocumentReference
from lxml import etree

from tests.rest.bodies import CLAIRE, IS_ARCHIVED, lot, simple, text_of
from tests.support.server import LiveServer

XML = "application/fhir+xml"
NS = {"f": "http://hl7.org/fhir"}


def xml_of(model: type[Any], tree: dict[str, Any]) -> bytes:
    """The resource as XML, written by fhir.resources."""
    body = model.model_validate(tree).model_dump_xml()
    return body.encode() if isinstance(body, str) else body


def ask(
    server: LiveServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, etree._Element]:
    sent = {"Content-Type": XML, "Accept": XML} | server.headers("dr-moreau")
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = requests.request(method, f"{server.base_url}/{path}", data=body, headers=sent, timeout=30)
    assert answer.headers["Content-Type"] == f"{XML}; charset=utf-8", answer.content
    return answer.status_code, etree.fromstring(answer.content)


def values(root: etree._Element, path: str) -> list[str]:
    return [str(each) for each in root.xpath(path, namespaces=NS)]


def test_create_read_search_and_patch(live_server: LiveServer) -> None:
    status, created = ask(live_server, "POST", "DocumentReference", xml_of(DocumentReference, simple("xml create")))
    assert status == 201, etree.tostring(created)
    assert created.tag == "{http://hl7.org/fhir}DocumentReference"
    (resource_id,) = values(created, "/f:DocumentReference/f:id/@value")
    status, read = ask(live_server, "GET", f"DocumentReference/{resource_id}")
    assert etree.tostring(read, method="c14n") == etree.tostring(created, method="c14n")

    seen: list[str] = []
    page = f"DocumentReference?patient.identifier={CLAIRE}&_count=4"
    while page:
        status, found = ask(live_server, "GET", page)
        assert status == 200
        seen += values(found, "//f:entry[f:search/f:mode/@value='match']/f:resource/f:DocumentReference/f:id/@value")
        following = values(found, "/f:Bundle/f:link[f:relation/@value='next']/f:url/@value")
        page = following[0].removeprefix(f"{live_server.base_url}/") if following else ""
    assert resource_id in seen
    assert len(seen) == len(set(seen)) > 20

    selector = f"f:DocumentReference/f:extension[@url='{IS_ARCHIVED}']/f:valueBoolean/@value"
    diff = f'<diff xmlns:f="http://hl7.org/fhir"><replace sel="{selector}">true</replace></diff>'.encode()
    status, changed = ask(
        live_server, "PATCH", f"DocumentReference/{resource_id}", diff, Content_Type="application/xml-patch+xml"
    )
    assert status == 200, etree.tostring(changed)
    assert values(changed, f"/f:DocumentReference/f:extension[@url='{IS_ARCHIVED}']/f:valueBoolean/@value") == ["true"]
    assert values(changed, "/f:DocumentReference/f:meta/f:versionId/@value") == ["2"]


def test_a_transaction(live_server: LiveServer) -> None:
    """ITI-65 in XML; the document comes back byte for byte, and as a FHIR Binary."""
    status, answer = ask(live_server, "POST", "", xml_of(Bundle, lot("xml lot")))
    assert status == 200, etree.tostring(answer)
    assert values(answer, "//f:response/f:status/@value") == ["201 Created"] * 3
    payload = values(answer, "//f:response/f:location/@value")[2]
    _, binary = ask(live_server, "GET", payload)
    assert base64.b64decode(values(binary, "/f:Binary/f:data/@value")[0]) == text_of("xml lot")
    native = requests.get(f"{live_server.base_url}/{payload}", headers=live_server.headers("dr-moreau"), timeout=30)
    assert native.content == text_of("xml lot")


def test_a_refusal(live_server: LiveServer) -> None:
    status, outcome = ask(live_server, "GET", "DocumentReference/none")
    assert status == 404
    assert values(outcome, "/f:OperationOutcome/f:issue/f:details/f:text/@value") == [
        "Aucune ressource de ce nom n'est accessible."
    ]
    status, outcome = ask(live_server, "POST", "DocumentReference", b"<DocumentReference xmlns='http://hl7.org/fhir'>")
    assert status == 400
