"""The races of test_races.py many times over, through two workers (`make campaign`): TF-182, TF-186 to TF-188."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dmp_fhir.store.check import check
from dmp_fhir.store.payloads import PayloadStore
from tests.support.keys import reopened
from tests.support.server import LiveServer
from tests.writing.api import OverHttp, at_once
from tests.writing.campaigns import Figures, seed_of
from tests.writing.lots import archived, body, content_of, lot, masked, oid, shuffled_keys, simple

pytestmark = pytest.mark.campaign
IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
Tally = Counter[str]


def conditional_creates(api: OverHttp, name: str, tally: Tally) -> None:
    """64 at once, one 201 (TF-186)."""
    value = oid(name).rpartition(".")[2][:20]
    tree = {"resourceType": "Practitioner", "identifier": [{"system": IDNPS, "value": value}]}
    condition = f"identifier={IDNPS}|{value}"
    answers = at_once([lambda: api.publish(tree, persona="exploitant", If_None_Exist=condition)] * 64)
    tally["requests"] += 64
    tally["doubled"] += sum(each.status == 201 for each in answers) - 1
    tally["wrong"] += sum(each.status not in (200, 201) for each in answers)
    tally["wrong"] += len({each.tree["id"] for each in answers}) != 1


def submissions(api: OverHttp, name: str, tally: Tally) -> None:
    """64 at once of one lot, half of them with another order of keys: one stored (TF-182)."""
    bundle = lot(name, content_of(name), content_of(f"{name} too"))
    forms = [body(bundle), body(shuffled_keys(bundle))]
    answers = at_once([lambda n=n: api.provide(forms[n % 2]) for n in range(64)])
    tally["requests"] += 64
    tally["doubled"] += len({tuple(each.locations) for each in answers if each.status == 200}) - 1
    tally["wrong"] += sum(each.status != 200 for each in answers)
    tally["half-written"] += sum(len(set(each.statuses)) != 1 for each in answers if each.status == 200)


def publications(api: OverHttp, name: str, tally: Tally) -> None:
    """64 at once by ITI-105."""
    answers = at_once([lambda: api.publish(simple(name))] * 64)
    tally["requests"] += 64
    tally["doubled"] += sum(each.status == 201 for each in answers) - 1
    tally["wrong"] += sum(each.status not in (200, 201) for each in answers)


def replacements(api: OverHttp, name: str, tally: Tally) -> None:
    """32 at once of one document: one winner (TF-187)."""
    api.provide(lot(name))
    answers = at_once([lambda n=n: api.provide(lot(f"{name}-{n}", replaces=oid(f"{name}/0"))) for n in range(32)])
    tally["requests"] += 33
    tally["doubled"] += sum(each.status == 200 for each in answers) - 1
    tally["wrong"] += sum(each.status not in (200, 409) for each in answers)


def updates(api: OverHttp, name: str, tally: Tally) -> None:
    """Mask and archive at once: with If-Match one of them, without it both (TF-188)."""
    document = api.publish(simple(name)).tree["id"]
    for version, condition in ((1, {"If_Match": 'W/"1"'}), (None, {})):
        acts = [
            lambda c=condition: api.patch(document, masked(), persona="patient-claire-martin", **c),
            lambda c=condition: api.patch(document, archived(True), **c),
        ]
        statuses = sorted(each.status for each in at_once(acts))
        tally["requests"] += 2
        tally["wrong"] += statuses != ([200, 412] if version else [200, 200])
    now = api.get(f"/DocumentReference/{document}").tree
    codes = {coding["code"] for each in now["securityLabel"] for coding in each["coding"]}
    tally["lost"] += "MASQUE_PS" not in codes
    tally["lost"] += not any(each.get("valueBoolean") for each in now.get("extension", []))


@pytest.mark.parametrize(
    ("race", "rounds"),
    [(conditional_creates, 250), (submissions, 100), (publications, 100), (replacements, 150), (updates, 250)],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_race(
    request: pytest.FixtureRequest,
    two_workers: LiveServer,
    figures: Figures,
    race: Callable[[OverHttp, str, Any], None],
    rounds: int,
) -> None:
    number = seed_of(request)
    drawn = random.Random(number)
    api, tally = OverHttp(two_workers), Counter[str]()
    for _ in range(rounds):
        race(api, f"{race.__name__}-{drawn.randrange(10**12)}", tally)
    database = reopened(two_workers.database_url, two_workers.data_folder)
    findings = check(database, PayloadStore(two_workers.data_folder / "documents"))
    dialect = database.dialect
    database.close()
    figures.add(
        f"race: {race.__name__.replace('_', ' ')}, {dialect}",
        f"{rounds} rounds, {tally['requests']} requests, {tally['wrong']} wrong answers",
        lost=tally["lost"],
        doubled=tally["doubled"],
        half_written=tally["half-written"] + len(findings),
        seed=number,
    )
    assert (tally["lost"], tally["doubled"], tally["half-written"], tally["wrong"], findings) == (0, 0, 0, 0, [])
