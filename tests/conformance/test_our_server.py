"""Our server passes the whole suite on both databases; a run can be repeated, years later too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import requests
from flask import Flask

from dmp_fhir.conformance.results import SKIPPED, total_checks
from dmp_fhir.conformance.scenarios import suite
from dmp_fhir.store.check import check as check_store
from tests.conformance.conftest import Try, told
from tests.conformance.platform import session_on
from tests.support import tally
from tests.support.server import BASE_URL, MakeApp, MakeToken, TickingClock

YEARS_LATER = int(datetime.fromisoformat("2031-01-01T08:00:00Z").timestamp() * 1000)
PATIENTS = ("patient-claire-martin", "patient-julien-martin", "patient-jade-bernard", "patient-thomas-girard")


def documents_of(app: Flask, token: MakeToken, persona: str) -> set[str]:
    """What a patient finds in the own record, archived documents included."""
    answer = app.test_client().get(
        "/fhir/DocumentReference?isArchived=true,false&_count=200",
        headers={"Authorization": f"Bearer {token(persona)}"},
    )
    return {entry["resource"]["id"] for entry in answer.json.get("entry", [])}


def test_the_whole_suite_passes_and_leaves_nothing_behind(
    trial: Try, make_app: MakeApp, token: MakeToken, seeded_url: str, clock: TickingClock
) -> None:
    app = make_app(seeded_url)
    before = {each: documents_of(app, token, each) for each in PATIENTS}
    report = trial(app)
    assert told(report) == []
    assert report.count(SKIPPED) == 0
    assert report.conforming
    assert report.checks >= total_checks(case for each in suite().scenarios for case in each.cases())
    assert {each: documents_of(app, token, each) for each in PATIENTS} == before
    services = app.extensions["dmp_fhir"]
    assert check_store(services.database, services.payloads) == []
    if seeded_url.startswith("sqlite"):
        tally.count("conformance", "scenarios", len(suite().scenarios))
        tally.count("conformance", "checks", report.checks)
        # Fresh identifiers, and what was published or decided is taken away: a run can be repeated. What the
        # demonstration world decided is still in force after years.
        clock.now = YEARS_LATER
        assert told(trial(app)) == []


def test_a_token_goes_to_the_server_under_test_only(trial: Try, sqlite_app: Flask) -> None:
    """A document address of another host is asked for without the token."""
    asked: list[requests.PreparedRequest] = []
    (scenario,) = suite().chosen(only=["ITI68-NATIVE"])

    def elsewhere(environ: dict[str, Any], start: Any) -> Any:
        """Says that documents are on another host."""
        body: list[bytes] = []
        kept: list[Any] = []

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kept[:] = [status, headers]
            return body.append

        content = b"".join(sqlite_app(environ, started))
        changed = content.replace(f"{BASE_URL}/Binary/".encode(), b"http://elsewhere.example/fhir/Binary/")
        headers = [(name, value) for name, value in kept[1] if name != "Content-Length"]
        start(kept[0], [*headers, ("Content-Length", str(len(changed)))])
        return [changed]

    def watch(response: requests.Response, *_: Any, **__: Any) -> None:
        asked.append(response.request)

    session = session_on(elsewhere)
    session.hooks["response"].append(watch)
    trial(elsewhere, [scenario], session=session)
    hosts = {(str(each.url).split("/")[2], "Authorization" in each.headers) for each in asked}
    assert ("elsewhere.example", False) in hosts
    assert ("elsewhere.example", True) not in hosts
