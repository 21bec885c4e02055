"""Every kind of act through the server, once: exactly the expected entries, each valid against the patterns that it
names, none with a token or content in it (TF-161, TF-162, TF-164, TF-165)."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from lxml import etree

from dmp_fhir import jobs
from dmp_fhir.audit.administration import COMMANDS, trace_application, trace_command
from dmp_fhir.audit.audit_message import audit_message
from dmp_fhir.interactions.services import Services
from dmp_fhir.notify.sender import FileSender
from dmp_fhir.profiles import active
from dmp_fhir.store.bodies import event_place, open_body
from tests.access.consents import consent, professional
from tests.rest.bodies import CLAIRE, JULIEN
from tests.support import tally
from tests.support.server import MakeToken
from tests.traces import parameters

ROOT = Path(__file__).parents[2]
Q = CLAIRE.replace("|", "%7C")
MOTIVE = "patiente inconsciente, hémorragie"
Kind = tuple[str, str, str, str, str]  # type, subtype, action, outcome, type of the entity


class World:
    """The demonstration world, asked, and what its trace got since last looked at."""

    def __init__(self, client: FlaskClient, token: MakeToken) -> None:
        self.client, self.token = client, token
        self.services: Services = client.application.extensions["dmp_fhir"]
        self.tokens: list[str] = []
        self.seen = self._size()
        self.events: list[dict[str, Any]] = []

    def ask(
        self, method: str, path: str, by: str, body: Any = None, kind: str = "application/fhir+json", **claims: Any
    ) -> Any:
        bearer = self.token(by, **claims)
        self.tokens.append(bearer)
        return self.client.open(
            f"/fhir/{path}".rstrip("/"),
            method=method,
            data=body if isinstance(body, (bytes, type(None))) else json.dumps(body),
            content_type=kind if body is not None else None,
            headers={"Authorization": f"Bearer {bearer}"},
        )

    def _size(self) -> int:
        with self.services.database.snapshot() as reader:
            return int(reader.rows("SELECT COUNT(*) FROM audit_event")[0][0])

    def traced(self) -> list[Kind]:
        """The entries since the last call; their events are kept."""
        with self.services.database.snapshot() as reader:
            rows = reader.rows(
                "SELECT type, subtype, action, outcome, entity_type, record_id, id, body FROM audit_event"
                " WHERE position >= :seen ORDER BY position",
                {"seen": self.seen},
            )
            for *_, record_id, event_id, body in rows:
                opened = open_body(reader.keys, record_id, event_place(record_id, event_id), body)
                self.events.append(json.loads(opened))
        self.seen += len(rows)
        return [tuple(row[:5]) for row in rows]

    def one(self, name: str) -> str:
        """The id of a document of Claire's, by the end of its uniqueId."""
        bearer = self.token("dr-moreau")
        path = f"/fhir/DocumentReference?patient.identifier={Q}&_count=200&isArchived=true,false"
        found = self.client.get(path, headers={"Authorization": f"Bearer {bearer}"}).json["entry"]
        unique = f"urn:oid:2.16.840.1.113883.19.250.1.{name}"
        return next(each["resource"]["id"] for each in found if each["resource"]["masterIdentifier"]["value"] == unique)


@pytest.fixture
def world(client: FlaskClient, token: MakeToken) -> World:
    return World(client, token)


def rest(subtype: str, action: str, kind: str = "", outcome: str = "0") -> Kind:
    return "rest", subtype, action, outcome, kind


DECISION: Kind = ("110113", "AuthZ-Consent", "E", "0", "Consent")


def _tour(name: str) -> Any:
    return json.loads((ROOT / "fixtures" / "tour" / name).read_bytes())


