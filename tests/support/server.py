"""A whole server for tests: in process through Flask's test client, or as a real process on a free port.

`seeded_url` is a copy of a database that holds the demonstration world, its documents in `data_folder`; `make_app`
builds the application on any database; `client` is a test client on the seeded world; `token` signs access tokens of
the sandbox; `live_server` is Granian on a free port with its own data folder, started once per module. Everything that
names a database runs on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from dmp_fhir.app import build_services, create_app
from dmp_fhir.cli.loading import Loader, world_files
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.instants import Clock, system_clock
from dmp_fhir.settings import Settings
from tests.conftest import DIALECTS

# After the last act of the demonstration world; tests do not depend on the day they run.
START = int(datetime.fromisoformat("2026-11-22T08:00:00Z").timestamp() * 1000)
BASE_URL = "http://127.0.0.1:8000/fhir"
START_SECONDS = 30
_numbers = itertools.count(1)

MakeApp = Callable[..., Flask]
MakeToken = Callable[..., str]


class TickingClock:
    """One millisecond per reading; `advance` to let time pass."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def advance(self, *, seconds: int) -> None:
        self.now += seconds * 1000


@dataclass(frozen=True)
class LiveServer:
    """A server process: `base_url` is its FHIR endpoint."""

    base_url: str
    data_folder: Path
    database_url: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def token(self, persona: str, **claims: Any) -> str:
        """An access token of the sandbox for a persona, by the real clock."""
        return Sandbox(self.data_folder / "keys").issue(persona, now_ms=system_clock(), **claims)

    def headers(self, persona: str, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(persona, **claims)}"}


# --- the demonstration world, fed once and copied --------------------------------------------------


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of the sandbox, shared by every application of the run: a key pair takes time to make."""
    folder = tmp_path_factory.mktemp("keys")
    Sandbox(folder)
    return folder


def _feed(url: str, folder: Path, keys: Path) -> None:
    shutil.copytree(keys, folder / "keys", dirs_exist_ok=True)
    services = build_services(Settings(data_folder=folder, database_url=url))
    try:
        loader = Loader(services, None)
        loader.load(world_files())
    finally:
        services.database.close()
    if loader.refused:
        raise RuntimeError(f"the demonstration world is refused: {loader.refused}")


@pytest.fixture(scope="session")
def sqlite_world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, key_folder: Path) -> Path:
    """A data folder that holds the world: `registry.sqlite` and `documents/`."""
    folder = tmp_path_factory.mktemp("sqlite_world")
    shutil.copy(sqlite_template, folder / "registry.sqlite")
    _feed(f"sqlite:///{folder}/registry.sqlite", folder, key_folder)
    return folder


@pytest.fixture(scope="session")
def postgres_world(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: Any, postgres_template: str, key_folder: Path
) -> Path:
    """A data folder with the documents of the world, whose database is `template_world`."""
    folder = tmp_path_factory.mktemp("postgres_world")
    _feed(postgres_server.create_database("template_world", postgres_template), folder, key_folder)
    return folder


def copy_of_world(request: pytest.FixtureRequest, dialect: str, folder: Path) -> Iterator[str]:
    """A copy of the world with its documents in `folder`; its database's address."""
    world: Path = request.getfixturevalue("sqlite_world" if dialect == "sqlite" else "postgres_world")
    shutil.copytree(world / "keys", folder / "keys", dirs_exist_ok=True)
    # Documents are never changed, so a link is as good as a copy.
    shutil.copytree(world / "documents", folder / "documents", copy_function=os.link, dirs_exist_ok=True)
    if dialect == "sqlite":
        shutil.copy(world / "registry.sqlite", folder / "registry.sqlite")
        yield f"sqlite:///{folder}/registry.sqlite"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"world_{next(_numbers)}"
    yield server.create_database(name, "template_world")
    server.drop_database(name)


# --- in process ------------------------------------------------------------------------------------


@pytest.fixture
def data_folder(tmp_path: Path, key_folder: Path) -> Path:
    """The data folder of the applications of one test."""
    folder = tmp_path / "data"
    shutil.copytree(key_folder, folder / "keys")
    folder.chmod(0o700)
    return folder


@pytest.fixture(params=DIALECTS)
def seeded_url(request: pytest.FixtureRequest, data_folder: Path) -> Iterator[str]:
    """A database with the demonstration world in it; the documents are in `data_folder`."""
    yield from copy_of_world(request, request.param, data_folder)


