"""Limits over HTTP: 429 `throttled` with Retry-After, floods of failed authentications, alerts (TF-178, TF-223)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from dmp_fhir.audit.sealer import Sealer
from dmp_fhir.cli import main
from dmp_fhir.registry.alerts import alerts_to_review
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import _open
from tests.leaks.test_rights import of
from tests.rest.bodies import CLAIRE, JULIEN
from tests.rest.caller import Answer, Caller
from tests.support import tally
from tests.support.server import MakeApp, MakeToken, TickingClock
from tests.writing.campaigns import Figures


def rows(app: Flask, sql: str, **values: Any) -> list[tuple]:
    with app.extensions["dmp_fhir"].database.snapshot() as reader:
        return reader.rows(sql, values)


def throttled(answer: Answer) -> bool:
    if answer.status != 429:
        return False
    assert answer.tree["issue"][0]["code"] == "throttled"
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def test_development_has_no_rates_and_production_has(make_app: MakeApp, database_url: str) -> None:
    settings = make_app(database_url).extensions["dmp_fhir"].settings
    names = ("client_rate", "person_rate", "failures_per_minute")
    assert [settings.limit(name) for name in names] == [None] * 3
    production = replace(settings, profile="production", person_rate=7)
    assert [production.limit(name) for name in names] == [200, 7, 60]


def test_tf_223_one_noisy_person(make_app: MakeApp, seeded_url: str, token: MakeToken, clock: TickingClock) -> None:
    """Whatever the software and token: 429 with the time to wait; others are not held up; each refusal is traced."""
    app = make_app(seeded_url, person_rate=2)
    talk = Caller(app.test_client(), token)
    answers = [talk.get(of(CLAIRE, _count="0"), by="dr-moreau") for _ in range(30)]
    over = sum(map(throttled, answers))
    tally.count("B", "requests over a rate tried", over)
    tally.count("B", "requests over a rate accepted", 30 - over - 20)
    assert over == 10
    assert talk.get(of(CLAIRE, _count="0"), by="dr-petit").status == 200
    assert talk.get(of(CLAIRE, _count="0"), by="patient-claire-martin").status == 200
    traced = rows(app, "SELECT COUNT(*) FROM audit_event WHERE agent_id = '899700000112' AND outcome = '4'")
    assert traced[0][0] >= 10
    clock.advance(seconds=int(answers[-1].headers["Retry-After"]))
    assert talk.get(of(CLAIRE, _count="0"), by="dr-moreau").status == 200


def test_tf_223_one_noisy_software(make_app: MakeApp, seeded_url: str, token: MakeToken) -> None:
    """All users of a client share its rate; a restart changes nothing."""
    app = make_app(seeded_url, client_rate=1)
    talk = Caller(app.test_client(), token)
    people = ["dr-moreau", "dr-petit", "chu-feeder", "patient-claire-martin"]
    answers = [talk.get("Patient?identifier=" + CLAIRE, by=people[n % 4]) for n in range(12)]
    assert [throttled(each) for each in answers] == [False] * 10 + [True] * 2
    again = Caller(make_app(seeded_url, client_rate=1).test_client(), token)
    assert throttled(again.get("Patient?identifier=" + CLAIRE, by="dr-roux"))


def test_tf_232_a_batch_counts_as_its_entries(make_app: MakeApp, seeded_url: str, token: MakeToken) -> None:
    talk = Caller(make_app(seeded_url, person_rate=3).test_client(), token)
    entry = {"request": {"method": "GET", "url": f"DocumentReference?patient.identifier={JULIEN}&_count=0"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 20}
    assert talk.provide(batch).status == 200
    assert throttled(talk.provide(batch))
    assert talk.provide(batch | {"entry": [entry] * 5}).status == 200


def flood(
    app: Flask, number: int, address: str = "192.0.2.9", between: Callable[[int], object] = lambda n: None
) -> list[int]:
    client = app.test_client()
    big = "x" * 6_000
    statuses = []
    for n in range(number):
        answer = client.get(
            f"/fhir/DocumentReference?patient={big}",
            headers={"Authorization": f"Bearer a.{n}.b"},
            environ_overrides={"REMOTE_ADDR": address},
        )
        statuses.append(answer.status_code)
        between(n)
    return statuses


def failures(app: Flask) -> list[dict[str, Any]]:
    found = rows(
        app,
        "SELECT record_id, id, body FROM audit_event"
        " WHERE agent_id = '' AND outcome = '4' AND type = 'rest' ORDER BY id",
    )
    keys = app.extensions["dmp_fhir"].database.keys
    return [json.loads(open_body(keys, record, event_place(record, name), body)) for record, name, body in found]


def times(event: dict[str, Any]) -> int:
    details = [each for entity in event["entity"] for each in entity.get("detail", [])]
    return next((int(each["valueString"]) for each in details if each["type"] == "times"), 1)


@pytest.mark.parametrize("number", [500, pytest.param(100_000, marks=pytest.mark.campaign)])
def test_tf_178_a_flood_of_bad_tokens(
    make_app: MakeApp,
    seeded_url: str,
    clock: TickingClock,
    caplog: pytest.LogCaptureFixture,
    number: int,
    token: MakeToken,
) -> None:
    """One by one up to the limit, then counted; nothing lost, bounded on the disk, one alert; good tokens pass, and
    what is refused to them has an entry each."""
    app = make_app(seeded_url, failures_per_minute=60)
    started, began = clock.now, time.monotonic()
    talk, refused = Caller(app.test_client(), token), []

    def by_name(n: int) -> None:
        if n % 25 == 0:
            refused.append(talk.get(f"DocumentReference/none-{n}").status)

    size = rows(app, "SELECT COUNT(*), SUM(LENGTH(body)) FROM audit_event")[0]
    with caplog.at_level(logging.CRITICAL, "dmp_fhir.alert"):
        statuses = flood(app, number, between=by_name)
    took = time.monotonic() - began
    known = "SELECT COUNT(*) FROM audit_event WHERE agent_id = '899700000112' AND SUBSTR(entity_id, 1, 5) = 'none-'"
    assert set(refused) == {404}
    assert rows(app, known) == [(len(refused),)]
    tally.count("G", "refusals to known callers during a flood", len(refused))
    tally.count("G", "of them without an entry of their own", len(refused) - rows(app, known)[0][0])
    clock.advance(seconds=61)
    assert Caller(app.test_client(), token).get("Patient?identifier=" + CLAIRE).status == 200
    minutes = (clock.now - started) // 60_000 + 1
    events = failures(app)
    tally.count("B", "refused authentications", number)
    tally.count("B", "refused authentications lost", number - sum(map(times, events)))
    assert set(statuses) == {401, 429}
    assert statuses[:60] == [401] * 60
    assert sum(map(times, events)) == number
    assert len(events) <= 62 * minutes
    assert max(map(times, events)) > 1
    assert {event["agent"][0].get("network", {}).get("address") for event in events} == {"192.0.2.9"}
    (line,) = [each.getMessage() for each in caplog.records]
    assert "192.0.2.9" not in line
    if number > 10_000:
        now = rows(app, "SELECT COUNT(*), SUM(LENGTH(body)) FROM audit_event")[0]
        counted = (
            f"{number:,} refused anonymously in {took:.0f} s, told by {len(events)} entries; {len(refused):,} refused"
            f" to a known caller, each with its entry; {now[0] - size[0]:,} entries and"
            f" {(now[1] - size[1]) / 1e6:.1f} MB of bodies in all; one alert"
        )
        lost = number - sum(map(times, events)) + len(refused) - rows(app, known)[0][0]
        database = seeded_url.partition(":")[0]
        Figures().add(f"a flood of bad tokens (TF-178), {database}", counted, lost=lost, seed="none")
    with app.extensions["dmp_fhir"].database.snapshot() as reader:
        assert [(each.kind, each.agent_id) for each in alerts_to_review(reader)] == [("failures", "")]


def test_tf_178_from_many_addresses(make_app: MakeApp, seeded_url: str, clock: TickingClock) -> None:
    """Each below its own limit, all together above: answered 401, traced in number."""
    app = make_app(seeded_url, failures_per_minute=6)
    statuses = [status for n in range(200) for status in flood(app, 1, f"2001:db8::{n:x}")]
    assert set(statuses) == {401}
    app.extensions["dmp_fhir"].failures.tell()
    events = failures(app)
    assert sum(map(times, events)) == 200
    assert len(events) == 61


def test_what_was_counted_is_told_after_a_minute(make_app: MakeApp, seeded_url: str, clock: TickingClock) -> None:
    """By the thread that seals the trace, when nobody asks for anything any more."""
    app = make_app(seeded_url, failures_per_minute=5)
    services = app.extensions["dmp_fhir"]
    sealer = Sealer(services.database, clock, also=services.failures.tell_if_due)
    flood(app, 30)
    sealer.look()
    assert sum(map(times, failures(app))) == 5
    clock.advance(seconds=60)
    sealer.look()
    sealer.look()
    assert sum(map(times, failures(app))) == 30


def test_the_privacy_officer_closes_an_alert(
    make_app: MakeApp, seeded_url: str, data_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(seeded_url, failures_per_minute=5)
    flood(app, 10)
    monkeypatch.setenv("DATABASE_URL", seeded_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(data_folder))

    def command(*arguments: str) -> Result:
        done = CliRunner().invoke(main, ["review", *arguments])
        for opened in list(_open):
            opened.close()
        return done

    listed = command()
    assert "alert 1  2026-11-22T" in listed.output
    assert "failures over 5  unknown callers" in listed.output
    assert "1 alerts" in listed.output
    assert command("1").exit_code == 2
    assert command("2", "--finding", "x").exit_code == 1
    assert command("1", "--finding", "Un scanner.").exit_code == 0
    assert command("1", "--finding", "Encore.").exit_code == 1
    assert "0 alerts" in command().output
    assert rows(app, "SELECT finding FROM security_alert") == [("Un scanner.",)]