def test_each_act_leaves_exactly_its_entries(world: World, tmp_path: Path) -> None:
    ask, claire, moreau = world.ask, "patient-claire-martin", "dr-moreau"
    record = ask("GET", f"Patient?identifier={Q}", moreau).json["entry"][0]["resource"]["id"]
    plain, masked = world.one("1.1"), world.one("1.9")
    binary = (
        ask("GET", f"DocumentReference/{plain}", moreau).json["content"][0]["attachment"]["url"].partition("/fhir/")[2]
    )
    kind = binary.partition("/")[0]
    practitioner = ask("GET", "Practitioner?name=moreau", moreau).json["entry"][0]["resource"]["id"]
    world.traced()
    world.events.clear()
    world.tokens.clear()
    made: dict[str, str] = {}

    def created(what: str, answer: Any) -> Any:
        assert answer.status_code in (200, 201), answer.text
        made[what] = answer.json.get("id", "")
        return answer

    def patch(name: str, by: str = moreau, **claims: Any) -> Any:
        return ask(
            "PATCH", f"DocumentReference/{made['new']}", by, _tour(name), "application/json-patch+json", **claims
        )

    def publish() -> Any:
        answer = ask("POST", "", moreau, _tour("publish.json"))
        made["new"] = next(
            each["response"]["location"].split("/")[-3]
            for each in answer.json["entry"]
            if "DocumentReference/" in each["response"]["location"]
        )
        return answer

    block = consent("BLOCAGE", "deny", CLAIRE, professional("899700000153"))
    emergency = {"purpose": "bris_de_glace", "reason": MOTIVE}
    batch = {"resourceType": "Bundle", "type": "batch"}
    batch["entry"] = [  # type: ignore[assignment]
        {"request": {"method": "GET", "url": f"DocumentReference/{plain}"}},
        {"request": {"method": "GET", "url": "DocumentReference/nothing"}},
    ]
    steps: list[tuple[str, Callable[[], Any], list[Kind]]] = [
        ("TD0.2", lambda: ask("GET", f"Patient?identifier={Q}", moreau), [rest("search-type", "E", "Patient")]),
        (
            "ITI-67",
            lambda: ask("GET", f"DocumentReference?patient.identifier={Q}&_count=1&type=x", moreau),
            [rest("search-type", "E")],
        ),
        ("ITI-66", lambda: ask("GET", f"List?patient.identifier={Q}&_count=1", moreau), [rest("search-type", "E")]),
        (
            "search by POST",
            lambda: ask("POST", "Consent/_search", claire, b"status=active", "application/x-www-form-urlencoded"),
            [rest("search-type", "E", "Consent")],
        ),
        (
            "directory",
            lambda: ask("GET", "Practitioner?name=moreau", moreau),
            [rest("search-type", "E", "Practitioner")],
        ),
        ("ITI-81", lambda: ask("GET", "AuditEvent?_count=1", claire), [rest("search-type", "E", "AuditEvent")]),
        ("read", lambda: ask("GET", f"DocumentReference/{plain}", moreau), [rest("read", "R", "DocumentReference")]),
        (
            "vread",
            lambda: ask("GET", f"DocumentReference/{plain}/_history/1", moreau),
            [rest("vread", "R", "DocumentReference")],
        ),
        (
            "history",
            lambda: ask("GET", f"DocumentReference/{plain}/_history", moreau),
            [rest("history-instance", "R", "DocumentReference")],
        ),
        ("ITI-68", lambda: ask("GET", binary, moreau), [rest("read", "R", kind)]),
        (
            "masked, by the treating physician",
            lambda: ask("GET", f"DocumentReference/{masked}", moreau),
            [rest("read", "R", "DocumentReference"), DECISION],
        ),
        (
            "masked, by another",
            lambda: ask("GET", f"DocumentReference/{masked}", "dr-petit"),
            [rest("read", "R", "DocumentReference", "4")],
        ),
        (
            "emergency",
            lambda: ask("GET", f"DocumentReference?patient.identifier={Q}&_count=1", "dr-chevalier", **emergency),
            [rest("search-type", "E"), ("110113", "AuthZ-Consent", "E", "0", "")],
        ),
        ("ITI-65", publish, [rest("create", "C", "DocumentReference"), rest("create", "C", "List")]),
        ("the same again", publish, [rest("create", "C", "DocumentReference"), rest("create", "C", "List")]),
        ("TD3.3a", lambda: patch("mask.json", claire), [rest("patch", "U", "DocumentReference")]),
        ("TD3.3d", lambda: patch("archive.json"), [rest("patch", "U", "DocumentReference")]),
        (
            "TD2.1",
            lambda: ask("POST", "", moreau, _tour("replace.json")),
            [
                rest("patch", "U", "DocumentReference"),
                rest("create", "C", "DocumentReference"),
                rest("create", "C", "List"),
            ],
        ),
        (
            "ITI-105",
            lambda: ask("POST", "DocumentReference", moreau, _tour("publish-simple.json")),
            [rest("create", "C", "DocumentReference"), rest("create", "C", "List")],
        ),
        (
            "TD3.3c",
            lambda: ask("DELETE", f"DocumentReference/{made['new']}", moreau),
            [rest("delete", "D", "DocumentReference")],
        ),
        ("a block", lambda: created("block", ask("POST", "Consent", claire, block)), [rest("create", "C", "Consent")]),
        (
            "unblocked",
            lambda: ask("PUT", f"Consent/{made['block']}", claire, block | {"id": made["block"], "status": "inactive"}),
            [rest("update", "U", "Consent")],
        ),
        (
            "batch",
            lambda: ask("POST", "", moreau, batch),
            [rest("read", "R", "DocumentReference"), rest("read", "R", "DocumentReference", "4")],
        ),
        ("$validate", lambda: ask("POST", "Consent/$validate", claire, block), [rest("operation", "E")]),
        (
            "$explain-access",
            lambda: ask("GET", f"Patient/{record}/$explain-access", claire),
            [rest("operation", "E", "Patient")],
        ),
        (
            "$access-history",
            lambda: ask("GET", "Patient/$access-history", claire),
            [rest("operation", "E", "AuditEvent")],
        ),
        (
            "not offered",
            lambda: ask("PUT", f"DocumentReference/{plain}", moreau, {"resourceType": "DocumentReference"}),
            [rest("update", "U", "DocumentReference", "4")],
        ),
        (
            "POST AuditEvent",
            lambda: ask("POST", "AuditEvent", moreau, {"resourceType": "AuditEvent"}),
            [rest("create", "C", "", "4")],
        ),
        (
            "bad search",
            lambda: ask("GET", f"DocumentReference?patient.identifier={Q}&nothing=1", moreau),
            [rest("search-type", "E", "", "4")],
        ),
        (
            "stranger to the record",
            lambda: ask("GET", f"DocumentReference?patient.identifier={Q}", "dr-roux"),
            [rest("search-type", "E", "", "4")],
        ),
        (
            "no token",
            lambda: world.client.get(f"/fhir/DocumentReference/{plain}"),
            [rest("read", "R", "DocumentReference", "4")],
        ),
        (
            "bad token",
            lambda: world.client.get(
                f"/fhir/Patient?access_token={world.token(moreau)}", headers={"Authorization": "Bearer x.y.z"}
            ),
            [rest("search-type", "E", "Patient", "4")],
        ),
    ]
    steps[5:5] = [
        (
            "directory, one",
            lambda: ask("GET", f"Practitioner/{practitioner}", moreau),
            [rest("read", "R", "Practitioner")],
        )
    ]
    left: dict[str, list[dict[str, Any]]] = {}
    expected: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    excess: Counter[str] = Counter()
    for name, act, wanted in steps:
        act()
        before = len(world.events)
        found, due = Counter(world.traced()), Counter(wanted)
        left[name] = world.events[before:]
        expected[name] += sum(due.values())
        missing.update({f"{name}: {each}": n for each, n in (due - found).items()})
        excess.update({f"{name}: {each}": n for each, n in (found - due).items()})
    julien = ask("GET", f"Patient?identifier={JULIEN.replace('|', '%7C')}", "patient-julien-martin")
    other = julien.json["entry"][0]["resource"]["id"]
    world.traced()
    before = len(world.events)
    done = jobs.run(
        world.services.database,
        world.services.payloads,
        FileSender(tmp_path / "o"),
        world.services.clock() + 1,
        world.services.policy,
    )
    assert done.sent == sum(each[1] == "update" and each[4] == "Communication" for each in world.traced())
    left["jobs"] = world.events[before:]
    for command in COMMANDS:
        trace_command(
            world.services.database,
            command,
            world.services.clock(),
            observer=world.services.observer,
            record_ids=(record, other) if command == "review-list" else (),
        )
    for what in ("start", "stop"):
        trace_application(world.services.database, what, world.services.clock(), observer=world.services.observer)
    before = len(world.events)
    assert len(world.traced()) == len(COMMANDS) + 3  # one entry for each record touched (TF-164)
    left["commands"], left["start and stop"] = world.events[before:-2], world.events[-2:]
    _are_documented(left)
    kinds = [*(name for name in left if name != "commands"), *(f"command {name}" for name in COMMANDS)]
    print("kinds of acts traced:", "; ".join(kinds))
    tally.count("G", "kinds of acts traced", len(kinds))
    tally.count("G", "events expected", sum(expected.values()))
    tally.count("G", "found", sum(expected.values()) - sum(missing.values()) + sum(excess.values()))
    tally.count("G", "missing", sum(missing.values()))
    tally.count("G", "in excess", sum(excess.values()))
    assert (missing, excess) == (Counter(), Counter())
    _are_valid(world.events)
    _are_forwarded(world)
    _are_found(world, record)
    _tell_no_secret(world)


