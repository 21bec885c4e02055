"""Who may see or change what, over HTTP: the entries of area A that are about rights rather than hidden documents."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from dmp_fhir.interactions import gate
from tests.access.consents import consent, professional
from tests.leaks.twins import Registry
from tests.rest.bodies import CLAIRE, HENRI, INS, JULIEN, NADIA, THOMAS, lot
from tests.rest.bodies import document as document_tree
from tests.rest.caller import Answer
from tests.support.keys import looked_up

LEA, LOUIS, AWA = (f"{INS}|{matricule}" for matricule in ("212056912390317", "198073306390513", "260319934191234"))
NOBODY = f"{INS}|199017500100193"
GLASS = {"purpose": "bris_de_glace", "reason": "patient inconscient aux urgences"}
AGAIN = GLASS | {"reason": "le lendemain, de nouveau inconscient"}
CENTRE = {"purpose": "centre_15"}
MASKED, ANNOUNCED = "urn:oid:2.16.840.1.113883.19.250.1.1.9", "urn:oid:2.16.840.1.113883.19.250.1.1.30"


def of(ins: str, **more: str) -> str:
    pairs = {"patient.identifier": ins} | more
    return "DocumentReference?" + "&".join(f"{name}={quote(value)}" for name, value in pairs.items())


def listed(world: Registry, by: str, ins: str, **how: Any) -> Answer:
    return world.talk.get(of(ins, _count="100"), by=by, **how)


def some_document(world: Registry, by: str, ins: str) -> str:
    return listed(world, by, ins).matches[0]["id"]


# --- blocks: TF-020 to TF-022 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        of(CLAIRE),
        f"List?patient.identifier={quote(CLAIRE)}",
        f"Consent?patient.identifier={quote(CLAIRE)}",
        f"CareTeam?patient.identifier={quote(CLAIRE)}",
        f"RelatedPerson?patient.identifier={quote(CLAIRE)}",
    ],
)
def test_tf_020_one_does_not_learn_that_one_is_blocked(world: Registry, path: str) -> None:
    """Dr Roux is blocked by Claire; Dr Chevalier never had a right: the same bytes, but for TD0.2."""
    blocked, stranger = (world.observe(world.talk.get(path, by=who)) for who in ("dr-roux", "dr-chevalier"))
    if path.startswith("Consent"):
        # What concerns oneself may be searched (AR-98): nothing for a stranger, a refusal when blocked would tell.
        assert (blocked[0], stranger[0]) in ((403, 403), (403, 200))
        return
    assert blocked == stranger
    assert blocked[0] == 403


@pytest.mark.parametrize("claims", [{}, GLASS, CENTRE, {"auth_mode": "AIR"}], ids=str)
def test_tf_021_a_block_beats_every_other_right(world: Registry, claims: dict[str, Any]) -> None:
    assert listed(world, "dr-roux", CLAIRE, claims=claims).status == 403
    document = some_document(world, "dr-moreau", CLAIRE)
    assert world.talk.get(f"DocumentReference/{document}", by="dr-roux", claims=claims).status == 404


def test_tf_021_the_blocked_still_feed(world: Registry) -> None:
    assert world.talk.provide(lot("blocked feeds"), by="dr-roux").status == 200
    assert listed(world, "dr-roux", CLAIRE).status == 403


def test_tf_022_a_structure_account_consults_nothing(world: Registry) -> None:
    assert listed(world, "chu-feeder", CLAIRE).status == 403
    assert listed(world, "dr-petit", CLAIRE, claims={"auth_mode": "INDIRECTE"}).status == 403
    assert listed(world, "dr-petit", CLAIRE).status == 200


# --- rights that end: TF-023, TF-046 ---------------------------------------------------------------


def test_tf_023_a_former_treating_physician_has_no_more_than_others(world: Registry) -> None:
    """Thomas names Dr Moreau, masks a document, then ends the status while her token and page link live."""
    patient = "patient-thomas-girard"
    declared = world.talk.create(
        consent("MEDECIN_TRAITANT", "permit", THOMAS, professional("899700000112")), by=patient
    )
    assert declared.status == 201, declared.content
    for n in range(3):
        assert world.talk.provide(lot(f"former {n}", ins=THOMAS), by="dr-colin").status == 200
    headers = {"claims": {"token_id": "long-lived"}}
    first = world.talk.get(of(THOMAS, _count="1"), by="dr-moreau", **headers)
    document, link = first.matches[0]["id"], first.link("next")
    assert link
    ended = declared.tree | {"status": "inactive"}
    path = f"Consent/{declared.tree['id']}"
    assert world.talk.ask("PUT", path, ended, by=patient, If_Match='W/"1"').status == 200
    for path, status in (
        (of(THOMAS), 403),
        (link, 403),
        (f"DocumentReference/{document}", 404),
        (f"DocumentReference/{document}/_history/1", 404),
    ):
        assert world.talk.get(path, by="dr-moreau", If_None_Match="*", **headers).status == status, path


def test_tf_046_parents_until_the_day_of_majority(world: Registry) -> None:
    """Léa is 18 on 20 May 2030 at midnight, Paris."""
    midnight = int(datetime(2030, 5, 20, tzinfo=ZoneInfo("Europe/Paris")).timestamp() * 1000)
    before = world.clock.now
    try:
        world.clock.now = midnight - 60_000
        assert listed(world, "representative-claire-martin", LEA).status == 200
        world.clock.now = midnight + 1
        assert listed(world, "representative-claire-martin", LEA).status == 403
        assert listed(world, "patient-lea-martin", LEA).status == 200
    finally:
        world.clock.now = before


# --- the policy itself: TF-028 to TF-030 -----------------------------------------------------------


def _raise(fault: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    return fail


TROUBLES: dict[str, Any] = {
    "RuntimeError": _raise(RuntimeError("broken")),
    "TypeError": _raise(TypeError("None")),
    "KeyError": _raise(KeyError("cache")),
    "TimeoutError": _raise(TimeoutError()),
    "None": lambda *_, **__: None,
    "empty set": lambda *_, **__: frozenset(),
    "permit by accident": lambda *_, **__: True,
}


def no_answer(answer: Answer, document: str) -> None:
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "2")
    assert [issue["code"] for issue in answer.tree["issue"]] == ["transient"]
    assert document not in answer.content.decode()


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("part", ["decide", "document_predicate", "load_standing"])
def test_tf_028_a_policy_in_trouble_shows_nothing(
    world: Registry, monkeypatch: pytest.MonkeyPatch, part: str, trouble: str
) -> None:
    document = some_document(world, "dr-moreau", CLAIRE)
    monkeypatch.setattr(gate, part, TROUBLES[trouble])
    for end in ("", "/_history", "/_history/1"):
        no_answer(world.talk.get(f"DocumentReference/{document}{end}", by="dr-moreau"), document)
    for path in (of(CLAIRE), of(CLAIRE, _summary="count")):
        no_answer(world.talk.get(path, by="dr-moreau"), document)


def test_tf_028_a_decision_that_takes_too_long(world: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    document = some_document(world, "dr-moreau", CLAIRE)
    moments = iter(range(0, 10_000, 30))
    monkeypatch.setattr(gate, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    no_answer(world.talk.get(f"DocumentReference/{document}", by="dr-moreau"), document)


def test_tf_028_a_corrupted_row(world: Registry) -> None:
    """A date of birth that is none: neither adult nor minor, so nothing is decided."""
    document = some_document(world, "dr-moreau", CLAIRE)
    database = world.app.extensions["dmp_fhir"].database
    which = {"ins": looked_up(database, CLAIRE)}
    here = "WHERE id = (SELECT record_id FROM ins WHERE value = :ins)"
    with database.snapshot() as reader:
        before = reader.row(f"SELECT birth_date FROM record {here}", which)[0]
    try:
        with database.transaction() as tx:
            tx.execute(f"UPDATE record SET birth_date = 'xxxx' {here}", which)
        no_answer(world.talk.get(f"DocumentReference/{document}", by="dr-moreau"), document)
        no_answer(world.talk.get(of(CLAIRE), by="dr-moreau"), document)
    finally:
        with database.transaction() as tx:
            tx.execute(f"UPDATE record SET birth_date = :date {here}", which | {"date": before})
    assert world.talk.get(f"DocumentReference/{document}", by="dr-moreau").status == 200


def test_tf_029_nobody_means_nobody(world: Registry) -> None:
    """No right: 403. A right and nothing to see: an empty page."""
    assert listed(world, "dr-chevalier", CLAIRE).status == 403
    empty = listed(world, "patient-julien-martin", JULIEN, claims={})
    assert empty.status == 200
    nothing = world.talk.get(of(JULIEN, identifier="urn:ietf:rfc:3986|urn:oid:2.25.1"), by="patient-julien-martin")
    assert (nothing.status, nothing.tree["total"]) == (200, 0)


@pytest.mark.parametrize("name", ["policy_status", "masked_professionals", "record_id", "_policy", "d.id", "1=1"])
def test_tf_030_leniency_never_reaches_the_policy(world: Registry, name: str) -> None:
    path = of(CLAIRE, _count="100") + f"&{quote(name)}=1"
    assert world.talk.get(path, by="dr-petit").status == 400
    lenient = world.talk.get(path, by="dr-petit", Prefer="handling=lenient")
    strict = listed(world, "dr-petit", CLAIRE)
    assert lenient.status == 200
    assert [each["id"] for each in lenient.matches] == [each["id"] for each in strict.matches]
    assert world.talk.get(path, by="dr-roux", Prefer="handling=lenient").status == 403


# --- parameters and bundles: TF-031, TF-032, TF-034 ------------------------------------------------


def test_tf_031_contradictory_patients_find_nothing_of_either(world: Registry) -> None:
    """Dr Moreau treats both; whatever the order and the spelling, no document of one comes for the other."""
    claire, julien = (
        world.talk.get(f"Patient?identifier={quote(ins)}", by="dr-moreau").matches[0]["id"] for ins in (CLAIRE, JULIEN)
    )
    spellings = {
        name: (f"patient=Patient/{one}", f"patient={one}", f"subject=Patient/{one}", f"patient.identifier={quote(ins)}")
        for name, one, ins in (("claire", claire, CLAIRE), ("julien", julien, JULIEN))
    }
    seen = {
        tuple(each["id"] for each in world.talk.get(f"DocumentReference?{one}&_count=100", by="dr-moreau").matches)
        for one in spellings["claire"]
    }
    assert len(seen) == 1
    for first in spellings["claire"]:
        for second in spellings["julien"]:
            for pair in (f"{first}&{second}", f"{second}&{first}"):
                answer = world.talk.get(f"DocumentReference?{pair}&_count=100", by="dr-moreau")
                assert answer.status == 400 or answer.matches == [], pair


def test_tf_032_each_entry_of_a_batch_is_decided_alone(world: Registry) -> None:
    document = some_document(world, "dr-moreau", CLAIRE)
    urls = [f"DocumentReference/{document}", of(CLAIRE), of(JULIEN), f"DocumentReference/{document}/_history"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    for who in ("dr-moreau", "dr-petit", "dr-roux", "dr-masson", "chu-feeder", "patient-julien-martin"):
        alone = [str(world.talk.get(url, by=who).status) for url in urls]
        batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        assert world.talk.provide(batch, by=who).statuses == alone, who


def test_tf_034_replacing_what_one_may_not_touch(world: Registry) -> None:
    """Hidden, foreign, deleted and missing targets answer alike, and stay as they are."""
    targets = {
        "hidden": MASKED,
        "another author's": "urn:oid:2.16.840.1.113883.19.250.1.1.5",
        "deleted": "urn:oid:2.16.840.1.113883.19.250.1.1.22",
        "of another record": "urn:oid:2.16.840.1.113883.19.250.1.2.1",
        "missing": "urn:oid:2.25.2",
    }
    answers = {}
    for n, (name, target) in enumerate(targets.items()):
        body = lot(f"replacing {n}")
        reference = {"type": "DocumentReference", "identifier": {"system": "urn:ietf:rfc:3986", "value": target}}
        body["entry"][1]["resource"]["relatesTo"] = [{"code": "replaces", "target": reference}]
        answers[name] = world.talk.provide(body, by="dr-petit")
    assert {answer.status for answer in answers.values()} == {422}
    assert len({tuple(sorted(answer.rules)) for answer in answers.values()}) == 1
    found = world.talk.get(of(CLAIRE, identifier=f"urn:ietf:rfc:3986|{MASKED}"), by="dr-moreau").matches
    assert [each["status"] for each in found] == ["current"]


# --- feeders and changes: TF-036, TF-039 -----------------------------------------------------------


def test_tf_036_what_feeds_reads_nothing(world: Registry) -> None:
    document = some_document(world, "dr-moreau", CLAIRE)
    for path in (
        of(CLAIRE),
        f"List?patient.identifier={quote(CLAIRE)}",
        f"Consent?patient.identifier={quote(CLAIRE)}",
    ):
        answer = world.talk.get(path, by="chu-feeder")
        assert answer.status == 403, path
    for end in ("", "/_history", "/_history/1"):
        assert world.talk.get(f"DocumentReference/{document}{end}", by="chu-feeder").status == 404
    foreign = of(CLAIRE, identifier=f"urn:ietf:rfc:3986|{MASKED}")
    assert world.talk.get(foreign, by="chu-feeder").tree["total"] == 0
    tree = document_tree("feeder asks")
    answer = world.talk.create(tree, by="chu-feeder", If_None_Exist=f"identifier=urn:ietf:rfc:3986|{MASKED}")
    assert answer.status >= 400
    assert MASKED not in answer.content.decode()


PATCHES = {
    "json": ("application/json-patch+json", b'[{"op":"replace","path":"/status","value":"superseded"}]'),
    "xml": (
        "application/xml-patch+xml",
        b'<diff xmlns:f="http://hl7.org/fhir"><replace sel="f:DocumentReference/f:status/@value">superseded</replace>'
        b"</diff>",
    ),
    "fhirpath": (
        "application/fhir+json",
        b'{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},'
        b'{"name":"path","valueString":"DocumentReference.status"},{"name":"value","valueCode":"superseded"}]}]}',
    ),
}


@pytest.mark.parametrize("form", PATCHES)
@pytest.mark.parametrize("who", ["dr-petit", "dr-roux", "chu-feeder", "patient-claire-martin", "patient-julien-martin"])
def test_tf_039_a_patch_is_guarded(world: Registry, form: str, who: str) -> None:
    """The document is Dr Moreau's: for anybody else no change, by id, by condition or in a batch."""
    kind, body = PATCHES[form]
    (found,) = world.talk.get(
        of(CLAIRE, identifier="urn:ietf:rfc:3986|urn:oid:2.16.840.1.113883.19.250.1.1.11")
    ).matches
    condition = quote(f"urn:ietf:rfc:3986|{found['masterIdentifier']['value']}")
    for path in (f"DocumentReference/{found['id']}", f"DocumentReference?identifier={condition}"):
        answer = world.talk.ask("PATCH", path, body, by=who, Content_Type=kind)
        assert answer.status in (403, 404), (path, answer.content)
    after = world.talk.get(f"DocumentReference/{found['id']}")
    assert after.tree["meta"]["versionId"] == found["meta"]["versionId"]


