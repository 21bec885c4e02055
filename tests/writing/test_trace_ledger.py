"""Mixed requests of twenty callers, with kills in the middle: the log verifies, and matches one to one what the clients
saw (TF-161, TF-162, TF-167).

Each request has an X-Request-Id of its own, which its entries carry. What was answered has exactly its entries; what
was killed before its answer has them all or none.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from dmp_fhir.audit.heads import HeadKeys, Witness, attach
from dmp_fhir.audit.verification import Report, verify
from dmp_fhir.instants import system_clock
from dmp_fhir.store.bodies import event_place, open_body
from tests.conftest import DIALECTS
from tests.support.keys import reopened
from tests.support.server import LiveServer, copy_of_world, start_server, stop_server
from tests.support.tally import count
from tests.writing.campaigns import Figures, seed_of
from tests.writing.lots import AUTHOR, CLAIRE_INS, PATIENT, archived, lot, simple

CALLERS = 20
JSON, PATCH = "application/fhir+json", "application/json-patch+json"
CLAIRE = f"patient.identifier=urn:oid:1.2.250.1.213.1.4.10|{CLAIRE_INS}"
Entries = Counter[tuple[str, str]]


@dataclass
class Asked:
    """A request; `done` and `refused` are the interactions of its entries when it is carried out and when it is not."""

    method: str
    path: str
    persona: str | None
    done: tuple[str, ...]
    refused: str
    body: bytes | None = None
    content_type: str = ""
    status: int | None = None

    @property
    def possible(self) -> list[Entries]:
        """What its entries may be, by interaction and outcome."""
        carried_out, turned_down = Counter((each, "0") for each in self.done), Counter([(self.refused, "4")])
        if self.status is None:
            return [Counter(), carried_out, turned_down]
        return [carried_out if self.status < 400 else turned_down]


@dataclass
class Registry:
    """A server that is killed and started again, and the ledger of everything that was asked of it."""

    folder: Path
    url: str
    seed: int
    ledger: dict[str, Asked] = field(default_factory=dict)
    up: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    server: LiveServer | None = None
    faults: list[str] = field(default_factory=list)

    def start(self) -> LiveServer:
        self.server = start_server(self.folder, self.url, workers=2)
        self.up.set()
        return self.server

    def kill(self) -> None:
        assert self.server is not None
        self.up.clear()
        os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait(20)


@pytest.fixture(params=DIALECTS)
def registry(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path) -> Iterator[Registry]:
    folder = tmp_path / "registry"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, request.param, folder)
    yield Registry(folder, next(copy), seed_of(request))
    next(copy, None)


def documents_of(server: LiveServer) -> list[tuple[str, str]]:
    """Current documents that the author and the patient see, with their Binary."""
    seen = []
    for persona in (AUTHOR, PATIENT):
        answer = requests.get(
            f"{server.base_url}/DocumentReference?{CLAIRE}&status=current&_count=200",
            headers=server.headers(persona),
            timeout=30,
        )
        resources = [each["resource"] for each in answer.json()["entry"]]
        addresses = [(each["id"], each["content"][0]["attachment"]["url"]) for each in resources if "content" in each]
        seen.append({(id_, url.rpartition("/")[2]) for id_, url in addresses if "/Binary/" in url})
    return sorted(seen[0] & seen[1])


class CallerThread(threading.Thread):
    """Sends its share of requests, one after the other; waits while the server is down."""

    def __init__(self, registry: Registry, name: str, share: int, documents: list[tuple[str, str]]) -> None:
        super().__init__(daemon=True)
        assert registry.server is not None
        self.registry, self.tag, self.share, self.documents = registry, name, share, documents
        self.draw = random.Random(f"{registry.seed}/{name}")
        self.session = requests.Session()
        self.tokens = {each: registry.server.token(each) for each in (AUTHOR, PATIENT)}

    def run(self) -> None:
        for number in range(self.share):
            self.registry.up.wait(120)
            self.ask(f"{self.tag}-{number}")

    def ask(self, request_id: str) -> None:
        asked = self.registry.ledger[request_id] = self.drawn(request_id)
        headers = {"X-Request-Id": request_id}
        if asked.persona:
            headers["Authorization"] = f"Bearer {self.tokens[asked.persona]}"
        if asked.body is not None:
            headers["Content-Type"] = asked.content_type
        assert self.registry.server is not None
        address = self.registry.server.base_url + asked.path
        try:
            answer = self.session.request(asked.method, address, data=asked.body, headers=headers, timeout=60)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
            self.session = requests.Session()
            return
        if answer.status_code == 503:
            return  # nothing is promised about its trace
        asked.status = answer.status_code
        self.registry.answered += 1
        if answer.status_code >= 500:
            self.registry.faults.append(f"{asked.method} {asked.path}: {answer.status_code}")

    def drawn(self, name: str) -> Asked:
        document, binary = self.draw.choice(self.documents)
        who = self.draw.choice((AUTHOR, PATIENT))
        kind = self.draw.choices(range(11), (30, 20, 10, 5, 8, 5, 4, 2, 8, 4, 4))[0]
        match kind:
            case 0:
                return Asked("GET", f"/DocumentReference/{document}", who, ("read",), "read")
            case 1:
                return Asked("GET", f"/Binary/{binary}", who, ("read",), "read")
            case 2:
                query = f"/List?{CLAIRE}&status=current&code=folder"
                return Asked("GET", query, who, ("search-type",), "search-type")
            case 3:
                return Asked("GET", "/AuditEvent?_count=1", PATIENT, ("search-type",), "search-type")
            case 4:
                return Asked("GET", f"/DocumentReference/{name}", who, (), "read")
            case 5:
                return Asked("GET", "/DocumentReference?nonsense=1", who, (), "search-type")
            case 6:
                return Asked("GET", f"/DocumentReference/{document}", None, (), "read")
            case 7:
                return Asked("GET", "/AuditEvent/$tree-head", who, ("operation",), "operation")
            case 8:
                change = orjson.dumps([archived(self.draw.random() < 0.5)])
                return Asked("PATCH", f"/DocumentReference/{document}", AUTHOR, ("patch",), "patch", change, PATCH)
            case 9:
                body = orjson.dumps(simple(name, name.encode()))
                return Asked("POST", "/DocumentReference", AUTHOR, ("create",) * 2, "create", body, JSON)
        contents = [self.draw.randbytes(200) for _ in range(self.draw.randint(1, 3))]
        body = orjson.dumps(lot(name, *contents))
        return Asked("POST", "", AUTHOR, ("create",) * (1 + len(contents)), "transaction", body, JSON)


@dataclass
class Verdict:
    report: Report
    missing: list[str] = field(default_factory=list)
    in_excess: list[str] = field(default_factory=list)


def campaign(registry: Registry, total: int, kills: int) -> Verdict:
    """All requests, with kills at random moments, then a clean end, and the log against the ledger."""
    documents = documents_of(registry.start())
    callers = [CallerThread(registry, f"c{n}", total // CALLERS, documents) for n in range(CALLERS)]
    for each in callers:
        each.start()
    draw = random.Random(registry.seed)
    for killed in range(kills):
        goal = total * (killed + draw.uniform(0.3, 0.9)) / (kills + 1)
        while registry.answered < goal and any(each.is_alive() for each in callers):
            time.sleep(0.005)
        registry.kill()
        assert log_of(registry)[0].proven, "right after a kill"
        registry.start()
    for each in callers:
        each.join(600)
    assert registry.server is not None
    stop_server(registry.server)
    return compared(registry)


def log_of(registry: Registry) -> tuple[Report, dict[str, Entries]]:
    """The verified log, and its entries by request."""
    database = reopened(registry.url, registry.folder)
    try:
        keys = HeadKeys(registry.folder / "keys").public()
        # A kill between a commit and the file outside leaves a head to be shipped by the next server.
        attach(database, registry.folder / "keys", registry.folder / "heads").sealing.ship()
        report = verify(database, keys, Witness(registry.folder / "heads"), system_clock())
        with database.snapshot() as reader:
            rows = [
                (interaction, outcome, open_body(reader.keys, record, event_place(record, name), body))
                for interaction, outcome, record, name, body in reader.rows(
                    "SELECT subtype, outcome, record_id, id, body FROM audit_event ORDER BY position"
                )
            ]
    finally:
        database.close()
    found: dict[str, Entries] = defaultdict(Counter)
    for interaction, outcome, body in rows:
        for request_id in _request_ids(orjson.loads(body)):
            found[request_id][interaction, outcome] += 1
    return report, found


def _request_ids(event: dict[str, Any]) -> list[str]:
    return [each["what"]["identifier"]["value"] for each in event["entity"] if each["type"]["code"] == "XrequestId"]


def compared(registry: Registry) -> Verdict:
    report, found = log_of(registry)
    verdict = Verdict(report)
    for request_id, asked in registry.ledger.items():
        entries = found.pop(request_id, Counter())
        if entries in asked.possible:
            continue
        line = f"{request_id} {asked.method} {asked.path} {asked.status}: {dict(entries)}"
        more = any(entries[each] > possible[each] for possible in asked.possible for each in entries)
        (verdict.in_excess if more else verdict.missing).append(line)
    own = tuple(f"c{n}-" for n in range(CALLERS))
    verdict.in_excess += [f"{request_id} was never asked" for request_id in found if request_id.startswith(own)]
    return verdict


def judge(registry: Registry, verdict: Verdict) -> None:
    count("G", "requests compared with the log", len(registry.ledger))
    count("G", "events missing", len(verdict.missing))
    count("G", "events in excess", len(verdict.in_excess))
    assert registry.faults == []
    assert verdict.report.findings == []
    assert (verdict.missing, verdict.in_excess) == ([], [])


def test_the_log_is_what_the_clients_saw(registry: Registry) -> None:
    verdict = campaign(registry, 300, 2)
    assert registry.answered > 200
    judge(registry, verdict)


@pytest.mark.campaign
def test_trace_campaign(registry: Registry, figures: Figures, request: pytest.FixtureRequest) -> None:
    verdict = campaign(registry, 10_000, 20)
    answered = Counter(str(each.status or "without answer") for each in registry.ledger.values())
    figures.add(
        f"the trace against what 20 callers saw, {request.node.callspec.params['registry']}",
        f"{len(registry.ledger)} requests ({registry.answered} answered: "
        + ", ".join(f"{number} {status}" for status, number in sorted(answered.items()))
        + f"), 20 kills; {verdict.report.entries} entries verified, {verdict.report.heads} signed heads",
        lost=len(verdict.missing),
        doubled=len(verdict.in_excess),
        half_written=len(verdict.report.findings),
        seed=registry.seed,
    )
    judge(registry, verdict)
