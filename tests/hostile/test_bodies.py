"""Bodies that no parser should like, at every entrance that takes one: TF-093 to TF-107, TF-111, TF-112, TF-122 and
TF-123."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.world import tour
from tests.hostile import payloads
from tests.hostile.payloads import (
    CONTENT_TYPES,
    JSON,
    JSON_BODIES,
    PATCHES,
    PRIMITIVES,
    XML,
    XML_BODIES,
    body_of,
    canary,
)
from tests.hostile.target import Target

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
UNSOUND = (400, 413, 415, 422)
# (method, address, persona): every address that reads a resource.
ENTRANCES = [
    ("POST", "", "dr-moreau"),
    ("POST", "/DocumentReference", "dr-moreau"),
    ("POST", "/Patient", "exploitant"),
    ("POST", "/List", "dr-moreau"),
    ("POST", "/Consent", "patient-claire-martin"),
    ("PUT", "/Patient/{patient}", "exploitant"),
    ("PUT", "/List/{folder}", "dr-moreau"),
    ("PATCH", "/DocumentReference/{document}", "dr-moreau"),
]
# Bodies of megabytes: the three addresses with limits of their own.
LARGE = [ENTRANCES[0], ENTRANCES[5], ENTRANCES[7]]


@pytest.fixture(scope="module")
def places(sqlite_target: Target) -> dict[str, str]:
    """Ids of Claire Martin's record that dr-moreau may change."""
    documents = sqlite_target.resource("GET", f"/DocumentReference?patient.identifier={CLAIRE}&author.family=Moreau")
    folders = sqlite_target.resource("GET", f"/List?patient.identifier={CLAIRE}&code=folder")
    document = documents["entry"][0]["resource"]
    return {
        "document": document["id"],
        "folder": folders["entry"][0]["resource"]["id"],
        "patient": document["subject"]["reference"].removeprefix("Patient/"),
    }


def ids(rows: list[Any]) -> list[str]:
    return [str(row[0]) for row in rows]


@pytest.mark.parametrize(("name", "kind", "body"), JSON_BODIES + XML_BODIES, ids=ids(JSON_BODIES + XML_BODIES))
def test_unsound_body_at_every_entrance(
    target: Target, places: dict[str, str], name: str, kind: str, body: payloads.Body
) -> None:
    data = body_of(body)
    for method, address, persona in LARGE if len(data) > 200_000 else ENTRANCES:
        statuses = (*UNSOUND, 405) if method == "PATCH" else UNSOUND
        target.refused(method, address.format(**places), by=persona, body=data, kind=kind, statuses=statuses)


def test_sound_body_at_the_same_entrances(target: Target, places: dict[str, str]) -> None:
    """The entrances are open: what was refused there was refused for what it is."""
    patient = target.resource("GET", f"/Patient/{places['patient']}")
    folder = target.resource("GET", f"/List/{places['folder']}")
    document = target.resource("GET", f"/DocumentReference/{places['document']}")
    target.accepted("PUT", f"/Patient/{places['patient']}", by="exploitant", body=json.dumps(patient).encode())
    target.accepted("PUT", f"/List/{places['folder']}", body=json.dumps(folder).encode())
    patch = [{"op": "test", "path": "/status", "value": document["status"]}]
    target.accepted(
        "PATCH",
        f"/DocumentReference/{places['document']}",
        body=json.dumps(patch).encode(),
        kind="application/json-patch+json",
    )


