"""The process killed at each step between an act and its entry (TF-167): of a write both are there or neither, and a
read is answered only once its entry is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dmp_fhir.store.database import Database
from tests.support.keys import reopened
from tests.support.tally import count
from tests.writing.api import JSON, InProcess
from tests.writing.campaigns import Figures, seed_of
from tests.writing.conftest import Place
from tests.writing.failpoints import Registry
from tests.writing.lots import CLAIRE_INS, archived, body, lot, simple

Act = tuple[str, str, str, bytes]
CLAIRE = f"urn:oid:1.2.250.1.213.1.4.10%7C{CLAIRE_INS}"
READS = ("read", "retrieve", "search", "refused")
WRITES = ("lot", "simple", "patch")
POINTS = ("before begin", "statement", "before commit", "committed, not answered")


@dataclass
class Scene:
    """One registry, the program that is killed, and what its tables hold."""

    registry: Registry
    api: InProcess
    database: Database
    document: str = ""
    binary: str = ""
    number: int = 0
    kills: int = 0
    mismatches: list[str] = field(default_factory=list)

    def held(self) -> tuple[int, int]:
        """Versions of resources, and entries of the trace."""
        with self.database.snapshot() as reader:
            row = reader.row("SELECT (SELECT COUNT(*) FROM resource_version), (SELECT COUNT(*) FROM audit_event)")
        assert row
        return int(row[0]), int(row[1])

    def act(self, name: str) -> Act:
        self.number += 1
        match name:
            case "read":
                return "GET", f"/DocumentReference/{self.document}", "", b""
            case "retrieve":
                return "GET", f"/Binary/{self.binary}", "", b""
            case "search":
                return "GET", f"/DocumentReference?patient.identifier={CLAIRE}&_count=1", "", b""
            case "refused":
                return "GET", "/DocumentReference/none", "", b""
            case "lot":
                return "POST", "", JSON, body(lot(f"killed {self.number}", str(self.number).encode()))
            case "simple":
                return "POST", "/DocumentReference", JSON, body(simple(f"killed {self.number}"))
        with self.database.snapshot() as reader:
            row = reader.row("SELECT archived FROM document WHERE id = :id", {"id": self.document})
        change = json.dumps([archived(not (row and row[0]))]).encode()  # what changes nothing makes no version
        return "PATCH", f"/DocumentReference/{self.document}", "application/json-patch+json", change

    def kill(self, name: str, point: str, which: int) -> bool:
        """Send the act and be killed at the point; False when the point is not reached that often."""
        before = self.held()
        answer = self.registry.ask(self.act(name), point, which)
        after = self.held()
        done, traced = after[0] > before[0], after[1] > before[1]
        killed = answer.get("killed") == 9
        right = traced and done == (name in WRITES)
        if killed:
            self.kills += 1
            kept = point == "committed, not answered"
            right = (done, traced) == (kept and name in WRITES, kept)
        if not right:
            self.mismatches.append(f"{name} at {point} {which}: {answer} done {done}, traced {traced}")
        return killed


@pytest.fixture
def scene(place: Place, api: InProcess) -> Iterator[Scene]:
    published = api.publish(simple("killed later"))
    assert published.status == 201
    database = reopened(place.database_url, place.data_folder)
    registry = Registry(place.data_folder, place.database_url)
    binary = published.tree["content"][0]["attachment"]["url"].rpartition("/")[2]
    yield Scene(registry, api, database, published.tree["id"], binary)
    registry.close()
    database.close()


def judge(scene: Scene) -> None:
    count("G", "kills between act and entry", scene.kills)
    count("G", "acts and entries that do not match", len(scene.mismatches))
    assert scene.mismatches == []


def test_act_and_entry_are_both_there_or_neither(scene: Scene) -> None:
    for name in ("read", "refused", "simple", "patch"):
        for point in POINTS:
            assert scene.kill(name, point, 1), (name, point)
    judge(scene)


@pytest.mark.campaign
def test_trace_kill_campaign(request: pytest.FixtureRequest, scene: Scene, figures: Figures) -> None:
    """Every step of every kind of act, so often that there are 500 kills on each database."""
    rounds = 0
    while scene.kills < 500:
        rounds += 1
        for name in (*READS, *WRITES):
            for point in POINTS:
                which = 1
                while scene.kill(name, point, which):
                    which += 1
    figures.add(
        f"process killed between act and entry (TF-167), {scene.database.dialect}",
        f"{scene.kills} kills, {rounds} rounds of every step of {len(READS)} reads and {len(WRITES)} writes",
        lost=len(scene.mismatches),
        seed=seed_of(request),
    )
    judge(scene)
