"""Databases for the tests: every test that asks for one runs on SQLite and on PostgreSQL, each time on a fresh copy.

`database_url` is a migrated, empty database; `database` the same, opened, with keys; `payloads` a folder of document
payloads. A
PostgreSQL that does not start is a failure, never a skip.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dmp_fhir.store import schema
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore
from tests.support.keys import make_keys, with_keys
from tests.support.postgres import PostgresServer

pytest_plugins = ["tests.support.server", "tests.support.tally"]

# A busy machine is no fault of the code under test: examples have no deadline, drawing them may be slow.
settings.register_profile("dmp", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dmp")

DIALECTS = ("sqlite", "postgresql")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a migrated database to copy."""
    schema.upgrade(postgres_server.create_database("template_dmp"))
    return "template_dmp"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=DIALECTS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"empty_{next(_numbers)}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database with nothing in it but the directory's row."""
    if request.param == "sqlite":
        path = tmp_path / "registry.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template = request.getfixturevalue("postgres_template")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"registry_{next(_numbers)}"
    yield server.create_database(name, template)
    server.drop_database(name)


@pytest.fixture(scope="session")
def key_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys to copy."""
    return make_keys(tmp_path_factory.mktemp("record_keys"))


@pytest.fixture
def database(database_url: str, key_template: Path, tmp_path: Path) -> Iterator[Database]:
    opened = with_keys(database_url, key_template, tmp_path / "record_keys")
    yield opened
    opened.close()


@pytest.fixture
def payloads(tmp_path: Path) -> PayloadStore:
    return PayloadStore(tmp_path / "payloads")