# --- files and addresses that a parser might fetch ------------------------------------------------


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """The address of a server of ours, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_nothing_is_fetched(
    target: Target, places: dict[str, str], listener: tuple[str, list[str]], tmp_path: Path
) -> None:
    """TF-093, TF-094, TF-096, and D26: the XML hooks and the address of an attachment."""
    address, asked = listener
    file = tmp_path / "canary.txt"
    file.write_text(payloads.CANARY_TEXT)
    for to in (f"{address}/x", file.as_uri(), str(file)):
        for body in canary(to):
            for method, entrance, persona in ENTRANCES:
                target.refused(
                    method,
                    entrance.format(**places),
                    by=persona,
                    body=body,
                    kind=XML,
                    statuses=(*UNSOUND, 405),
                    leaks=[payloads.CANARY_TEXT],
                )
        for patch in canary(to):
            target.refused(
                "PATCH",
                f"/DocumentReference/{places['document']}",
                body=patch.replace(b"Patient", b"diff"),
                kind=payloads.XML_PATCH,
                statuses=(*UNSOUND, 405),
                leaks=[payloads.CANARY_TEXT],
            )
    simple = tour()["publish-simple.json"]
    without = {name: value for name, value in simple["content"][0]["attachment"].items() if name != "data"}
    content = [simple["content"][0] | {"attachment": without | {"url": f"{address}/document"}}]
    target.refused(
        "POST", "/DocumentReference", body=json.dumps(simple | {"content": content}).encode(), statuses=[422]
    )
    assert asked == []


# --- primitive values: TF-103, TF-105, TF-106 -----------------------------------------------------

# A JSON number with a fraction is a sound decimal on the wire.
VALUES = [(kind, value) for kind, value in PRIMITIVES if (kind, value) != ("decimal", 1.5)]


def extended(kind: str, value: Any) -> bytes:
    """A sound ITI-105 body with one more extension, which holds the value."""
    name = f"value{kind[0].upper()}{kind[1:]}"
    extension = [{"url": "http://example.org/fhir/probe", name: value}]
    return json.dumps(tour()["publish-simple.json"] | {"extension": extension}).encode()


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{kind} {value!r:.40}" for kind, value in VALUES])
def test_value_outside_its_type(target: Target, kind: str, value: Any) -> None:
    response = target.refused("POST", "/DocumentReference", body=extended(kind, value), statuses=(400, 422))
    if response.status_code == 422:
        assert {issue.get("expression", ["?"])[0].split(".")[1] for issue in response.json["issue"]} == {"extension[0]"}


# --- patches: TF-040, TF-122, TF-123 --------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind", "body"), PATCHES, ids=ids(PATCHES))
def test_unsound_patch(target: Target, places: dict[str, str], name: str, kind: str, body: payloads.Body) -> None:
    statuses = (*UNSOUND, 405)
    address = f"/DocumentReference/{places['document']}"
    response = target.refused("PATCH", address, body=body_of(body), kind=kind or None, statuses=statuses)
    if kind == JSON and response.status_code in (405, 422):
        entry = {
            "resource": json.loads(body_of(body)),
            "request": {"method": "PATCH", "url": f"DocumentReference/{places['document']}"},
        }
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        target.refused("POST", "", body=json.dumps(bundle).encode(), statuses=statuses)


@pytest.mark.parametrize("text", ["[", "[]", "/", "a:", "/a:", "f:DocumentReference/", "'", "("])
def test_long_selector(target: Target, places: dict[str, str], text: str) -> None:
    """TF-120: a selector as long as a patch may be is read in a moment."""
    selector = text * (190_000 // len(text))
    body = f'<diff xmlns:f="http://hl7.org/fhir"><remove sel="{selector}"/></diff>'.encode()
    address = f"/DocumentReference/{places['document']}"
    target.refused("PATCH", address, body=body, kind=payloads.XML_PATCH, statuses=(405, 422))
    for kind, key in ((payloads.JSON_PATCH, "path"), (JSON, "valueString")):
        operation: Any = [{"op": "remove", "path": selector}]
        if key == "valueString":
            parts = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": selector}]
            operation = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
        target.refused("PATCH", address, body=json.dumps(operation).encode(), kind=kind, statuses=(405, 422))


# --- headers about the body: TF-111, TF-112 -------------------------------------------------------


@pytest.mark.parametrize(("name", "kind", "coding"), CONTENT_TYPES, ids=ids(CONTENT_TYPES))
def test_body_announced_as_something_else(
    target: Target, places: dict[str, str], name: str, kind: str | None, coding: str | None
) -> None:
    body = json.dumps(tour()["publish-simple.json"]).encode()
    headers = {"Content-Encoding": coding} if coding else {}
    for method, address, persona in ENTRANCES:
        target.refused(
            method, address.format(**places), by=persona, body=body, kind=kind, headers=headers, statuses=[415]
        )
