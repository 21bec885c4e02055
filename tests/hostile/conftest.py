"""A server on the demonstration world, one per database for the hostile tests of a run, which leave it as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from dmp_fhir.app import create_app
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.settings import Settings
from tests.conftest import DIALECTS
from tests.hostile.target import Target
from tests.support.server import BASE_URL, TickingClock, copy_of_world


def open_target(request: pytest.FixtureRequest, dialect: str, factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A target on its own copy of the world; closed when asked for another."""
    folder = factory.mktemp(f"hostile_{dialect}")
    shutil.copytree(request.getfixturevalue("key_folder"), folder / "keys")
    copy = copy_of_world(request, dialect, folder)
    clock = TickingClock()
    settings = Settings(database_url=next(copy), data_folder=folder, base_url=BASE_URL)
    target = Target(create_app(settings, clock), Sandbox(folder / "keys"), clock, folder / "documents")
    target.canaries = foreign_canaries(target)
    yield target
    target.close()
    next(copy, None)


def foreign_canaries(target: Target) -> set[str]:
    """What dr-moreau may never see: the documents of Lucia Orsini, by id, title and number."""
    bundle = target.resource("GET", "/DocumentReference?_count=50", by="patient-lucia-orsini")
    documents = [entry["resource"] for entry in bundle["entry"]]
    assert len(documents) > 3
    found = set()
    for each in documents:
        attachment = each["content"][0]["attachment"]
        found |= {each["id"], each["masterIdentifier"]["value"] + '"', attachment["url"].rpartition("/")[2]}
    return found


@pytest.fixture(scope="session")
def sqlite_target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    yield from open_target(request, "sqlite", tmp_path_factory)


@pytest.fixture(scope="session")
def postgresql_target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    yield from open_target(request, "postgresql", tmp_path_factory)


@pytest.fixture
def target(sqlite_target: Target) -> Target:
    """For what ends before the database: SQLite alone."""
    sqlite_target.area = "C"
    return sqlite_target


@pytest.fixture(params=DIALECTS)
def each_target(request: pytest.FixtureRequest) -> Target:
    """For what may reach the database: both."""
    found: Target = request.getfixturevalue(f"{request.param}_target")
    found.area = "C"
    return found
