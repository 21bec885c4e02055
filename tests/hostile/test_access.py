"""Every way to what is hidden, tried by callers without the right: basics of area A over HTTP, on both databases.

Claire Martin's record holds each kind of hidden document (fixtures/README.md); what must not leak is looked for by id,
uniqueId, title, entryUUID and address of the content, in every answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from dmp_fhir.identity.identifiers import ins_key
from dmp_fhir.identity.sandbox import personas
from dmp_fhir.interactions.routes import TYPES
from dmp_fhir.store.bodies import open_body, version_place
from dmp_fhir.wire.json import parse_json
from tests.conftest import DIALECTS
from tests.fixtures.world import cast, tour
from tests.hostile.conftest import open_target
from tests.hostile.target import Target, tree_of
from tests.support.keys import looked_up

SYSTEM = "urn:oid:1.2.250.1.213.1.4.10"
UNIQUE = "urn:oid:2.16.840.1.113883.19.250.1."
INS = {patient["key"]: patient["ins"]["value"] for patient in cast()["patients"]}
CLAIRE = f"{SYSTEM}|{INS['claire-martin']}"
JSON_PATCH = "application/json-patch+json"
UNUSED = "01a1b2c3-0000-7000-8000-000000000000"


@pytest.fixture(params=DIALECTS, scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A target of this module alone: masks and consents change in it."""
    for target in open_target(request, request.param, tmp_path_factory):
        target.area = "A"
        target.canaries = set()
        yield target


@dataclass(frozen=True)
class Hidden:
    """A document by what would betray it."""

    id: str
    content: str
    unique_id: str
    betrayals: frozenset[str]


def hidden(target: Target, number: str) -> Hidden:
    unique_id = UNIQUE + number
    (record_id, document_id), *_ = target.rows(
        "SELECT record_id, resource_id FROM unique_identifier WHERE value = :value", value=unique_id
    )
    ((body,),) = target.rows(
        "SELECT body FROM resource_version WHERE record_id = :record AND resource_id = :id AND version = 1",
        record=record_id,
        id=document_id,
    )
    place = version_place(record_id, "DocumentReference", document_id, 1)
    tree = parse_json(open_body(target.database.keys, record_id, place, body))
    attachment = tree["content"][0]["attachment"]
    address = attachment["url"].removeprefix("http://127.0.0.1:8000/fhir/")
    betrayals = {document_id, address.partition("/")[2], attachment["title"], f'"{unique_id}"', attachment["hash"]}
    return Hidden(document_id, address, unique_id, frozenset(betrayals))


# (persona, uniqueId of a document it may not see, why)
HIDDEN = [
    ("dr-petit", "1.9", "masked to professionals"),
    ("infirmiere-robert", "1.9", "masked to professionals"),
    ("patient-claire-martin", "1.30", "not yet announced to the patient"),
    ("patient-claire-martin", "1.22", "deleted"),
    ("dr-moreau", "1.22", "deleted"),
    ("dr-petit", "1.22", "deleted"),
]
CASES = pytest.mark.parametrize(
    ("persona", "number"), [case[:2] for case in HIDDEN], ids=[f"{c[0]} {c[2]}" for c in HIDDEN]
)


def same_as_absent(answer: TestResponse, absent: TestResponse) -> None:
    """Byte for byte, apart from the number of the request (TF-153)."""
    assert answer.status_code == absent.status_code
    assert answer.get_data() == absent.get_data()
    own = {"X-Request-Id", "Date"}
    assert [h for h in answer.headers if h[0] not in own] == [h for h in absent.headers if h[0] not in own]


# --- by id: TF-001, TF-003, TF-005, TF-016, TF-017, TF-153 -----------------------------------------

READS = ("", "/_history", "/_history/1", "/_history/2", "/_history/99")
FORMS: tuple[dict[str, str], ...] = (
    {},
    {"Accept": "application/fhir+xml"},
    {"Accept": "text/plain"},
    {"Range": "bytes=0-9"},
    {"If-None-Match": "*"},
    {"If-None-Match": 'W/"1"'},
    {"If-Modified-Since": "Sun, 22 Nov 2026 00:00:00 GMT"},
)