ROWS = {
    "search": ("TD0.2", "ITI-67", "ITI-66", "search by POST", "directory", "ITI-81"),
    "read, vread, history": ("read", "vread", "history", "directory, one"),
    "retrieval": ("ITI-68",),
    "the same in an emergency": ("masked, by the treating physician", "emergency"),
    "ITI-65, ITI-105": ("ITI-65", "the same again", "TD2.1", "ITI-105"),
    "TD3.3a, b, d": ("TD3.3a", "TD3.3d", "a block", "unblocked"),
    "deletion": ("TD3.3c",),
    "batch": ("batch",),
    "`$validate`": ("$validate", "$explain-access", "$access-history"),
    "refusal": (
        *("masked, by another", "not offered", "POST AuditEvent", "bad search", "stranger to the record"),
        *("no token", "bad token"),
    ),
    "scheduled job": ("jobs",),
    "command of the operator": ("commands",),
    "start and stop": ("start and stop",),
}
"""The rows of docs/trace.md, by how they begin, and the acts above that each is about."""


def _are_documented(left: dict[str, list[dict[str, Any]]]) -> None:
    """docs/trace.md names the patterns that the events of each act have, and every act is in one of its rows."""
    assert sorted(name for names in ROWS.values() for name in names) == sorted(left)
    page = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(ROWS)
    for (act, _, patterns), (begins, names) in zip(rows, ROWS.items(), strict=True):
        assert act.strip().startswith(begins)
        told = set(
            re.findall(r"(?:Patient)?(?:Create|Read|Update|Delete|Query)\b|AuthZconsent|dmp-audit-[a-z]+", patterns)
        )
        has = {pattern for name in names for event in left[name] for pattern in _patterns(event)}
        if begins == "the same in an emergency":  # one more, beside that of the act
            has -= {"PatientRead", "PatientQuery"}
        if begins == "scheduled job":  # deletes when a record is erased, which none is here
            has.add("PatientDelete")
        assert told == (set() if begins == "batch" else has), act


