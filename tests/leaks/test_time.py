"""TF-153 against a real server, on one connection: hidden and random ids in turn. The same bytes, the same headers in
the same order, the connection kept as long; and, in the campaign, the times of both."""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import NormalDist, median
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from dmp_fhir.store.database import Database
from tests.conftest import DIALECTS
from tests.rest.bodies import CLAIRE
from tests.rest.caller import JSON_PATCH
from tests.support import tally
from tests.support.server import copy_of_world, start_server, stop_server

SHARE, CAMPAIGN = 4, 1_000
# Masked in Claire's record to Dr Petit, who may read the others.
WHO, UNIQUE, MASKED, NOBODYS = "dr-petit", "urn:oid:2.16.840.1.113883.19.250.1.", "1.9", "8.9"
STATUS = json.dumps([{"op": "test", "path": "/status", "value": "superseded"}]).encode()
_NAMES = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|19\.250\.[0-9.]+|\.[0-9]{5}\b")
_OWN = re.compile(r"(?i)x-request-id|date")


@dataclass
class Line:
    """One connection to a server, kept open as long as the server does."""

    address: str
    token: str
    connection: HTTPConnection = field(init=False)
    opened: int = 0

    def __post_init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self.connection, self.opened = HTTPConnection(urlsplit(self.address).netloc, timeout=30), self.opened + 1

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[float, tuple[Any, ...]]:
        """(seconds, what is seen of the answer)."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": JSON_PATCH} if body else {})
        started = time.perf_counter()
        self.connection.request(method, f"/fhir/{path}", body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        elapsed = time.perf_counter() - started
        kept = [(name, "" if _OWN.fullmatch(name) else value) for name, value in answer.getheaders()]
        if answer.will_close:
            self.connection.close()
            self._open()
        return elapsed, (answer.status, kept, answer.will_close, _NAMES.sub(b"name", content))


@dataclass(frozen=True)
class Way:
    """A way to ask for a document: by `name`, that of the hidden one or a random one of the same form."""

    ask: Callable[[Line, str], tuple[float, tuple[Any, ...]]]
    hidden: Callable[[tuple[str, str]], str]
    chance: Callable[[], str]


def _by(method: str, path: str, body: bytes | None = None) -> Callable[[Line, str], tuple[float, tuple[Any, ...]]]:
    return lambda line, name: line.ask(method, path.format(name), body)


def _other_unique_id() -> str:
    return f"{UNIQUE}8.{secrets.randbelow(9) + 1}"


def _id(ids: tuple[str, str]) -> str:
    return ids[0]


def _content(ids: tuple[str, str]) -> str:
    return ids[1]


def _unique(_: tuple[str, str]) -> str:
    return UNIQUE + MASKED


def _any_id() -> str:
    return str(uuid.uuid4())


PATIENT = f"patient.identifier={quote(CLAIRE)}"
URI = quote("urn:ietf:rfc:3986|")
PATHS = {
    "read": Way(_by("GET", "DocumentReference/{}"), _id, _any_id),
    "vread": Way(_by("GET", "DocumentReference/{}/_history/1"), _id, _any_id),
    "history": Way(_by("GET", "DocumentReference/{}/_history"), _id, _any_id),
    "content": Way(_by("GET", "{}"), _content, lambda: f"Binary/{_any_id()}"),
    "patch": Way(_by("PATCH", "DocumentReference/{}", STATUS), _id, _any_id),
    "delete": Way(_by("DELETE", "DocumentReference/{}"), _id, _any_id),
    "patch by identifier": Way(
        _by("PATCH", f"DocumentReference?identifier={URI}{{}}", STATUS), _unique, _other_unique_id
    ),
    "search by identifier": Way(_by("GET", f"DocumentReference?identifier={URI}{{}}"), _unique, _other_unique_id),
    "search in the record": Way(
        _by("GET", f"DocumentReference?{PATIENT}&identifier={URI}{{}}"), _unique, _other_unique_id
    ),
    "search by id": Way(_by("GET", f"DocumentReference?{PATIENT}&_id={{}}"), _id, _any_id),
}


@contextmanager
def serving(
    request: pytest.FixtureRequest, dialect: str, folder: Path, keys: Path
) -> Iterator[tuple[Line, tuple[str, str]]]:
    data = folder / "data"
    shutil.copytree(keys, data / "keys")
    copy = copy_of_world(request, dialect, data)
    url = next(copy)
    database = Database.open(url)
    with database.snapshot() as reader:
        ((document,),) = reader.rows(
            "SELECT resource_id FROM unique_identifier WHERE value = :value", {"value": UNIQUE + MASKED}
        )
        ((kind, payload),) = reader.rows(
            "SELECT resource_type, id FROM payload WHERE document_id = :name", {"name": document}
        )
    database.close()
    rates = {"DMP_FHIR_PERSON_RATE": "10000", "DMP_FHIR_CLIENT_RATE": "10000"}
    server = start_server(data, url, workers=1, DMP_FHIR_LOG_LEVEL="critical", **rates)
    line = Line(server.base_url, server.token(WHO, lifetime_s=3_600))
    try:
        yield line, (document, f"{kind}/{payload}")
    finally:
        line.connection.close()
        stop_server(server)
        next(copy, None)


def compared(
    line: Line, path: Way, ids: tuple[str, str], number: int, chance: random.Random
) -> dict[bool, list[float]]:
    """`number` of each, in an order of chance; the times of the hidden (True) and of the missing."""
    times: dict[bool, list[float]] = {True: [], False: []}
    turns = [True, False] * number
    chance.shuffle(turns)
    opened, seen = line.opened, set()
    for hidden in turns:
        elapsed, answer = path.ask(line, path.hidden(ids) if hidden else path.chance())
        times[hidden].append(elapsed)
        seen.add(repr(answer))
    assert len(seen) == 1, seen
    assert line.opened == opened
    return times


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bytes_of_a_real_server(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path, dialect: str) -> None:
    with serving(request, dialect, tmp_path, key_folder) as (line, ids):
        for path in PATHS.values():
            compared(line, path, ids, SHARE, random.Random(153))
            tally.count("F", "hidden and missing compared on one connection", 2 * SHARE)


def two_samples(one: list[float], other: list[float]) -> float:
    """The probability of a difference as large by chance: Mann-Whitney U, two-sided, by the normal approximation."""
    ranks: dict[float, float] = {}
    ordered = sorted([*one, *other])
    for n, value in enumerate(ordered):
        ranks.setdefault(value, n + 1)
    total, expected = sum(ranks[each] for each in one), len(one) * (len(ordered) + 1) / 2
    spread = (len(one) * len(other) * (len(ordered) + 1) / 12) ** 0.5
    return 2 * (1 - NormalDist().cdf(abs(total - expected) / spread))


def test_two_samples_tell_what_differs() -> None:
    chance = random.Random(153)
    drawn = [chance.gauss(5, 1) for _ in range(2_000)]
    assert two_samples(drawn[:1_000], drawn[1_000:]) > 0.001
    assert two_samples(drawn[:1_000], [each + 0.3 for each in drawn[1_000:]]) < 0.001


MOST_S = 0.005


@pytest.mark.campaign
@pytest.mark.parametrize("dialect", DIALECTS)
def test_times_tell_nothing(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path, dialect: str) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbits(31))
    chance = random.Random(seed)
    found = {}
    with serving(request, dialect, tmp_path, key_folder) as (line, ids):
        for name, path in PATHS.items():
            compared(line, path, ids, SHARE, chance)  # statements are prepared
            times = compared(line, path, ids, CAMPAIGN, chance)
            medians = {hidden: median(each) for hidden, each in times.items()}
            found[name] = (two_samples(times[True], times[False]), medians[True] - medians[False], medians[False])
            print(
                f"{dialect} seed={seed} {name}: median of the missing {medians[False] * 1000:.2f} ms,"
                f" difference {found[name][1] * 1e6:+.0f} µs, p = {found[name][0]:.3f}"
            )
    # How likely the differences are by chance is for benchmarks/campaigns.md: decision 0049 says what is left of them.
    assert all(abs(difference) < MOST_S for _, difference, _ in found.values()), found
