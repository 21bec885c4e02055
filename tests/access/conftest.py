"""`registry` asks in JSON on both databases; `office` sees what the registry keeps beside the records."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.access.consents import Office
from tests.rest.caller import Caller
from tests.support.server import MakeToken, TickingClock


@pytest.fixture
def registry(client: FlaskClient, token: MakeToken) -> Caller:
    return Caller(client, token)


@pytest.fixture
def office(client: FlaskClient, clock: TickingClock) -> Office:
    services: Any = client.application.extensions["dmp_fhir"]
    return Office(services, clock)