def _patterns(event: dict[str, Any]) -> set[str]:
    names = {each.rpartition("/")[2].removeprefix("IHE.BasicAudit.") for each in event["meta"]["profile"]}
    ours = names - {"OAUTHaccessTokenUse.Minimal", "dmp-audit-event"}
    return ours - {"dmp-audit-decision"} if "AuthZconsent" in ours else ours


def _are_valid(events: list[dict[str, Any]]) -> None:
    validator, patterns = active.validator(), Counter[str]()
    for event in events:
        issues = validator.validate(event)
        assert issues == [], (event["meta"]["profile"], [(each.rule, each.expression, each.en) for each in issues])
        patterns.update(each.rpartition("/")[2] for each in event["meta"]["profile"])
    tally.count("G", "events validated", len(events))
    basic = "IHE.BasicAudit"
    for name in (
        "PatientCreate",
        "PatientRead",
        "PatientUpdate",
        "PatientDelete",
        "PatientQuery",
        "Query",
        "AuthZconsent",
    ):
        assert patterns[f"{basic}.{name}"], name
    for name in ("refusal", "operation", "decision", "administration", "application"):
        assert patterns[f"dmp-audit-{name}"], name


def _are_forwarded(world: World) -> None:
    """Each as an Audit Message of DICOM, with every agent and entity of the event, and none of its tokens (ITI-20)."""
    schema = etree.RelaxNG(etree.parse(ROOT / "tests" / "audit" / "audit_message.rng"))
    for event in world.events:
        message = audit_message(event)
        root = etree.fromstring(message)
        schema.assertValid(root)
        assert len(root.findall("ActiveParticipant")) == len(event["agent"])
        assert len(root.findall("ParticipantObjectIdentification")) == len(event["entity"])
        assert len(message) < 8_192
        assert not any(token.encode() in message for token in world.tokens)
    tally.count("G", "events as DICOM audit messages", len(world.events))


