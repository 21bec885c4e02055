"""The OpenAPI description against the server that it describes, by Schemathesis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as of_openapi

from dmp_fhir.interactions.openapi import openapi
from dmp_fhir.interactions.routes import OPERATIONS, TYPES
from tests.support.server import BASE_URL, MakeApp, MakeToken, copy_of_world

EXAMPLES = 5
PERSONAS = ("dr-moreau", "patient-claire-martin")
PAGE = Path(__file__).parents[2] / "docs" / "openapi.json"
CHECKS = (
    schemathesis.checks.not_a_server_error,
    of_openapi.status_code_conformance,
    of_openapi.content_type_conformance,
    of_openapi.response_schema_conformance,
)
load_all_checks()


@pytest.fixture
def app(request: pytest.FixtureRequest, data_folder: Path, make_app: MakeApp) -> Flask:
    url = next(copy_of_world(request, "sqlite", data_folder))
    return make_app(url)


def test_the_page_is_what_the_code_says() -> None:
    assert json.loads(PAGE.read_text(encoding="utf-8")) == openapi(BASE_URL), (
        "run: python -m dmp_fhir.interactions.openapi > docs/openapi.json"
    )


def test_is_served_to_anybody(app: Flask) -> None:
    answer = app.test_client().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json == openapi(BASE_URL)


def test_every_type_is_described() -> None:
    described = {path.split("/")[1] for path in openapi(BASE_URL)["paths"]}
    assert described == {*TYPES, "metadata", ""}


def test_every_operation_is_described() -> None:
    described = {path.split("/")[-1] for path in openapi(BASE_URL)["paths"]}
    assert described >= OPERATIONS


def test_answers_are_as_described(app: Flask, token: MakeToken) -> None:
    """Whatever is sent within the description or beside it: no fault of ours, and an answer of a described status,
    type and form."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            nonlocal tried
            headers = {"Authorization": f"Bearer {token(PERSONAS[tried % len(PERSONAS)])}"}
            case.validate_response(case.call(headers=headers), checks=list(CHECKS))
            tried += 1

        check()
    assert tried >= 300
