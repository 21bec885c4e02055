"""Area G, what each request leaves in the trace and who may touch it: exact queries (TF-163), one entry for each
patient (TF-164), no way to change an entry (TF-168), who reads them (TF-173), numbers of requests (TF-175)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from dmp_fhir.audit.administration import trace_command
from dmp_fhir.identity.identifiers import ins_key
from dmp_fhir.identity.sandbox import personas
from dmp_fhir.store.identifiers import ins_row
from dmp_fhir.wire.xml import dump_xml
from tests.rest.bodies import CLAIRE, INS, JULIEN
from tests.store import rows
from tests.support import tally
from tests.support.server import MakeToken
from tests.traces.test_kinds import DECISION, World

Q = quote(CLAIRE, safe="")


@pytest.fixture
def world(client: FlaskClient, token: MakeToken) -> World:
    world = World(client, token)
    world.traced()
    world.events.clear()
    return world


# --- TF-163 -------------------------------------------------------------------------------------------

ODD = (
    "status=current",
    "status=current&status=superseded",
    "STATUS=current",
    "status=%63urrent",
    "status=current&&&",
    "status=current&_count=0",
    "status=current&_count=1&_count=2",
    "status=current&_summary=count",
    "status=current&_total=accurate",
    "status=current&_sort=-date,_lastUpdated",
    "status=current&_elements=id",
    "status=current&date=ge2026-01-01&date=lt2027",
    "status=current&date=gt2026-02-30",
    "status=current&type=http%3A%2F%2Floinc.org%7C11488-4",
    "status=current&type=" + "x" * 2_000,
    "status=current&type=%27%20OR%201%3D1%20--",
    "status=current&type=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "status=current&author.family=%C3%89tienne",
    "status=current&author.family=Etienne%CC%81",
    "status=current&author.given:contains=e",
    "status=current&_include=DocumentReference:author",
    "status=current&_include=*",
    "status=current&_revinclude=List:item",
    "status=current&_id=" + ",".join(f"id-{n}" for n in range(60)),
    "status=current&nonsense=1",
    "status=current&%00=1",
    "status=current&a=%0d%0aX-Injected:%201",
    "status=current&a=%E2%80%AE%F0%9F%92%8A",
    "status=current&a=+%2B+",
    "status=current&security-label=normal&security-label:not=x",
    "status=current&_lastUpdated=gt2026-11-01T00:00:00%2B14:00",
    "status=current&identifier=urn:ietf:rfc:3986%7Curn:oid:1.2.3",
    "status=current&_filter=status%20eq%20current",
)


def test_tf_163_the_query_as_sent_and_no_results(world: World) -> None:
    """By GET and by POST: one entry, with the query byte for byte in base64, and nothing of what was found."""
    titles = {
        each["resource"]["description"]
        for each in world.ask("GET", f"DocumentReference?patient.identifier={Q}&_count=50", "dr-moreau").json["entry"]
        if "description" in each["resource"]
    }
    world.traced()
    world.events.clear()
    tried = 0
    for odd in ODD:
        query = f"patient.identifier={Q}&{odd}"
        for method in ("GET", "POST"):
            path = f"DocumentReference?{query}" if method == "GET" else "DocumentReference/_search"
            body = query.encode() if method == "POST" else None
            status = world.ask(method, path, "dr-moreau", body, "application/x-www-form-urlencoded").status_code
            # The decision to open the record has an entry of its own, once in a while (decision 0037).
            kinds = [each for each in world.traced() if each != DECISION]
            assert [each[1:4] for each in kinds] == [("search-type", "E", "0" if status == 200 else "4")], (odd, status)
            (event,) = [each for each in world.events if each["subtype"][0]["code"] == "search-type"]
            world.events.clear()
            (entity,) = [each for each in event["entity"] if "query" in each]
            assert query.encode() in b64decode(entity["query"]), odd
            assert not any(title in str(event) for title in titles), odd
            tried += 1
    tally.count("G", "odd searches traced as sent", tried)


# --- TF-164 -------------------------------------------------------------------------------------------


def test_tf_164_one_entry_for_each_patient(world: World) -> None:
    """A batch over 20 patients, refused for most of them, in JSON and in XML; the report of an administrator."""
    database, numbers = world.services.database, [f"2740369{n:06d}" for n in range(20)]
    numbers = [number + ins_key(number) for number in numbers]
    assert database.keys is not None
    for n in range(20):
        database.keys.make(f"record-{n}", 0)
    with database.transaction() as tx:
        for n, number in enumerate(numbers):
            tx.insert("record", rows.record(f"record-{n}"))
            tx.insert("ins", ins_row(database.keys, f"record-{n}", INS, number))
    urls = [f"DocumentReference?patient.identifier={INS}%7C{number}" for number in numbers]
    batch = {"resourceType": "Bundle", "type": "batch"}
    for kind in ("application/fhir+json", "application/fhir+xml"):
        entries = [{"request": {"method": "GET", "url": url}} for url in urls]
        body: Any = batch | {"entry": entries}
        if kind.endswith("xml"):
            body = dump_xml(body)
        assert world.ask("POST", "", "dr-petit", body, kind).status_code == 200
        assert Counter(_records(world)) == Counter({f"record-{n}": 1 for n in range(20)})
        tally.count("G", "patients of a batch, each with an entry", 20)
    records = [f"record-{n}" for n in range(20)]
    services = world.services
    trace_command(database, "account-review", services.clock(), observer=services.observer, record_ids=records)
    assert sorted(_records(world)) == sorted(records)


def _records(world: World) -> list[str]:
    seen = world.seen
    world.traced()
    with world.services.database.snapshot() as reader:
        return [row[0] for row in reader.rows("SELECT record_id FROM audit_event WHERE position >= :n", {"n": seen})]


# --- TF-168 -------------------------------------------------------------------------------------------

ROLES = ("dr-moreau", "dr-petit", "patient-claire-martin", "representative-claire-martin", "chu-feeder", "exploitant")


@pytest.mark.parametrize("role", ROLES)
def test_tf_168_nobody_changes_an_entry(world: World, role: str) -> None:
    (address,) = [
        f"AuditEvent/{each['resource']['id']}"
        for each in world.ask("GET", "AuditEvent?_count=1", "patient-claire-martin").json["entry"]
    ]
    event = {"resourceType": "AuditEvent", "id": address.partition("/")[2], "outcome": "0"}
    patch = [{"op": "replace", "path": "/outcome", "value": "0"}]
    request = {"request": {"method": "POST", "url": "AuditEvent"}, "resource": event}
    before = _trace_of(world)
    tries: list[tuple[str, str, Any, str, set[int]]] = [
        ("PUT", address, event, "application/fhir+json", {405}),
        ("PATCH", address, patch, "application/json-patch+json", {405}),
        ("DELETE", address, None, "", {405}),
        ("POST", "AuditEvent", event, "application/fhir+json", {405}),
        ("PUT", f"AuditEvent?_id={address.partition('/')[2]}", event, "application/fhir+json", {405}),
        ("PATCH", "AuditEvent?outcome=4", patch, "application/json-patch+json", {405}),
        ("DELETE", "AuditEvent?outcome=4", None, "", {405}),
    ]
    for kind in ("transaction", "batch"):
        for method, url in (("POST", "AuditEvent"), ("PUT", address), ("DELETE", address)):
            entry = request | {"request": {"method": method, "url": url}}
            if method == "DELETE":
                entry.pop("resource")
            bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
            tries.append(
                ("POST", "", bundle, "application/fhir+json", {200, 422} if kind == "batch" else {400, 403, 405, 422})
            )
    for method, path, body, kind, statuses in tries:
        answer = world.ask(method, path, role, body, kind or "application/fhir+json")
        assert answer.status_code in statuses, (method, path, answer.status_code, answer.text[:300])
        if answer.status_code == 200:
            (inner,) = answer.json["entry"]
            assert inner["response"]["status"][:3] in ("403", "405"), inner
        tally.count("G", "changes of entries tried")
        tally.count("G", "entries changed", 0)
    after = _trace_of(world)
    assert after[: len(before)] == before


def _trace_of(world: World) -> list[Any]:
    with world.services.database.snapshot() as reader:
        return reader.rows("SELECT position, leaf, digest FROM audit_event ORDER BY position")


# --- TF-173 -------------------------------------------------------------------------------------------

WAYS = (
    "AuditEvent?_count=200",
    f"AuditEvent?patient.identifier={Q}&_count=200",
    f"AuditEvent?patient.identifier={quote(JULIEN, safe='')}&_count=200",
    "AuditEvent?agent-name=Dr&_count=200",
    f"AuditEvent?patient.identifier={Q}&agent-name=Dr&_count=200",
    f"AuditEvent?patient.identifier={Q}&agent=Practitioner/1&_count=200",
)


@pytest.mark.parametrize("role", [*ROLES, "patient-julien-martin", "dr-blanc"])
def test_tf_173_who_reads_the_trace(world: World, role: str) -> None:
    """The side of a patient sees one record; the treating physician a record as far as its holder; everybody else
    their own acts (AR-97, AR-98). Each look is an entry of its own."""
    of_a_patient = role.startswith(("patient-", "representative-"))
    records = set()
    for path in WAYS:
        answer = world.ask("GET", path, role)
        assert answer.status_code in (200, 400, 403), (path, answer.text[:200])
        assert len([each for each in world.traced() if each != DECISION]) == 1
        events = [each["resource"] for each in answer.json.get("entry", []) if each["search"]["mode"] == "match"]
        tally.count("G", "looks at the trace")
        tally.count("G", "entries of others shown", 0)
        for event in events:
            if of_a_patient:
                records |= {each["what"]["reference"] for each in event["entity"] if _is_patient(each)}
            elif role != "dr-moreau":
                (asking,) = [each for each in event["agent"] if each["requestor"]]
                assert asking["who"]["identifier"]["value"] == personas()[role].identifier, (role, path, event)
    assert len(records) == int(of_a_patient)
    if records:
        (record,) = records
        assert world.ask("GET", record, role).status_code == 200


def _is_patient(entity: dict[str, Any]) -> bool:
    return entity.get("role", {}).get("code") == "1"


# --- TF-175 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], False),
        (["0b6fd1f2-7f4e-4f0e-9d53-0c4d0d8e2a11"], True),
        (["visit.42_a-B"], True),
        (["one", "two"], False),
        (["x" * 10_240], False),
        (["a\x07b"], False),
        (["a b"], False),
        (["<script>"], False),
        (["é"], False),
        (["٤٢"], False),
        (["a, b"], False),
    ],
)
def test_tf_175_numbers_of_requests(world: World, given: list[str], kept: bool) -> None:
    """A harmless number is the client's own, in the answer and in the trace; any other is replaced by one of ours."""
    headers = [("Authorization", f"Bearer {world.token('dr-moreau')}")]
    headers += [("X-Request-Id", each.encode().decode("latin-1")) for each in given]
    answer = world.client.get("/fhir/DocumentReference/none", headers=headers)
    assert answer.status_code == 404
    number = answer.headers["X-Request-Id"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", number, re.ASCII)
    assert (number in given) == kept
    world.traced()
    entities = [each for each in world.events[-1]["entity"] if each["type"]["code"] == "XrequestId"]
    assert [each["what"]["identifier"]["value"] for each in entities] == [number]
    tally.count("G", "numbers of requests tried")