def _are_found(world: World, record: str) -> None:
    """ITI-81: every parameter declared, with every value that occurs, finds exactly the events that have it."""
    declared = world.client.get("/fhir/metadata").json["rest"][0]["resource"]
    names = next([each["name"] for each in it["searchParam"]] for it in declared if it["type"] == "AuditEvent")
    assert {name.partition(":")[0].partition(".")[0] for name in parameters.VALUES} | parameters.OTHERS == set(names)
    now = max(each["recorded"] for each in world.events)

    def found(criterion: str) -> set[str]:
        answer = world.ask("GET", f"AuditEvent?{criterion}&_lastUpdated=le{now}&_count=200", "patient-claire-martin")
        assert answer.status_code == 200, (criterion, answer.text)
        assert "next" not in {each["relation"] for each in answer.json["link"]}
        return {each["resource"]["id"] for each in answer.json.get("entry", ())}

    events = {each["id"]: each for each in world.events}
    since = f"_lastUpdated=ge{min(each['recorded'] for each in world.events)}"
    visible = [events[event_id] for event_id in sorted(found(since))]
    assert len(visible) > 30
    for criterion, wanted in parameters.searches(visible):
        assert found(f"{criterion}&{since}") == wanted, criterion
        tally.count("F", "ITI-81 searches compared with the events")
    everything = {each["id"] for each in visible}
    # A retrieval names the content and the document, which its uniqueId names too.
    document = f"DocumentReference/{world.one('1.1')}"
    retrieved = {each["id"] for each in visible if document in parameters.references(each)}
    assert any(f"{kind}/" in str(events[event_id]["entity"]) for event_id in retrieved for kind in ("Binary", "Bundle"))
    assert found(f"entity.identifier=urn:oid:2.16.840.1.113883.19.250.1.1.1&{since}") == retrieved
    assert found(f"entity=Patient/{record}&{since}") == found(f"entity:identifier={Q}&{since}") == everything


def _tell_no_secret(world: World) -> None:
    text = json.dumps(world.events)

    queries = [
        base64.b64decode(entity["query"]).decode()
        for event in world.events
        for entity in event["entity"]
        if "query" in entity
    ]
    content = [
        line
        for entry in _tour("publish.json")["entry"]
        for key, line in entry["resource"].items()
        if key in ("data", "description", "title") and isinstance(line, str)
    ]
    found = 0
    for canary in [*world.tokens, *content]:
        parts = [canary, canary.split(".")[-1]] if canary.startswith("eyJ") else [canary]
        found += sum(part in text or any(part in query for query in queries) for part in parts if len(part) > 15)
    tally.count("G", "canaries in the trace", found)
    assert found == 0
    assert all(f"access_token={start}" not in query for query in queries for start in ("eyJ",))