# --- emergencies and closing: TF-047 to TF-050 -----------------------------------------------------


def test_tf_047_break_glass(world: Registry) -> None:
    who = "dr-chevalier"
    assert listed(world, who, AWA).status == 403
    for reason in (None, "vite"):
        claims = {"purpose": "bris_de_glace"} | ({"reason": reason} if reason else {})
        assert listed(world, who, AWA, claims=claims).status == 400
    claims = GLASS | {"token_id": "glass-awa"}
    seen = listed(world, who, AWA, claims=claims)
    assert seen.status == 200
    # Awa opened masked documents to emergencies.
    assert any("MASQUE_PS" in str(each["securityLabel"]) for each in seen.matches)
    patch = {"op": "replace", "path": "/status", "value": "superseded"}
    document = seen.matches[0]["id"]
    assert world.talk.patch(f"DocumentReference/{document}", patch, by=who, claims=claims).status in (403, 404)
    assert listed(world, who, AWA).status == 403


def test_tf_048_and_tf_049_oppositions(world: Registry) -> None:
    for who, claims in (("dr-chevalier", AGAIN), ("dr-regnier", CENTRE)):
        allowed = listed(world, who, AWA, claims=claims | {"token_id": f"{who}-awa"})
        opposed = listed(world, who, LOUIS, claims=claims | {"token_id": f"{who}-louis"})
        blocked = listed(world, "dr-roux", CLAIRE, claims=claims)
        assert (allowed.status, opposed.status, blocked.status) == (200, 403, 403)
    decision = consent("BLOCAGE", "deny", AWA, professional("899700000120"))
    for action in (
        world.talk.create(decision, by="dr-regnier", claims=CENTRE | {"token_id": "write"}),
        world.talk.create(decision, by="dr-chevalier", claims=AGAIN | {"token_id": "write"}),
    ):
        assert action.status == 403


