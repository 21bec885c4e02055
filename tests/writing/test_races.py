"""Many clients at the same moment, through two worker processes (TF-182, TF-186 to TF-188, TF-190, TF-193)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from dmp_fhir.store.check import check
from dmp_fhir.store.payloads import PayloadStore
from tests.support.keys import reopened
from tests.support.server import LiveServer
from tests.writing.api import JSON, Answer, OverHttp, at_once, count
from tests.writing.lots import CLAIRE_INS, OTHER_INS, archived, body, content_of, lot, masked, oid, simple, with_patient

IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
IDNST = "urn:oid:1.2.250.1.71.4.2.2"


def the_id(api: OverHttp, name: str) -> str:
    return api.found(oid(name))[0]["id"]  # type: ignore[no-any-return]


def sound(server: LiveServer) -> list[str]:
    database = reopened(server.database_url, server.data_folder)
    try:
        return check(database, PayloadStore(server.data_folder / "documents"))
    finally:
        database.close()


def test_200_simultaneous_submissions_leave_one_copy(http: OverHttp, two_workers: LiveServer) -> None:
    """TF-182: one is stored, the others are told so with the same ids."""
    sent = body(lot("storm", content_of("a"), content_of("b")))
    before = count(two_workers.database_url, "SELECT COUNT(*) FROM document")
    answers = at_once([lambda: http.provide(sent)] * 200)
    assert Counter(each.status for each in answers) == {200: 200}
    assert Counter(tuple(each.statuses) for each in answers) == {("201",) * 5: 1, ("200",) * 5: 199}
    assert len({tuple(each.locations) for each in answers}) == 1
    for name in ("storm/0", "storm/1"):
        assert len(http.found(oid(name))) == 1
    assert count(two_workers.database_url, "SELECT COUNT(*) FROM document") == before + 2
    assert sound(two_workers) == []


def test_200_simultaneous_simple_publications_leave_one_copy(http: OverHttp) -> None:
    sent = simple("simple-storm")
    answers = at_once([lambda: http.publish(sent)] * 200)
    assert Counter(each.status for each in answers) == {201: 1, 200: 199}
    assert len({each.tree["id"] for each in answers}) == 1
    assert len(http.found(oid("simple-storm"))) == 1


def test_one_unique_id_for_many_contents_at_once(http: OverHttp) -> None:
    """TF-183: the first is being stored while the others come; one is kept, as it was sent."""
    contents = [f"version {n}".encode() for n in range(32)]
    answers = at_once([lambda c=each: http.provide(lot("contested", c)) for each in contents])
    assert Counter(each.status for each in answers) == {200: 1, 409: 31}
    assert {each.issue["code"] for each in answers if each.status == 409} == {"duplicate"}
    winner = next(content for content, each in zip(contents, answers, strict=True) if each.status == 200)
    (document,) = http.found(oid("contested/0"))
    assert http.bytes_of(document) == winner


def test_one_unique_id_in_two_records_at_once(http: OverHttp) -> None:
    """No lock is shared between two records: the unique constraint decides."""
    acts = [lambda i=ins: http.publish(with_patient(simple("two records"), i)) for ins in (CLAIRE_INS, OTHER_INS) * 8]
    answers = at_once(acts)
    assert Counter(each.status for each in answers) == {201: 1, 200: 7, 409: 8}


def _person(resource_type: str, system: str, value: str) -> dict[str, Any]:
    name = [{"family": "Essai"}] if resource_type == "Practitioner" else "Cabinet d'essai"
    return {"resourceType": resource_type, "identifier": [{"system": system, "value": value}], "name": name}


@pytest.mark.parametrize(
    ("tree", "conditional"),
    [
        (_person("Practitioner", IDNPS, "899700009980"), True),
        (_person("Practitioner", IDNPS, "899700009998"), False),
        (_person("Organization", IDNST, "1990009995"), True),
        (_person("Organization", "https://example.org/local", "cabinet-7"), True),
    ],
    ids=["practitioner", "practitioner-without-condition", "organization", "organization-by-local-number"],
)
def test_simultaneous_conditional_creates_leave_one(
    http: OverHttp, two_workers: LiveServer, tree: dict[str, Any], conditional: bool
) -> None:
    """TF-186."""
    identifier = tree["identifier"][0]
    token = f"{identifier['system']}|{identifier['value']}"
    headers = {"If_None_Exist": f"identifier={token}"} if conditional else {}
    answers = at_once([lambda: http.publish(tree, persona="exploitant", **headers)] * 64)
    assert Counter(each.status for each in answers) == {201: 1, (200 if conditional else 409): 63}
    if conditional:
        assert len({each.tree["id"] for each in answers}) == 1
    found = count(
        two_workers.database_url, "SELECT COUNT(*) FROM search_token WHERE code = :code", code=identifier["value"]
    )
    assert found == 1


def test_simultaneous_replacements_have_one_winner(http: OverHttp) -> None:
    """TF-187."""
    http.provide(lot("old"))
    acts = [lambda n=n: http.provide(lot(f"new-{n}", replaces=oid("old/0"))) for n in range(32)]
    answers = at_once(acts)
    assert Counter(each.status for each in answers) == {200: 1, 409: 31}
    assert {(each.issue["code"], each.xds) for each in answers if each.status == 409} == {
        ("conflict", "XDSReplaceFailed")
    }
    successors = [each for n in range(32) for each in http.found(oid(f"new-{n}/0"))]
    assert [each["status"] for each in successors] == ["current"]
    (old,) = http.found(oid("old/0"))
    assert (old["status"], old["meta"]["versionId"]) == ("superseded", "2")


@pytest.mark.parametrize("round_", range(5))
def test_two_writers_of_one_version_with_if_match(http: OverHttp, round_: int) -> None:
    """TF-188: mask and archive at the same moment on version 1: one is told that the document changed."""
    name = f"matched-{round_}"
    http.provide(lot(name))
    document = the_id(http, f"{name}/0")
    answers = at_once(
        [
            lambda: http.patch(document, masked(), persona="patient-claire-martin", If_Match='W/"1"'),
            lambda: http.patch(document, archived(True), If_Match='W/"1"'),
        ]
    )
    assert sorted(each.status for each in answers) == [200, 412]
    loser = next(each for each in answers if each.status == 412)
    assert loser.issue["code"] == "conflict"
    (now,) = http.found(oid(f"{name}/0"))
    assert now["meta"]["versionId"] == "2"
    assert (_is_masked(now), _is_archived(now)) == (answers[0].status == 200, answers[1].status == 200)


@pytest.mark.parametrize("round_", range(5))
def test_two_writers_of_one_version_without_if_match(http: OverHttp, round_: int) -> None:
    """TF-188: without a condition the writers take their turn, and both effects stay."""
    name = f"unmatched-{round_}"
    http.provide(lot(name))
    document = the_id(http, f"{name}/0")
    answers = at_once(
        [
            lambda: http.patch(document, masked(), persona="patient-claire-martin"),
            lambda: http.patch(document, archived(True)),
        ]
    )
    assert [each.status for each in answers] == [200, 200]
    assert sorted(each.version for each in answers) == [2, 3]
    (now,) = http.found(oid(f"{name}/0"))
    assert (_is_masked(now), _is_archived(now)) == (True, True)


def _is_masked(document: dict[str, Any]) -> bool:
    return any(coding["code"] == "MASQUE_PS" for each in document["securityLabel"] for coding in each["coding"])


def _is_archived(document: dict[str, Any]) -> bool:
    return any(each.get("valueBoolean") for each in document["extension"] if each["url"].endswith("is-archived"))


def test_versions_are_1_to_n_and_their_instants_increase(http: OverHttp) -> None:
    """TF-190: concurrent patches over several documents leave a history without gap, each version unchanged since."""
    names = [f"history-{n}" for n in range(4)]
    for name in names:
        http.provide(lot(name))
    ids = [the_id(http, f"{name}/0") for name in names]
    acts = [lambda d=ids[n % 4], v=n % 8 < 4: http.patch(d, archived(v)) for n in range(48)]
    answers: list[Answer] = at_once(acts)
    assert {each.status for each in answers} == {200}
    for document in ids:
        history = http.get(f"/DocumentReference/{document}/_history").tree["entry"]
        versions = [int(each["resource"]["meta"]["versionId"]) for each in history]
        assert versions == list(range(len(versions), 0, -1))
        instants = [each["resource"]["meta"]["lastUpdated"] for each in history]
        assert instants == sorted(set(instants), reverse=True)
        for version, entry in zip(versions, history, strict=True):
            assert http.get(f"/DocumentReference/{document}/_history/{version}").tree == entry["resource"]
    # Each acknowledged answer is the version that history tells.
    for each in answers:
        told = http.get(f"/DocumentReference/{each.tree['id']}/_history/{each.version}", Accept=JSON)
        assert told.tree == each.tree