# Every way in the plain form, every form of the plain way.
WAYS_AND_FORMS = [*((way, FORMS[0]) for way in READS), *(("", form) for form in FORMS[1:])]


@CASES
def test_hidden_by_id(world: Target, persona: str, number: str) -> None:
    document = hidden(world, number)
    for way, headers in WAYS_AND_FORMS:
        answer = world.refused(
            "GET",
            f"/DocumentReference/{document.id}{way}",
            by=persona,
            headers=headers,
            leaks=document.betrayals,
            statuses=(404, 406),
        )
        absent = world.send("GET", f"/DocumentReference/{UNUSED}{way}", by=persona, headers=headers)
        world.settle()
        same_as_absent(answer, absent)


@CASES
def test_hidden_content(world: Target, persona: str, number: str) -> None:
    document = hidden(world, number)
    kind = document.content.partition("/")[0]
    for method in ("GET", "HEAD"):
        named = ("/_history/1", "?_format=json", "?_format=xml", "?_format=application/pdf")
        for way, headers in [*((way, FORMS[0]) for way in named), *(("", form) for form in FORMS)]:
            answer = world.refused(
                method,
                f"/{document.content}{way}",
                by=persona,
                headers=headers,
                leaks=document.betrayals,
                statuses=[404],
            )
            absent = world.send(method, f"/{kind}/{UNUSED}{way}", by=persona, headers=headers)
            world.settle()
            same_as_absent(answer, absent)


STRANGERS = ("dr-masson", "dr-roux", "patient-julien-martin", "labo-feeder", "dr-colin")


@pytest.mark.parametrize("persona", STRANGERS)
def test_record_of_another(world: Target, persona: str) -> None:
    """TF-001: every resource of a record, every type, by a caller without a right on it."""
    record = world.rows(
        "SELECT record_id FROM ins WHERE value = :value", value=looked_up(world.database, INS["claire-martin"])
    )[0][0]
    resources = world.rows("SELECT resource_type, id FROM resource_home WHERE record_id = :record", record=record)
    assert {kind for kind, _ in resources} >= {"DocumentReference", "List", "Consent", "Patient", "Binary"}
    # Everybody sees the consents and the traces that are about them (AR-98).
    caller = personas()[persona].identifier
    about = world.rows("SELECT id FROM consent WHERE record_id = :record AND actor_id = :id", record=record, id=caller)
    resources = [each for each in resources if (each[1],) not in about]
    events = "SELECT id FROM audit_event WHERE record_id = :record AND agent_id <> :id ORDER BY position LIMIT 5"
    resources += [("AuditEvent", each[0]) for each in world.rows(events, record=record, id=caller)]
    by_kind: dict[str, int] = {}
    for kind, name in resources:
        by_kind[kind] = by_kind.get(kind, 0) + 1
        if by_kind[kind] > 4:
            continue
        for way in ("", "/_history", "/_history/1"):
            answer = world.refused("GET", f"/{kind}/{name}{way}", by=persona, leaks=[name], statuses=(404, 405))
            absent = world.send("GET", f"/{kind}/{UNUSED}{way}", by=persona)
            world.settle()
            same_as_absent(answer, absent)
            anonymous = world.refused("GET", f"/{kind}/{name}{way}", by=None, leaks=[name], statuses=[401])
            assert "Bearer" in anonymous.headers["WWW-Authenticate"]


# --- in searches: TF-008, TF-009, TF-011, TF-012, TF-015 -------------------------------------------


def pages(target: Target, path: str, persona: str, leaks: frozenset[str]) -> list[dict[str, Any]]:
    """Every page of a search, none of them empty but a lone one."""
    found, address = [], path
    while True:
        answer = target.harmless("GET", address, by=persona, leaks=leaks)
        assert answer.status_code == 200, answer.text[:500]
        found.append(tree_of(answer))
        links = {each["relation"]: each["url"] for each in found[-1]["link"]}
        if "next" not in links:
            return found
        address = links["next"].removeprefix("http://127.0.0.1:8000/fhir")
        assert found[-1]["entry"]