@pytest.fixture
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def make_app(data_folder: Path, clock: TickingClock) -> Iterator[MakeApp]:
    """`make_app(database_url, **settings)`: an application on that database, with the clock of the test."""
    made: list[Flask] = []

    def make(database_url: str, *, with_clock: Clock = clock, **settings: Any) -> Flask:
        values = {"data_folder": data_folder, "base_url": BASE_URL} | settings
        app = create_app(Settings(database_url=database_url, **values), with_clock)
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions["dmp_fhir"].database.close()


@pytest.fixture
def client(make_app: MakeApp, seeded_url: str) -> FlaskClient:
    """A test client on the demonstration world, with the default settings; the endpoint is /fhir."""
    return make_app(seeded_url).test_client()


@pytest.fixture
def token(key_folder: Path, clock: TickingClock) -> MakeToken:
    """`token(persona, **claims)`: an access token of the sandbox (claims: `identity.sandbox.claims_of`)."""
    sandbox = Sandbox(key_folder)

    def sign(persona: str, **claims: Any) -> str:
        return sandbox.issue(persona, now_ms=clock.now, **claims)

    return sign


@pytest.fixture
def production(tmp_path: Path, clock: TickingClock) -> tuple[dict[str, Any], MakeToken]:
    """Settings of a production profile, and tokens of the issuer it trusts: the cast under another issuer's name."""
    folder = tmp_path / "issuer"
    issuer = Sandbox(folder, issuer="https://issuer.example")
    file = folder / "issuers.json"
    file.write_text(json.dumps([{"issuer": issuer.issuer, "audience": issuer.audience, "jwks": issuer.jwks()}]))
    settings = {"profile": "production", "base_url": "https://dmp.example/fhir", "issuers_file": str(file)}
    settings["bound_tokens"] = "when-bound"  # its tokens are bound to no certificate
    return settings, lambda persona, **claims: issuer.issue(persona, now_ms=clock.now, **claims)


# --- as a process ----------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def begin_to_serve(
    data_folder: Path, database_url: str, *, workers: int = 1, options: Sequence[str] = (), **environment: str
) -> LiveServer:
    """`dmp-fhir serve` on a free port, or that of DMP_FHIR_BASE_URL; still starting."""
    base_url = environment.setdefault("DMP_FHIR_BASE_URL", f"http://127.0.0.1:{free_port()}/fhir")
    port = str(urlsplit(base_url).port)
    settings = {"DMP_FHIR_DATA": str(data_folder), "DATABASE_URL": database_url}
    log = (data_folder / "server.log").open("ab")
    process = subprocess.Popen(
        [Path(sys.executable).with_name("dmp-fhir"), "serve", "--port", port, "--workers", str(workers), *options],
        env=os.environ | settings | environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    log.close()
    return LiveServer(base_url, data_folder, database_url, process)


def start_server(
    data_folder: Path, database_url: str, *, workers: int = 1, authority: str | None = None, **more: Any
) -> LiveServer:
    """`dmp-fhir serve`, as `begin_to_serve` begins it; answers when this returns, over https with a certificate of
    `authority`. `stop_server` ends it."""
    server = begin_to_serve(data_folder, database_url, workers=workers, **more)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(f"{server.base_url}/metadata", timeout=5, verify=authority)
            return server
        except requests.ConnectionError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                stop_server(server)
                raise RuntimeError((data_folder / "server.log").read_text(errors="replace")) from None
            time.sleep(0.05)


def stop_server(server: LiveServer) -> None:
    server.process.terminate()
    try:
        server.process.wait(20)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait(20)


@contextmanager
def world_server(request: pytest.FixtureRequest, dialect: str, folder: Path, **how: Any) -> Iterator[LiveServer]:
    """A server process on a copy of the demonstration world in `folder`; `how` as `start_server` takes it."""
    copy = copy_of_world(request, dialect, folder)
    server = start_server(folder, next(copy), **how)
    try:
        yield server
    finally:
        stop_server(server)
        next(copy, None)


@pytest.fixture(scope="module", params=DIALECTS)
def live_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server process on a copy of the demonstration world, one per module and database."""
    with world_server(request, request.param, tmp_path_factory.mktemp("live")) as server:
        yield server
