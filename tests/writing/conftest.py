"""`api`: a registry with the demonstration world, in process; `two_workers`: one served by two worker processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import DIALECTS
from tests.support.server import LiveServer, MakeApp, MakeToken, copy_of_world, start_server, stop_server
from tests.writing.api import InProcess, OverHttp
from tests.writing.campaigns import Figures


@pytest.fixture
def api(make_app: MakeApp, seeded_url: str, token: MakeToken) -> InProcess:
    return InProcess(make_app(seeded_url).test_client(), token)


@pytest.fixture(scope="module", params=DIALECTS)
def two_workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Path
) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("two_workers")
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, request.param, folder)
    server = start_server(folder, next(copy), workers=2)
    yield server
    stop_server(server)
    next(copy, None)


@pytest.fixture
def http(two_workers: LiveServer) -> OverHttp:
    return OverHttp(two_workers)


@pytest.fixture
def figures() -> Figures:
    return Figures()
