"""Reads and writes of one document by many clients, through two processes: linearizable (TF-191)."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.server import LiveServer, start_server, stop_server
from tests.writing.api import Answer, OverHttp
from tests.writing.campaigns import Figures, seed_of
from tests.writing.conftest import Place
from tests.writing.history import Operation, anomalies
from tests.writing.lots import archived, masked, simple, status

CLIENTS = 16


@pytest.fixture(scope="module")
def two_servers(place: Place) -> Iterator[tuple[LiveServer, LiveServer]]:
    """Two server processes on one registry, each with its own address."""
    servers = [start_server(place.data_folder, place.database_url) for _ in range(2)]
    yield servers[0], servers[1]
    for each in servers:
        stop_server(each)


def _state(answer: Answer) -> tuple[str, bool]:
    flags = [each.get("valueBoolean") for each in answer.tree.get("extension", [])]
    return answer.tree["meta"]["lastUpdated"], any(flags)


class _Client(threading.Thread):
    """Reads, writes, and asks for writes that fail, with a pause between."""

    def __init__(self, api: OverHttp, document: str, seed: str, pause: float, until: float) -> None:
        super().__init__(daemon=True)
        self.api, self.path, self.document = api, f"/DocumentReference/{document}", document
        self.random, self.pause, self.until = random.Random(seed), pause, until
        self.seen: list[Operation] = []
        self.tally: Counter[str] = Counter()

    def run(self) -> None:
        while time.monotonic() < self.until:
            drawn = self.random.random()
            began = time.monotonic()
            if drawn < 0.45:
                answer = self.api.get(self.path)
                self._note("read", answer, began)
            elif drawn < 0.8:
                answer = self.api.patch(self.document, archived(self.random.random() < 0.5))
                self._note("write", answer, began)
            else:
                self._fail()
            time.sleep(self.random.uniform(0, 2 * self.pause))

    def _note(self, kind: str, answer: Answer, began: float) -> None:
        ended = time.monotonic()
        if answer.status == 200:
            self.seen.append(Operation(kind, began, ended, answer.version, _state(answer)))
        self.tally[f"{kind} {answer.status}"] += 1

    def _fail(self) -> None:
        """A version that is gone, a status that does not exist, a mask that is not the author's to set."""
        change, headers, expected = self.random.choice(
            [
                (archived(True), {"If_Match": 'W/"999999"'}, 412),
                (status("nonsense"), {}, 422),
                (masked(), {}, 403),
            ]
        )
        answer = self.api.patch(self.document, change, **headers)
        self.tally["failing write" if answer.status == expected else f"failing write answered {answer.status}"] += 1


def _run(
    servers: tuple[LiveServer, LiveServer], name: str, seed: int, pause: float, seconds: float
) -> tuple[list[Operation], Counter[str]]:
    """One document, many clients; every operation of all, and how many there were."""
    apis = [OverHttp(each) for each in servers]
    created = apis[0].publish(simple(f"{name}-{seed}"))
    document = created.tree["id"]
    until = time.monotonic() + seconds
    clients = [_Client(apis[n % 2], document, f"{seed}/{n}", pause, until) for n in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(seconds + 60)
    operations = [operation for each in clients for operation in each.seen]
    tally = sum((each.tally for each in clients), Counter[str]())
    history = apis[1].get(f"/DocumentReference/{document}/_history?_count=1").tree["entry"]
    newest = int(history[0]["resource"]["meta"]["versionId"])
    assert newest == max((each.version for each in operations), default=1)
    return operations, tally


def _wrong(tally: Counter[str]) -> dict[str, int]:
    return {name: each for name, each in tally.items() if name not in ("read 200", "write 200", "failing write")}


@pytest.mark.parametrize("pause", [0.01, 0.1])
def test_one_document_is_one_register(
    request: pytest.FixtureRequest, two_servers: tuple[LiveServer, LiveServer], pause: float
) -> None:
    operations, tally = _run(two_servers, f"register {pause}", seed_of(request), pause, 2.0)
    assert _wrong(tally) == {}
    assert tally["failing write"] > 0
    assert len({each.version for each in operations}) > 5
    assert anomalies(operations) == []


@pytest.mark.campaign
def test_register_campaign(
    request: pytest.FixtureRequest, two_servers: tuple[LiveServer, LiveServer], place: Place, figures: Figures
) -> None:
    number = seed_of(request)
    count, failing, found = 0, 0, 0
    for n in range(20):
        operations, tally = _run(two_servers, f"campaign {n}", number + n, (0.01, 0.1)[n % 2], 10.0)
        assert _wrong(tally) == {}
        count, failing = count + len(operations), failing + tally["failing write"]
        found += len(anomalies(operations))
    dialect = place.database_url.partition(":")[0]
    counted = f"20 runs of 10 s, {count} reads and writes, {failing} failing writes, {found} anomalies"
    figures.add(f"linearizable register (TF-191), {dialect}", counted, seed=number)
    assert found == 0


# --- the checker itself -----------------------------------------------------------------------------


def _history(*rows: tuple[str, float, float, int, str]) -> list[Operation]:
    return [Operation(*row) for row in rows]


GOOD = _history(
    ("write", 0, 2, 2, "a"),
    ("read", 0, 3, 1, "z"),
    ("write", 1, 4, 3, "b"),
    ("read", 3, 5, 3, "b"),
    ("read", 3.5, 6, 2, "a"),
)


def test_an_explained_history_has_no_anomaly() -> None:
    """A read may be ordered before a write that it overlaps."""
    assert anomalies(GOOD) == []


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("read", 4.5, 5, 2, "a"), "began after version 3"),
        (("write", 4.5, 5, 3, "b"), ""),
        (("read", 3, 5, 3, "c"), "two states"),
        (("read", 3, 5, 4, "d"), "nobody wrote"),
        (("write", 3, 5, 5, "d"), "version 4 missing"),
    ],
    ids=["stale read", "repeated write", "two states", "dirty read", "hole"],
)
def test_an_anomaly_is_noticed(more: tuple[str, float, float, int, str], named: str) -> None:
    found = anomalies([*GOOD, *_history(more)])
    assert bool(found) == bool(named)
    assert all(named in each for each in found)