def searches(document: Hidden) -> list[str]:
    """What finds the document for whom it is shown to, and more."""
    base = f"/DocumentReference?patient.identifier={CLAIRE}"
    narrowed = (
        "",
        "&status=superseded,current,entered-in-error",
        "&_sort=-date",
        f"&_id={document.id}",
        f"&identifier={quote('urn:ietf:rfc:3986|' + document.unique_id)}",
        "&security-label=MASQUE_PS,INVISIBLE_PATIENT",
        "&security-label:not=N",
        "&isArchived=false,true",
        "&creation=ge1900",
        "&author.family:contains=e",
        "&_revinclude=List:item",
        "&_include=DocumentReference:relatesto",
        f"&relatesto=DocumentReference/{document.id}",
        "&_count=1",
        "&_count=7",
    )
    lists = f"/List?patient.identifier={CLAIRE}"
    of_lists = ("", "&_include=List:item", f"&item=DocumentReference/{document.id}", "&_count=2&_include=List:item")
    return [base + each for each in narrowed] + [lists + each for each in of_lists]


@pytest.mark.parametrize(("persona", "number"), [HIDDEN[0][:2], HIDDEN[2][:2], HIDDEN[4][:2]])
def test_hidden_in_searches(world: Target, persona: str, number: str) -> None:
    document = hidden(world, number)
    for path in searches(document):
        # The own words of the search come back in the self link.
        leaks = frozenset(
            each for each in document.betrayals if each.strip('"') not in path and quote(each) not in path
        )
        found = pages(world, path, persona, leaks)
        ids = [e["resource"]["id"] for page in found for e in page.get("entry", []) if e["search"]["mode"] != "outcome"]
        assert document.id not in ids
        matches = [e for page in found for e in page.get("entry", []) if e["search"]["mode"] == "match"]
        kind = path[1:].partition("?")[0]
        assert all(e["resource"]["resourceType"] == kind for e in matches)
        if "_count" not in path:
            counted = tree_of(world.harmless("GET", f"{path}&_summary=count", by=persona))
            assert counted["total"] == len(matches), path


@CASES
def test_hidden_in_lists(world: Target, persona: str, number: str) -> None:
    """The submission set of a hidden document, by id, in its history and in a search."""
    document = hidden(world, number)
    rows = world.rows("SELECT list_id FROM list_entry WHERE target_id = :id", id=document.id)
    assert rows
    for (list_id,) in rows:
        for way in ("", "/_history", "/_history/1"):
            world.harmless("GET", f"/List/{list_id}{way}", by=persona, leaks=document.betrayals)
    world.harmless("GET", f"/List?patient.identifier={CLAIRE}&_id={rows[0][0]}", by=persona, leaks=document.betrayals)


def test_shown_to_whom_it_is_shown(world: Target) -> None:
    """The same ways, by a caller with the right, find it: what is tested above is not an empty record."""
    for persona, number in (("dr-moreau", "1.9"), ("patient-claire-martin", "1.9"), ("dr-moreau", "1.30")):
        document = hidden(world, number)
        assert world.send("GET", f"/DocumentReference/{document.id}", by=persona).status_code == 200
        assert world.send("GET", f"/{document.content}", by=persona).status_code == 200
        found = pages(world, f"/DocumentReference?patient.identifier={CLAIRE}", persona, frozenset())
        assert document.id in [e["resource"]["id"] for page in found for e in page["entry"]]
    world.settle()


@pytest.mark.parametrize(
    "query",
    ["", "?status=current", f"?_id={UNUSED}", "?date=ge1900", "?patient=", "?patient=Patient/", "?patient.identifier=",
     "?subject=", "?author.family=Moreau", "?_lastUpdated=ge1900", "?_count=1000", "?type=11488-4", "?isArchived=true"],
)  # fmt: skip
def test_search_without_a_patient(world: Target, query: str) -> None:
    """TF-008."""
    for kind in ("DocumentReference", "List", "Consent", "AuditEvent", "CareTeam", "RelatedPerson"):
        answer = world.refused("GET", f"/{kind}{query}", statuses=[400])
        assert {issue["code"] for issue in answer.json["issue"]} <= {"required", "value", "invalid", "not-supported"}
    world.refused("GET", query or "/", statuses=[405])


