"""Searching a large trace (TF-179): by patient, by professional, the patient's view and a proof over HTTP; `campaign`
makes it a million entries long, and writes benchmarks/campaigns.md."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.store.database import Database
from tests.audit.test_events import CONTEXT
from tests.rest.bodies import CLAIRE
from tests.support.server import MakeApp, MakeToken, TickingClock
from tests.support.tally import count
from tests.writing.campaigns import Figures, seed_of

MOREAU, PETIT = "899700000112", "899700000146"
Q = quote(CLAIRE, safe="")
HER_SHARE = 50  # one entry of so many is about Claire


def fill(
    database: Database, size: int, claire: str, documents: list[str], clock: TickingClock, chance: random.Random
) -> None:
    """Entries of many records and professionals, over the year before; those of Claire are about her documents."""
    assert database.keys is not None
    records = [f"large-{n}" for n in range(max(size // 500, 1))]
    for record in records:
        database.keys.make(record, 0)
    read = Act("read", "R", rules=("AR-01",))
    people = [replace(CONTEXT, actor_id=each, actor_name=f"Dr {each}") for each in (MOREAU, PETIT)]
    people += [replace(CONTEXT, actor_id=f"8997{n:08}", actor_name=f"Dr {n}") for n in range(300)]
    until, step = clock.now, 365 * 86_400_000 / size
    for start in range(0, size, 500):
        with database.transaction() as tx:
            for n in range(start, min(start + 500, size), 10):
                her = chance.randrange(HER_SHARE) == 0
                record = claire if her else chance.choice(records)
                about = [("DocumentReference", chance.choice(documents), 1) for _ in range(10)]
                acts = [replace(read, record_id=record, entities=(each,)) for each in about]
                person = people[n // 10 % 2] if her else chance.choice(people)
                clock.now = until - int((size - n) * step)
                log.append_many(tx, acts, person, clock.now)
    clock.now = until


@pytest.mark.parametrize("size", [2_000, pytest.param(1_000_000, marks=pytest.mark.campaign)])
def test_searches_of_a_large_trace(
    request: pytest.FixtureRequest,
    make_app: MakeApp,
    seeded_url: str,
    token: MakeToken,
    clock: TickingClock,
    size: int,
) -> None:
    chance = random.Random(seed := seed_of(request))
    app = make_app(seeded_url)
    database: Database = app.extensions["dmp_fhir"].database
    client = app.test_client()
    bearers = {who: {"Authorization": f"Bearer {token(who)}"} for who in ("dr-moreau", "patient-claire-martin")}

    def ask(path: str, who: str) -> Any:
        answer = client.get(f"/fhir/{path}", headers=bearers[who])
        assert answer.status_code == 200, answer.text
        return answer.json

    claire = ask(f"Patient?identifier={Q}", "dr-moreau")["entry"][0]["resource"]["id"]
    hers = ask(f"DocumentReference?patient.identifier={Q}&_count=50", "patient-claire-martin")["entry"]
    fill(database, size, claire, [each["resource"]["id"] for each in hers], clock, chance)
    with database.snapshot() as reader:
        ((number, by_petit),) = reader.rows(
            "SELECT COUNT(*), SUM(CASE WHEN agent_id = :petit THEN 1 ELSE 0 END) FROM audit_event"
            " WHERE record_id = :record AND type = 'rest'",
            {"petit": PETIT, "record": claire},
        )
    by_patient = f"AuditEvent?patient.identifier={Q}&_count=50"
    asked = {
        "by patient": (by_patient, "patient-claire-martin"),
        "by professional": (f"AuditEvent?agent.identifier={PETIT}&_count=50", "patient-claire-martin"),
        "one's own acts": (f"AuditEvent?patient.identifier={Q}&_count=50", "dr-moreau"),
        "by patient and month": (f"{by_patient}&date=ge2026-06&date=lt2026-07", "patient-claire-martin"),
        "the patient's view": ("Patient/$access-history?_count=50", "patient-claire-martin"),
    }
    assert number > size // HER_SHARE // 2
    assert by_petit > number // 10
    found = ask(asked["by professional"][0] + "&_total=accurate", "patient-claire-martin")
    assert found["total"] == by_petit
    event = ask(by_patient, "patient-claire-martin")["entry"][-1]["resource"]["id"]
    asked["a proof"] = (f"AuditEvent/{event}/$inclusion-proof", "patient-claire-martin")
    times: dict[str, list[float]] = {}
    for _ in range(100 if size > 100_000 else 2):
        for name, (path, who) in asked.items():
            began = time.process_time()
            ask(path, who)
            times.setdefault(name, []).append((time.process_time() - began) * 1e3)
    began = time.process_time()
    with database.snapshot() as reader:
        touched = log.records_of(reader, PETIT, clock.now - 7 * 86_400_000)
        account = (time.process_time() - began) * 1e3
        everything = log.records_of(reader, PETIT, 0)
    assert {row[0] for row in touched} <= {row[0] for row in everything}
    assert sum(row[1] for row in everything if row[0] == claire) >= by_petit
    count("G", "large traces searched")
    if size > 100_000:
        p95 = ", ".join(f"{name} {sorted(each)[int(len(each) * 0.95)]:.0f} ms" for name, each in times.items())
        counted = (
            f"{size:,} entries, {number:,} of the patient; processor time, traced, p95 of 100: {p95};"
            f" records that an account touched in a week (`review --account`) {account:.0f} ms"
        )
        Figures().add(f"searching a trace of a million entries (TF-179), {database.dialect}", counted, seed=seed)
