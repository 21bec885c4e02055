"""A registry with the demonstration world, and its jobs run by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from dmp_fhir import jobs
from dmp_fhir.jobs import Done
from dmp_fhir.notify.sender import FileSender
from tests.access.consents import Office
from tests.rest.caller import Caller
from tests.support.server import MakeToken, TickingClock

Run = Callable[[], Done]


@pytest.fixture
def registry(client: FlaskClient, token: MakeToken) -> Caller:
    return Caller(client, token)


@pytest.fixture
def office(client: FlaskClient, clock: TickingClock) -> Office:
    services: Any = client.application.extensions["dmp_fhir"]
    return Office(services, clock)


@pytest.fixture
def run(office: Office, tmp_path: Path) -> Run:
    services = office.services
    sender = FileSender(tmp_path / "outbox")
    return lambda: jobs.run(services.database, services.payloads, sender, office.clock(), services.policy)