# --- a record without right: TF-007, D14, D27 ------------------------------------------------------


def absent_ins() -> list[str]:
    """Numbers with the right key that have no record: of somebody who opposed, and of nobody."""
    return [INS["nadia-benali"], *(f"2990499999{n:03}{ins_key(f'2990499999{n:03}')}" for n in (1, 2))]


@pytest.mark.parametrize("persona", [*STRANGERS[:3], "dr-chevalier", "labo-feeder"])
@pytest.mark.parametrize("kind", ["DocumentReference", "List", "CareTeam", "RelatedPerson"])
def test_search_in_a_record_without_right(world: Target, persona: str, kind: str) -> None:
    answers = []
    for value in (INS["claire-martin"], INS["lucia-orsini"], *absent_ins()):
        for name in ("patient.identifier", "patient:identifier"):
            path = f"/{kind}?{name}={SYSTEM}|{value}"
            answers.append(world.refused("GET", path, by=persona, leaks=[value], statuses=[403]))
        form = f"patient.identifier={SYSTEM}|{value}".encode()
        how = {"body": form, "kind": "application/x-www-form-urlencoded"}
        answers.append(world.refused("POST", f"/{kind}/_search", by=persona, leaks=[value], statuses=[403], **how))
    for answer in answers:
        same_as_absent(answer, answers[0])


@pytest.mark.parametrize("persona", STRANGERS[:4])
def test_consents_and_traces_of_others(world: Target, persona: str) -> None:
    """AR-98: of a record without right, what is about oneself and nothing else; of none, the same nothing (D27)."""
    caller = personas()[persona].identifier
    for search in ("Consent?", "AuditEvent?", f"DocumentReference?identifier={UNIQUE}10.1&"):
        statuses = set()
        for value in (INS["lucia-orsini"], *absent_ins()):
            answer = world.harmless("GET", f"/{search}patient.identifier={SYSTEM}|{value}", by=persona)
            statuses.add(answer.status_code)
            entries = tree_of(answer).get("entry", []) if answer.status_code == 200 else []
            assert all(caller in json.dumps(entry["resource"]) for entry in entries)
        assert len(statuses) == 1, (search, statuses)


# --- page links: TF-013, TF-014 --------------------------------------------------------------------


def test_page_link_of_another(world: Target) -> None:
    path = f"/DocumentReference?patient.identifier={CLAIRE}&_count=2"
    link = next(e["url"] for e in world.resource("GET", path)["link"] if e["relation"] == "next")
    link = link.removeprefix("http://127.0.0.1:8000/fhir")
    for persona in ("dr-petit", "dr-masson", "patient-julien-martin", "patient-claire-martin", "labo-feeder"):
        answer = world.refused("GET", link, by=persona, statuses=[404])
        same_as_absent(answer, world.refused("GET", f"/DocumentReference/{UNUSED}", by=persona))
    world.refused("GET", link, by=None, statuses=[401])
    world.refused("GET", link.replace("/DocumentReference", "/List"), statuses=[400])
    world.refused("GET", f"{link}&status=current", statuses=[400])
    token = link.partition("_page=")[2]
    assert not {INS["claire-martin"], "Claire", "patient", "SELECT"} & set(token)
    letters = "AQgw-_9z"
    edited = {token[:n] + letters[n % 8] + token[n + 1 :] for n in range(len(token))} - {token}
    edited |= (
        {token[:n] for n in range(1, len(token), 3)} | {token + each for each in letters} | {token[::-1], token * 2}
    )
    assert len(edited) >= 250
    for each in edited:
        world.refused("GET", f"/DocumentReference?_page={each}", statuses=[400])
    assert world.harmless("GET", link).status_code == 200


