"""Who calls: the entries of area A about tokens, ceilings and other people's functions."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from dmp_fhir.audit import log
from dmp_fhir.canonicals import TRE_G15
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.sandbox import claims_of, personas
from dmp_fhir.interactions.ceilings import Ceilings
from dmp_fhir.outcome import Refused
from dmp_fhir.registry.alerts import alerts_to_review
from dmp_fhir.settings import Settings
from tests.fixtures.world import cast
from tests.leaks.test_rights import of, some_document
from tests.leaks.twins import Registry
from tests.rest.bodies import CLAIRE, INS, lot, simple
from tests.rest.caller import Answer, Caller
from tests.support import tally
from tests.support.server import MakeApp, MakeToken, TickingClock

CLAIM = {"system": TRE_G15}


# --- scopes: TF-037, TF-038 ------------------------------------------------------------------------

OURS = "dmp-fhir"
FOREIGN_SCOPES = (
    *("ITI-65", "ITI-66", "ITI-67", "ITI-68", "ITI-105", "openid", "launch/patient", "offline_access"),
    *("patient/*.read", "patient/DocumentReference.rs", "user/DocumentReference.cruds", "user/*.*", "system/*.*"),
    *("dmp-fhir2", "DMP-FHIR", "*", "dmp-fhir/read"),
)


def transactions(world: Registry, by: str, **claims: Any) -> dict[str, Answer]:
    """One request of each transaction."""
    talk, how = world.talk, {"by": by, "claims": claims}
    document = some_document(world, "dr-moreau", CLAIRE)
    same = {"op": "test", "path": "/status", "value": "current"}
    address = talk.get(f"DocumentReference/{document}", by="dr-moreau").tree["content"][0]["attachment"]["url"]
    return {
        "ITI-65": talk.provide(lot("scope"), **how),
        "ITI-66": talk.get(f"List?patient.identifier={quote(CLAIRE)}&_count=1", **how),
        "ITI-67": talk.get(of(CLAIRE, _count="1"), **how),
        "ITI-68": talk.get(address.rpartition("/fhir/")[2], **how),
        "ITI-105": talk.create(simple("scope alone"), **how),
        "TD0.2": talk.get(f"Patient?identifier={quote(CLAIRE)}", **how),
        "TD3.3": talk.patch(f"DocumentReference/{document}", same, **how),
        "ITI-81": talk.get(f"AuditEvent?patient.identifier={quote(CLAIRE)}&_count=1", **how),
    }


@pytest.mark.parametrize("scope", FOREIGN_SCOPES)
def test_tf_037_only_the_scope_of_the_service_opens_it(world: Registry, scope: str) -> None:
    """This service has one scope (D25). Any other, alone, opens no transaction; what it opens is for the rules."""
    for name, answer in transactions(world, "dr-moreau", scope=scope).items():
        assert answer.status == 403, (name, answer.status)
        assert "insufficient_scope" in answer.headers["WWW-Authenticate"], name


def test_tf_037_the_scope_of_the_service_opens_every_transaction(world: Registry) -> None:
    statuses = {name: answer.status for name, answer in transactions(world, "dr-moreau").items()}
    assert set(statuses.values()) <= {200, 201}, statuses


MIXED = (
    "patient/*.read system/*.*",
    "user/*.cruds patient/DocumentReference.read",
    "system/DocumentReference.rs?status=current",
    "patient/*.* user/*.*",
    "user/*.* system/*.*",
)


@pytest.mark.parametrize("scope", MIXED)
def test_tf_038_no_other_scope_adds_anything(world: Registry, scope: str) -> None:
    """Without the scope of the service nothing; with it, exactly what it gives alone: contexts are never united."""
    assert world.talk.get(of(CLAIRE), by="dr-moreau", claims={"scope": scope}).status == 403
    for who in ("dr-petit", "dr-roux", "dr-chevalier", "patient-julien-martin", "chu-feeder"):
        path = of(CLAIRE, _count="100")
        alone, mixed = (world.talk.get(path, by=who, claims={"scope": each}) for each in (OURS, f"{OURS} {scope}"))
        assert alone.status == mixed.status, who
        assert [each["id"] for each in alone.matches] == [each["id"] for each in mixed.matches], who


# --- functions of others: TF-052 -------------------------------------------------------------------


def test_tf_052_a_patient_replays_what_others_do(world: Registry) -> None:
    """Every request of a professional's and of an operator's session on Claire's record, sent by Julien: refused, and
    nothing has changed."""
    document = some_document(world, "dr-moreau", CLAIRE)
    found = world.talk.get(f"DocumentReference/{document}", by="dr-moreau").tree
    record = found["subject"]["reference"].partition("/")[2]
    payload = found["content"][0]["attachment"]["url"].rpartition("/fhir/")[2]
    claire = quote(CLAIRE)
    patient = world.talk.get(f"Patient/{record}", by="exploitant").tree
    session: list[tuple[str, str, Any]] = [
        ("GET", of(CLAIRE), None),
        ("GET", f"List?patient.identifier={claire}", None),
        ("GET", f"Consent?patient.identifier={claire}", None),
        ("GET", f"AuditEvent?patient.identifier={claire}", None),
        ("GET", f"RelatedPerson?patient.identifier={claire}", None),
        ("GET", f"CareTeam?patient.identifier={claire}", None),
        ("GET", f"DocumentReference/{document}", None),
        ("GET", f"DocumentReference/{document}/_history", None),
        ("GET", f"DocumentReference/{document}/$explain-access", None),
        ("GET", f"Patient/{record}/$explain-access", None),
        ("GET", f"Patient/{record}", None),
        ("GET", payload, None),
        ("DELETE", f"DocumentReference/{document}", None),
        ("POST", "", lot("replayed")),
        ("POST", "DocumentReference", simple("replayed alone")),
        ("PUT", f"Patient/{record}", patient | {"active": False}),
        ("POST", "Patient", patient | {"identifier": [{"system": INS.partition("|")[0], "value": "199017500100193"}]}),
        ("POST", "Practitioner", {"resourceType": "Practitioner", "name": [{"family": "Faux"}]}),
    ]
    before = count(world)
    for method, path, tree in session:
        answer = world.talk.ask(method, path, tree, by="patient-julien-martin")
        assert answer.status in (403, 404, 405), (method, path, answer.status)
        assert document not in answer.content.decode() or document in path
    assert count(world) == before


def count(world: Registry) -> int:
    with world.app.extensions["dmp_fhir"].database.snapshot() as reader:
        return int(reader.rows("SELECT COUNT(*) FROM resource_version")[0][0])


# --- several activities: TF-054 --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "status", "seen"),
    [
        ([CLAIM | {"code": "10"}], 200, True),
        ([CLAIM | {"code": "60"}], 200, True),
        ([CLAIM | {"code": "10"}, CLAIM | {"code": "60"}], 401, False),
        ([CLAIM | {"code": "10"}, CLAIM | {"code": "40"}, CLAIM | {"code": "60"}], 401, False),
        ([], 200, False),
        ([CLAIM | {"code": "00"}], 200, False),
    ],
    ids=("one", "the other", "both", "a third", "none", "unknown"),
)
def test_tf_054_only_the_activity_that_was_chosen(
    world: Registry, roles: list[dict[str, str]], status: int, seen: bool
) -> None:
    """Two activities in a token are refused, the client has to choose (identity, section 5); none is the least right:
    a professional without a profession reads what they are author of, no type of document beside."""
    claims = claims_of(personas()["dr-petit"], now_ms=world.clock.now)
    claims["extensions"]["ihe_iua"]["subject_role"] = roles
    claims["extensions"]["fr_dmp"].pop("profession", None)
    bearer = f"Bearer {world.sandbox.sign(claims)}"
    answer = world.talk.get(of(CLAIRE, _count="100"), by=None, Authorization=bearer)
    assert answer.status == status
    if status == 200:
        others = [each for each in answer.matches if "99700000146" not in str(each)]
        assert bool(others) == seen


# --- ceilings: TF-056, TF-057 ----------------------------------------------------------------------

HOUR_MS = 3_600_000


@pytest.mark.parametrize(("wanted", "opened"), [(1, 1), (50, 50), (500, 500), (5_000, 500)])
def test_tf_056_an_account_that_sucks_records(wanted: int, opened: int, tmp_path: Path) -> None:
    """By account, whatever the client; the same record again costs nothing; an hour later it goes on."""
    ceiling, refused = Ceilings(Settings(data_folder=tmp_path)), []
    for n in range(wanted):
        client = f"client-{n % 20}"
        try:
            ceiling.look_at_record(_by(client), f"record-{n}", n)
        except Refused as found:
            refused.append(found.refusal)
    tally.count("B", "records opened over a ceiling", wanted - len(refused) - min(wanted, 500))
    assert wanted - len(refused) == opened
    assert sum(each.alert is not None for each in refused) == (1 if refused else 0)
    assert all(each.status == 429 and 3600 <= int(dict(each.headers)["Retry-After"]) <= 3660 for each in refused)
    ceiling.look_at_record(_by("again"), "record-0", wanted)
    ceiling.look_at_record(_by("later"), "record-new", HOUR_MS + 60_000)


def _by(client: str) -> AccessContext:
    return AccessContext("PS", "899700000146", "Dr", "CPS", profession="10", client_id=client)


@pytest.fixture
def watched(make_app: MakeApp, seeded_url: str, token: MakeToken) -> tuple[Flask, Caller]:
    app = make_app(seeded_url, records_per_hour=3, ins_per_hour=3)
    return app, Caller(app.test_client(), token)


def test_tf_056_over_http(watched: tuple[Flask, Caller], caplog: pytest.LogCaptureFixture) -> None:
    """Records one may not open count too; the trace tells which records were touched; the alert is in the log by its
    number, in the trace as a security alert, and in the queue of the privacy officer with its account."""
    app, talk = watched
    database = app.extensions["dmp_fhir"].database
    numbers = sorted(patient["ins"]["value"] for patient in cast()["patients"])
    with caplog.at_level(logging.CRITICAL, "dmp_fhir.alert"):
        answers = [talk.get(of(f"{INS}|{each}"), by="dr-petit") for each in numbers[:6]]
    assert [answer.status == 429 for answer in answers] == [False] * 3 + [True] * 3
    assert answers[-1].tree["issue"][0]["code"] == "throttled"
    assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3660
    (line,) = [each.getMessage() for each in caplog.records]
    assert line == "security alert 1: records-hour over 3; see dmp-fhir review"
    with database.snapshot() as reader:
        touched = log.records_of(reader, "899700000146", 0)
        (alert,) = alerts_to_review(reader)
        (event,) = reader.rows(
            "SELECT agent_id, outcome FROM audit_event WHERE type = '110113' AND subtype = 'records-hour'"
        )
    assert len(touched) >= 6
    assert (alert.number, alert.kind, alert.agent_id, alert.most) == (1, "records-hour", "899700000146", 3)
    assert event == ("899700000146", "4")
    # Nobody else is held up, nor the records already open.
    assert talk.get(of(f"{INS}|{numbers[0]}"), by="dr-petit").status == answers[0].status
    assert talk.get(of(CLAIRE), by="dr-moreau").status == 200
    assert talk.get(of(CLAIRE), by="patient-claire-martin").status == 200


def test_tf_056_a_ceiling_for_the_day(
    make_app: MakeApp, seeded_url: str, token: MakeToken, clock: TickingClock
) -> None:
    """Slowly, hour by hour: the day has a ceiling too. It outlives a restart, and ends at midnight (UTC)."""
    app = make_app(seeded_url, records_per_hour=2, records_per_day=5)
    numbers = sorted(patient["ins"]["value"] for patient in cast()["patients"] if patient["record"] != "none")
    statuses = []
    for n, number in enumerate(numbers[:8]):
        if n % 2 == 0:
            clock.advance(seconds=3_700)
            app = make_app(seeded_url, records_per_hour=2, records_per_day=5)
        answer = Caller(app.test_client(), token).get(of(f"{INS}|{number}"), by="dr-petit")
        statuses.append(answer.status == 429)
    assert statuses == [False] * 5 + [True] * 3
    assert int(answer.headers["Retry-After"]) > 3_660
    talk = Caller(app.test_client(), token)
    assert talk.get(of(f"{INS}|{numbers[4]}"), by="dr-petit").status != 429
    with app.extensions["dmp_fhir"].database.snapshot() as reader:
        assert [each.kind for each in alerts_to_review(reader)] == ["records-day"]
    clock.advance(seconds=86_400)
    assert talk.get(of(f"{INS}|{numbers[7]}"), by="dr-petit").status != 429


@pytest.mark.parametrize("who", ["dr-petit", "chu-feeder"])
def test_tf_057_walking_through_ins_numbers(watched: tuple[Flask, Caller], who: str) -> None:
    """A wrong key is told before any lookup and costs nothing; numbers that nobody has count like the others; every
    probe leaves a trace."""
    app, talk = watched
    since = app.extensions["dmp_fhir"].clock()
    bodies = [2_990_199_000_000 + n for n in range(6)]
    wrong = [talk.get(f"Patient?identifier={INS}|{body}{(96 - body % 97) % 97 + 2:02}", by=who) for body in bodies]
    assert {answer.status for answer in wrong} == {400}
    right = [talk.get(f"Patient?identifier={INS}|{body}{97 - body % 97:02}", by=who) for body in bodies]
    assert [answer.status for answer in right] == [200] * 3 + [429] * 3
    assert all(answer.matches == [] for answer in right[:3])
    with app.extensions["dmp_fhir"].database.snapshot() as reader:
        traced = reader.rows(
            "SELECT COUNT(*) FROM audit_event WHERE subtype = 'search-type' AND recorded >= :since", {"since": since}
        )
    assert int(traced[0][0]) == len(wrong) + len(right)
