"""`talk` asks in JSON and in XML on SQLite, and in JSON on PostgreSQL (both formats there: tests/clients); `registry`
asks in JSON on both databases. Each test has its own copy of the demonstration world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.rest.caller import Caller
from tests.support.server import MakeApp, MakeToken, copy_of_world


@pytest.fixture(params=[("sqlite", "json"), ("sqlite", "xml"), ("postgresql", "json")], ids="-".join)
def talk(request: pytest.FixtureRequest, data_folder: Path, make_app: MakeApp, token: MakeToken) -> Iterator[Caller]:
    dialect, form = request.param
    copy = copy_of_world(request, dialect, data_folder)
    yield Caller(make_app(next(copy)).test_client(), token, form)
    next(copy, None)


@pytest.fixture
def registry(client: FlaskClient, token: MakeToken) -> Caller:
    return Caller(client, token)