# --- rights that change while the token lives: TF-016, TF-024 --------------------------------------


def patch(target: Target, document: str, operations: list[dict[str, Any]], persona: str) -> None:
    body = json.dumps(operations).encode()
    target.accepted("PATCH", f"/DocumentReference/{document}", by=persona, body=body, kind=JSON_PATCH)


def test_masked_later(world: Target) -> None:
    """TF-016: old versions follow the rights of now, in both directions."""
    document = hidden(world, "1.10")
    ways = [f"/DocumentReference/{document.id}{way}" for way in READS[:3]] + [f"/{document.content}"]
    for way in ways:
        assert world.harmless("GET", way, by="dr-petit").status_code == 200
    patch(world, document.id, tour_patch("mask.json"), "patient-claire-martin")
    for way in (*ways, f"/DocumentReference/{document.id}/_history/2"):
        for headers in FORMS:
            world.refused("GET", way, by="dr-petit", headers=headers, leaks=document.betrayals, statuses=(404, 406))
    found = pages(
        world, f"/DocumentReference?patient.identifier={CLAIRE}&_lastUpdated=ge2023", "dr-petit", document.betrayals
    )
    assert found
    patch(world, document.id, tour_patch("unmask.json"), "patient-claire-martin")
    for way in ways:
        assert world.harmless("GET", way, by="dr-petit").status_code == 200


def tour_patch(name: str) -> list[dict[str, Any]]:
    return tour()[name]


def test_authorisation_withdrawn(world: Target) -> None:
    """TF-024: the next request of the same token is refused; no 304 for what is no longer visible."""
    consents = pages(world, "/Consent?status=active", "patient-claire-martin", frozenset())
    entries = [entry["resource"] for page in consents for entry in page["entry"]]
    petit = next(e for e in entries if "899700000" in json.dumps(e) and "Petit" in json.dumps(e))
    document = hidden(world, "1.10")
    ways = (
        f"/DocumentReference/{document.id}", f"/DocumentReference/{document.id}/_history", f"/{document.content}",
        f"/DocumentReference?patient.identifier={CLAIRE}", f"/List?patient.identifier={CLAIRE}",
    )  # fmt: skip
    link = next(
        e["url"] for e in world.resource("GET", f"{ways[3]}&_count=1", by="dr-petit")["link"] if e["relation"] == "next"
    )
    for way in ways:
        assert world.harmless("GET", way, by="dr-petit").status_code == 200
    body = json.dumps(petit | {"status": "inactive"}).encode()
    world.accepted("PUT", f"/Consent/{petit['id']}", by="patient-claire-martin", body=body)
    for way in (*ways, link.removeprefix("http://127.0.0.1:8000/fhir")):
        for headers in FORMS:
            status = 404 if document.id in way or document.content in way else 403
            world.refused("GET", way, by="dr-petit", headers=headers, leaks=document.betrayals, statuses=(status, 406))


# --- without a token: TF-002 -----------------------------------------------------------------------


def test_every_route_needs_a_token(sqlite_target: Target) -> None:
    """Whatever the router knows, and every interaction below it; only what describes the server is open."""
    world = sqlite_target
    world.area = "A"
    rules = {rule.rule for rule in world.app.url_map.iter_rules()}
    assert rules == {"/fhir", "/fhir/<rest:path>", "/openapi.json"}
    assert world.send("GET", "/metadata", by=None).status_code == 200
    paths = ["", "/", "/_history", "/_search", "/metadata/x", "/$x", "/nothing"]
    for kind in sorted(TYPES):
        paths += [
            f"/{kind}{end}" for end in ("", "/", "/x", "/_search", "/x/_history", "/x/_history/1", "/$x", "/x/$y")
        ]
    for path in paths:
        every = path.count("/") < 2
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")[: 7 if every else 2]:
            answer = world.refused(method, path, by=None, statuses=[401])
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        world.refused("GET", path, by=None, headers={"Authorization": "Bearer x.y.z"}, statuses=[401])
