"""The process killed at named points of a request (TF-201): what was not acknowledged is whole or absent, what comes
after works, and the same request sent again ends what was begun."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dmp_fhir.store.check import check
from dmp_fhir.store.payloads import PayloadStore
from tests.support.keys import reopened
from tests.writing.api import JSON, InProcess
from tests.writing.campaigns import Figures, seed_of
from tests.writing.conftest import Place
from tests.writing.failpoints import POINTS, Registry
from tests.writing.ledger import Entry, Ledger, audit
from tests.writing.lots import archived, body, lot, oid, simple

Act = tuple[str, str, str, bytes]
DEPOSITS = ("lot", "simple", "replace")
CHANGES = ("patch", "delete")
NEVER = 100_000


@dataclass
class Scene:
    """One registry, its ledger, and the program that is killed."""

    registry: Registry
    api: InProcess
    url: str
    folder: Path
    payloads: PayloadStore
    ledger: Ledger
    random: random.Random
    number: int = 0

    def findings(self) -> list[str]:
        database = reopened(self.url, self.folder)
        try:
            return check(database, self.payloads)
        finally:
            database.close()

    def name(self, act: str) -> str:
        self.number += 1
        return f"failpoint {self.number} {act}"

    def published(self, name: str) -> str:
        answer = self.api.publish(simple(name))
        assert answer.status == 201, answer.content
        return str(answer.tree["id"])

    def version(self, document: str) -> tuple[str, int]:
        """Status and version of a document, by its row."""
        database = reopened(self.url, self.folder)
        try:
            with database.snapshot() as reader:
                row = reader.row("SELECT status, version FROM document WHERE id = :id", {"id": document})
        finally:
            database.close()
        assert row
        return row[0], row[1]


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, place: Place, api: InProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    registry = Registry(place.data_folder, place.database_url)
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    payloads = PayloadStore(place.data_folder / "documents")
    # Bytes of their own for each test: what is in place already is not written again.
    drawn = random.Random(f"{seed_of(request)}/{request.node.name}")
    yield Scene(registry, api, place.database_url, place.data_folder, payloads, ledger, drawn)
    registry.close()
    ledger.close()


# --- deposits ---------------------------------------------------------------------------------------


def _deposit(scene: Scene, act: str) -> tuple[Entry, Act]:
    """A submission that was never sent, with bytes of its own."""
    name = scene.name(act)
    contents = [scene.random.randbytes(scene.random.randint(1, 5_000)) for _ in range(2 if act == "lot" else 1)]
    entry = Entry(name, "simple" if act == "simple" else "lot", contents)
    tree = entry.body()
    if act == "replace":
        old = f"{name} before"
        scene.published(old)
        tree = lot(name, *contents, replaces=oid(old))
    return entry, ("POST", "/DocumentReference" if act == "simple" else "", JSON, body(tree))


def kill_a_deposit(scene: Scene, act: str, point: str, count: int) -> bool:
    """False when the point is not reached that often. What is stored is none of it, or after the commit all of it; sent
    again, the lot is there once."""
    entry, sent = _deposit(scene, act)
    scene.ledger.sent(entry)
    answer = scene.registry.ask(sent, point, count)
    killed = answer.get("killed") == 9
    assert killed or answer.get("status") in (200, 201), answer
    verdict = audit(scene.api, scene.url, scene.folder, scene.ledger, [entry.name])
    assert verdict.clean, (act, point, count, verdict)
    assert scene.findings() == []
    stored = bool(scene.api.found(entry.document_keys[0]))
    expected = not killed or (point == "committed, not answered")
    assert stored == expected, (act, point, count)
    again = scene.registry.ask(sent)
    assert again["status"] in (200, 201), again
    scene.ledger.acknowledged(entry, [scene.api.found(key)[0]["id"] for key in entry.document_keys])
    verdict = audit(scene.api, scene.url, scene.folder, scene.ledger, [entry.name])
    assert verdict.clean, (act, point, count, verdict)
    return killed


# --- changes ----------------------------------------------------------------------------------------


def kill_a_change(scene: Scene, act: str, point: str, count: int) -> bool:
    """The same for a change of one document: the version before, or after the commit the next one."""
    document = scene.published(scene.name(act))
    path = f"/DocumentReference/{document}"
    patch = ("PATCH", path, "application/json-patch+json", json.dumps([archived(True)]).encode())
    sent: Act = patch if act == "patch" else ("DELETE", path, "", b"")
    before, after = ("current", 1), ("current" if act == "patch" else "entered-in-error", 2)
    assert scene.version(document) == before
    answer = scene.registry.ask(sent, point, count)
    killed = answer.get("killed") == 9
    assert killed or answer.get("status") in (200, 204), answer
    expected = after if not killed or point == "committed, not answered" else before
    assert scene.version(document) == expected, (act, point, count)
    assert scene.findings() == []
    verdict = audit(scene.api, scene.url, scene.folder, scene.ledger, [])
    assert verdict.clean, (act, point, count, verdict)
    again = scene.registry.ask(sent)["status"]
    assert again in ((200,) if act == "patch" else (204, 404)), again
    assert scene.version(document) == after
    return killed


def kill(scene: Scene, act: str, point: str, count: int) -> bool:
    return (kill_a_deposit if act in DEPOSITS else kill_a_change)(scene, act, point, count)


def every_point(scene: Scene, act: str) -> Iterator[tuple[str, int]]:
    """Each point as often as a request of that kind passes it, found out by one that is not killed."""
    if act in DEPOSITS:
        entry, sent = _deposit(scene, act)
        scene.ledger.sent(entry)
    else:
        path = f"/DocumentReference/{scene.published(scene.name(act))}"
        kind, content = "application/json-patch+json", json.dumps([archived(True)]).encode()
        sent = ("PATCH", path, kind, content) if act == "patch" else ("DELETE", path, "", b"")
    reached = scene.registry.ask(sent, "nowhere", NEVER)["reached"]
    for point in POINTS:
        for count in range(1, reached.get(point, 0) + 1):
            yield point, count


@pytest.mark.parametrize("act", [*DEPOSITS, *CHANGES])
def test_killed_at_a_point(scene: Scene, act: str) -> None:
    """Every named point once, and some of the statements."""
    points = list(every_point(scene, act))
    reached = Counter(point for point, _ in points)
    files = {each for each in POINTS if "bytes" in each}
    assert set(reached) == set(POINTS) - (files if act in CHANGES else set())
    assert reached["statement"] >= 3
    statements = [each for each in points if each[0] == "statement"]
    others = [each for each in points if each[0] != "statement"]
    for point, count in others + scene.random.sample(statements, 2):
        assert kill(scene, act, point, count), (point, count)


@pytest.mark.campaign
def test_failpoint_campaign(request: pytest.FixtureRequest, scene: Scene, figures: Figures) -> None:
    """Every point, each statement included, of every kind of request, several times over."""
    rounds, kills, points = 5, 0, Counter[str]()
    for act in (*DEPOSITS, *CHANGES):
        for point, count in list(every_point(scene, act)):
            points[act] += 1
            for _ in range(rounds):
                kills += kill(scene, act, point, count)
    counted = f"{kills} kills: {sum(points.values())} points × {rounds} ({dict(points)})"
    figures.add(
        f"process killed at named points (TF-201), {scene.url.partition(':')[0]}", counted, seed=seed_of(request)
    )
    assert kills == rounds * sum(points.values())