def test_tf_050_a_closed_record_is_out_of_reach(world: Registry) -> None:
    for who in ("dr-colin", "patient-henri-leroy"):
        answer = listed(world, who, HENRI)
        assert answer.status == 403
        assert "DMP_FERME" in answer.rules
    fed = world.talk.provide(lot("late", ins=HENRI), by="dr-moreau")
    assert fed.status == 403


def test_absent_and_opposed_look_alike(world: Registry) -> None:
    """Nadia opposed her record; nobody has the other number."""
    opposed, absent = (world.talk.get(of(ins), by="dr-moreau") for ins in (NADIA, NOBODY))
    assert world.observe(opposed)[0] == world.observe(absent)[0] == 403
    assert opposed.content == absent.content


# --- administrators and what is not offered: TF-051, TF-055 ----------------------------------------


def test_tf_051_the_operator_sees_no_content(world: Registry) -> None:
    document = some_document(world, "dr-moreau", CLAIRE)
    payload = (
        world.talk.get(f"DocumentReference/{document}").tree["content"][0]["attachment"]["url"].rpartition("/fhir/")[2]
    )
    for path in (f"DocumentReference/{document}", f"DocumentReference/{document}/_history", payload):
        assert world.talk.get(path, by="exploitant").status == 404
    for path in (of(CLAIRE), f"List?patient.identifier={quote(CLAIRE)}"):
        assert world.talk.get(path, by="exploitant").status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "$export"),
        ("GET", "Patient/$everything"),
        ("GET", "Patient/{id}/$everything"),
        ("POST", "DocumentReference/$docref"),
        ("POST", "$graphql"),
        ("GET", "DocumentReference/{id}/$graphql"),
        ("GET", "DocumentReference/{id}/$meta"),
        ("POST", "DocumentReference/{id}/$meta-add"),
        ("GET", "_history"),
        ("GET", "DocumentReference/_history"),
        ("PUT", "DocumentReference/{id}"),
        ("PUT", "Binary/{id}"),
        ("DELETE", "List/{id}"),
        ("DELETE", "Consent/{id}"),
        ("DELETE", "Patient/{id}"),
        ("DELETE", "AuditEvent/{id}"),
        ("PUT", "AuditEvent/{id}"),
        ("POST", "AuditEvent"),
        ("POST", "Binary"),
        ("DELETE", "DocumentReference?status=current"),
        ("GET", "Observation"),
        ("POST", "Subscription"),
        ("GET", ""),
        ("POST", "_search"),
    ],
)
def test_tf_055_what_is_not_offered(world: Registry, method: str, path: str) -> None:
    """404 or 405, for those who may do most."""
    body = {"resourceType": "Parameters"} if method in ("POST", "PUT") else None
    for who in ("dr-moreau", "exploitant", "patient-claire-martin"):
        answer = world.talk.ask(method, path.format(id="0196f0aa-0000-7000-8000-000000000001"), body, by=who)
        assert answer.status in (400, 404, 405, 415), (method, path, answer.status)
        assert answer.tree["resourceType"] == "OperationOutcome"
