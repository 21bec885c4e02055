"""`api`: a registry with the demonstration world, in process; `http`: one served by two worker processes.

A registry serves all tests of a module, since copying the world costs more than most tests: the names of lots are those
of one test (`lots.oid`).
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from dmp_fhir.app import create_app
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.settings import Settings
from tests.conftest import DIALECTS
from tests.support.server import (
    BASE_URL,
    LiveServer,
    MakeApp,
    MakeToken,
    TickingClock,
    copy_of_world,
    start_server,
    stop_server,
)
from tests.writing import lots
from tests.writing.api import InProcess, OverHttp
from tests.writing.campaigns import Figures

_tests = itertools.count(1)


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lots, "scope", f"test {next(_tests)}")


@dataclass(frozen=True)
class Place:
    data_folder: Path
    database_url: str


@pytest.fixture(scope="module", params=DIALECTS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Path
) -> Iterator[Place]:
    """A copy of the world."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copytree(key_folder, folder / "keys")
    for url in copy_of_world(request, request.param, folder):
        yield Place(folder, url)


@pytest.fixture(scope="module")
def data_folder(place: Place) -> Path:
    return place.data_folder


@pytest.fixture(scope="module")
def seeded_url(place: Place) -> str:
    return place.database_url


@pytest.fixture(scope="module")
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture(scope="module")
def make_app(data_folder: Path, clock: TickingClock) -> Iterator[MakeApp]:
    made: list[Flask] = []

    def make(database_url: str) -> Flask:
        settings = Settings(database_url=database_url, data_folder=data_folder, base_url=BASE_URL)
        made.append(create_app(settings, clock))
        return made[-1]

    yield make
    for app in made:
        app.extensions["dmp_fhir"].database.close()


@pytest.fixture(scope="module")
def token(key_folder: Path, clock: TickingClock) -> MakeToken:
    sandbox = Sandbox(key_folder)
    return lambda persona, **claims: sandbox.issue(persona, now_ms=clock.now, **claims)


@pytest.fixture(scope="module")
def api(seeded_url: str, make_app: MakeApp, token: MakeToken) -> InProcess:
    return InProcess(make_app(seeded_url).test_client(), token)


@pytest.fixture(scope="module")
def two_workers(place: Place) -> Iterator[LiveServer]:
    server = start_server(place.data_folder, place.database_url, workers=2)
    yield server
    stop_server(server)


@pytest.fixture
def http(two_workers: LiveServer) -> OverHttp:
    return OverHttp(two_workers)


@pytest.fixture
def figures() -> Figures:
    return Figures()
