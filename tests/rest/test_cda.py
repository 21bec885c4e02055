"""CDA documents over HTTP, by ITI-65 and by ITI-105: differences, hostile documents, other patients, versions."""

from __future__ import annotations

import base64
import copy
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.world import tour
from tests.profiles.test_cda_header import HOSTILE, PLAIN
from tests.rest.bodies import CLAIRE, HENRI, JULIEN, oid, sha1
from tests.rest.caller import Answer, Caller, query
from tests.rest.test_refusals import refused
from tests.support.cda import said_at, with_value
from tests.support.server import MakeApp, MakeToken

Tree = dict[str, Any]
MATRICULE = "c:recordTarget/c:patientRole/c:id/@extension"
STORED = ("document", "document_list", "payload", "resource_version", "unique_identifier")


def body(step: str = "publish.json") -> tuple[Tree, Tree, bytes]:
    """A lot of the tour, its DocumentReference, and the CDA in it."""
    lot = copy.deepcopy(tour()[step])
    resources = {each["resource"]["resourceType"]: each["resource"] for each in lot["entry"]}
    return lot, resources["DocumentReference"], base64.b64decode(resources["Binary"]["data"])


def send(caller: Caller, way: str, data: bytes | None = None, step: str = "publish.json", **options: Any) -> Answer:
    """The document of the tour with other bytes, by ITI-65 or by ITI-105; `metadata` changes the DocumentReference."""
    lot, tree, good = body(step)
    data = good if data is None else data
    tree |= options.pop("metadata", {})
    attachment = tree["content"][0]["attachment"]
    attachment |= {"size": len(data), "hash": sha1(data)}
    encoded = base64.b64encode(data).decode()
    if way == "ITI-105":
        attachment["data"] = encoded
        del attachment["url"], tree["meta"]
        return caller.create(tree, **options)
    for entry in lot["entry"]:
        if entry["resource"]["resourceType"] == "Binary":
            entry["resource"]["data"] = encoded
    set_name = str(tree.get("masterIdentifier", {}).get("value"))
    lot["entry"][0]["resource"]["identifier"][0]["value"] = oid(f"set of {set_name}")
    return caller.provide(lot, **options)


def stored(caller: Caller) -> list[int]:
    return [caller.count(table) for table in STORED]


def remarks(answer: Answer) -> list[Tree]:
    """The issues that came with what was stored."""
    assert answer.status in (200, 201), answer.content
    if answer.tree["resourceType"] == "OperationOutcome":
        return answer.tree["issue"]
    outcomes = [each["response"].get("outcome") for each in answer.entries]
    return [issue for outcome in outcomes if outcome for issue in outcome["issue"]]


def rules_of(issues: list[Tree]) -> list[str]:
    codes = [each["code"] for issue in issues for each in issue["details"].get("coding", [])]
    return [each for each in codes if each.startswith("CDA")]


def new_version(data: bytes, name: str, number: int = 1, **values: str) -> bytes:
    """The same document under another id, as the version `number` of another or the same set."""
    data = with_value(data, "c:id/@root", oid(name).removeprefix("urn:oid:"))
    data = with_value(data, "c:versionNumber/@value", str(number))
    for element, value in values.items():
        data = with_value(data, f"c:{element}/@root", value)
    return data


def master(name: str) -> Tree:
    return {"masterIdentifier": {"use": "usual", "system": "urn:ietf:rfc:3986", "value": oid(name)}}


WAYS = ("ITI-65", "ITI-105")
IDENTIFYING = [
    ("CDA-04", "c:id/@root", "1.2.3", "masterIdentifier"),
    ("CDA-05", MATRICULE, HENRI.split("|")[1], "subject"),
    ("CDA-07", "c:code/@code", "11502-2", "type"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("rule", "path", "value", "element"), IDENTIFYING)
def test_identifying_differences_refuse(talk: Caller, way: str, rule: str, path: str, value: str, element: str) -> None:
    before, traces = stored(talk), talk.count("audit_event")
    answer = refused(send(talk, way, with_value(body()[2], path, value)), 422)
    (issue,) = answer.tree["issue"]
    assert rules_of([issue]) == [rule]
    place = "DocumentReference" if way == "ITI-105" else "Bundle.entry[1].resource"
    assert issue["expression"] == [f"{place}.{element}"]
    assert "/ClinicalDocument/" in issue["diagnostics"]
    assert stored(talk) == before
    assert talk.count("audit_event") == traces + 1


@pytest.mark.parametrize("way", WAYS)
def test_other_differences_are_warnings_of_what_is_stored(talk: Caller, way: str) -> None:
    changed = with_value(with_value(body()[2], "c:title", "Autre"), "c:languageCode/@code", "en-US")
    answer = send(talk, way, changed, Prefer="return=OperationOutcome")
    issues = remarks(answer)
    assert rules_of(issues) == ["CDA-08", "CDA-11"]
    assert {each["severity"] for each in issues} == {"warning"}
    found = talk.search(
        "DocumentReference", patient__identifier=CLAIRE, identifier=body()[1]["masterIdentifier"]["value"]
    ).matches
    address = found[0]["content"][0]["attachment"]["url"].rpartition("/fhir/")[2]
    assert talk.get(address, Accept="text/xml").content == changed


@pytest.mark.parametrize("way", WAYS)
def test_documents_that_agree_bring_no_remark(registry: Caller, way: str) -> None:
    assert rules_of(remarks(send(registry, way, Prefer="return=OperationOutcome"))) == []


@pytest.mark.parametrize("way", WAYS)
def test_hostile_documents_are_refused(registry: Caller, way: str) -> None:
    before, traces = stored(registry), registry.count("audit_event")
    tried = 0
    for data, _ in HOSTILE.values():
        if not data or (len(data) > 500_000 and way == "ITI-105"):
            continue  # an empty document is refused by LOT-13, or by the length of the body
        answer = refused(send(registry, way, data), 422)
        assert rules_of(answer.tree["issue"]) == ["CDA-01"], data[:100]
        assert "hostname" not in answer.content.decode()
        tried += 1
    assert tried >= 20
    assert stored(registry) == before
    assert registry.count("audit_event") == traces + tried


HOOKS = (
    '<!DOCTYPE a [<!ENTITY e SYSTEM "{to}">]>',
    '<!DOCTYPE a SYSTEM "{to}">',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "{to}"> %p;]>',
    '<?xml-stylesheet type="text/xsl" href="{to}"?>',
    '<?xml-model href="{to}"?>',
)
INSIDE = (
    '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{to}"/>',
    '<id xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:schemaLocation="urn:hl7-org:v3 {to}" root="1.2"/>',
    '<id xml:base="{to}" root="1.2"/>',
    '<title><reference xmlns="urn:hl7-org:v3" value="{to}"/></title>',
)


def test_nothing_that_a_cda_names_is_fetched(registry: Caller, tmp_path: Path) -> None:
    """TF-093, TF-094, TF-096: a listener, and a file whose text must not appear anywhere."""
    canary = tmp_path / "canary.txt"
    canary.write_text("canary-3f1c")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        for to in (f"http://127.0.0.1:{listener.getsockname()[1]}/x", canary.as_uri(), str(canary)):
            documents = [hook.format(to=to).encode() + PLAIN for hook in HOOKS]
            documents += [PLAIN.replace(b"<title>", each.format(to=to).encode() + b"<title>") for each in INSIDE]
            for data in documents:
                for way in WAYS:
                    answer = send(registry, way, data)
                    assert answer.status == 422
                    assert b"canary-3f1c" not in answer.content
        with pytest.raises(TimeoutError):
            listener.accept()


# --- settings ---------------------------------------------------------------------------------------


@pytest.fixture
def caller_with(make_app: MakeApp, seeded_url: str, token: MakeToken) -> Any:
    return lambda **settings: Caller(make_app(seeded_url, **settings).test_client(), token)


@pytest.mark.parametrize("way", WAYS)
def test_strict_and_chosen_rules_refuse(caller_with: Any, way: str) -> None:
    changed = with_value(body()[2], "c:title", "Autre")
    for setting in ("strict", "CDA-08"):
        assert refused(send(caller_with(cda_check=setting), way, changed), 422).rules >= {"CDA-08"}
    assert send(caller_with(cda_check="CDA-09"), way, changed).status in (200, 201)


@pytest.mark.parametrize("way", WAYS)
def test_off_compares_nothing_but_still_refuses_what_is_unsafe(caller_with: Any, way: str) -> None:
    caller = caller_with(cda_check="off")
    changed = with_value(with_value(body()[2], "c:id/@root", "1.2.3"), MATRICULE, HENRI.split("|")[1])
    assert refused(send(caller, way, HOSTILE["external entity"][0]), 422).rules >= {"CDA-01"}
    assert rules_of(remarks(send(caller, way, changed, Prefer="return=OperationOutcome"))) == []


# --- the patient ------------------------------------------------------------------------------------


def by_address(caller: Caller) -> Tree:
    """Metadata that name Claire Martin by the address of her record alone."""
    patient = caller.get("Patient?" + query(identifier=CLAIRE)).matches[0]
    _, tree, _ = body()
    kept = [each for each in tree["contained"] if each["resourceType"] != "Patient"]
    context = {name: value for name, value in tree["context"].items() if name != "sourcePatientInfo"}
    return {"subject": {"reference": f"Patient/{patient['id']}"}, "contained": kept, "context": context}


def test_the_patient_of_the_cda_is_that_of_the_record(registry: Caller) -> None:
    """Even when the metadata give no INS at all."""
    metadata = by_address(registry)
    for number in (HENRI.split("|")[1], "299999999999999"):
        changed = with_value(body()[2], MATRICULE, number)
        assert refused(send(registry, "ITI-105", changed, metadata=metadata), 422).rules >= {"CDA-05"}
    assert rules_of(remarks(send(registry, "ITI-105", metadata=metadata, Prefer="return=OperationOutcome"))) == []


def test_another_system_of_matricules_is_another_patient(registry: Caller) -> None:
    changed = with_value(body()[2], "c:recordTarget/c:patientRole/c:id/@root", "1.2.250.1.213.1.4.8")
    assert refused(send(registry, "ITI-65", changed), 422).rules >= {"CDA-05"}


# --- versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_one_document_per_set_and_version(registry: Caller, way: str) -> None:
    assert send(registry, way).status in (200, 201)
    before = stored(registry)
    twin = new_version(body()[2], "twin")
    answer = refused(send(registry, way, twin, metadata=master("twin")), 409)
    assert answer.rules >= {"CDA-23", "XDSRegistryMetadataError"}
    assert stored(registry) == before
    second = new_version(body()[2], "twin", 2)
    assert send(registry, way, second, metadata=master("twin")).status in (200, 201)


def test_the_version_of_a_deleted_document_is_free_again(registry: Caller) -> None:
    assert send(registry, "ITI-105").status == 201
    twin = new_version(body()[2], "twin")
    refused(send(registry, "ITI-105", twin, metadata=master("twin")), 409)
    found = registry.search(
        "DocumentReference", patient__identifier=CLAIRE, identifier=body()[1]["masterIdentifier"]["value"]
    ).matches
    assert registry.ask("DELETE", f"DocumentReference/{found[0]['id']}").status == 204
    assert send(registry, "ITI-105", twin, metadata=master("twin")).status == 201
    again = new_version(body()[2], "again")
    refused(send(registry, "ITI-105", again, metadata=master("again")), 409)


def test_the_same_set_and_version_in_another_record_is_another_document(registry: Caller) -> None:
    """A record's documents are nobody else's business: setId is not looked for elsewhere."""
    assert send(registry, "ITI-105").status == 201
    data = new_version(with_value(body()[2], MATRICULE, JULIEN.split("|")[1]), "julien")
    _, tree, _ = body()
    kept = [each for each in tree["contained"] if each["resourceType"] != "Patient"]
    context = {name: value for name, value in tree["context"].items() if name != "sourcePatientInfo"}
    metadata = {"subject": {"reference": f"Patient?identifier={JULIEN}"}, "contained": kept, "context": context}
    answer = send(registry, "ITI-105", data, metadata=metadata | master("julien"))
    assert answer.status == 201, answer.content


def test_the_same_lot_again_is_answered_as_done(registry: Caller) -> None:
    assert send(registry, "ITI-65").statuses == ["201"] * 3
    assert send(registry, "ITI-65").statuses == ["200"] * 3


def replacement(parent: str, **values: str) -> tuple[bytes, Tree]:
    """The second version of the tour's document, its parentDocument and other roots as asked."""
    _, tree, data = body("replace.json")
    data = with_value(data, "c:relatedDocument/c:parentDocument/c:id/@root", parent)
    for path, value in values.items():
        data = with_value(data, f"c:{path}", value)
    return data, tree


def test_a_replacement_that_agrees_brings_no_remark(registry: Caller) -> None:
    send(registry, "ITI-65")
    answer = send(registry, "ITI-65", step="replace.json")
    assert answer.status == 200, answer.content
    assert rules_of(remarks(answer)) == []


@pytest.mark.parametrize("way", WAYS)
def test_the_replaced_document_and_its_set_are_compared(registry: Caller, way: str) -> None:
    send(registry, "ITI-65")
    _, _, good = body("replace.json")
    changed = with_value(good, "c:relatedDocument/c:parentDocument/c:id/@root", "1.2.3")
    changed = with_value(changed, "c:setId/@root", "1.2.4")
    answer = send(registry, way, changed, step="replace.json", Prefer="return=OperationOutcome")
    issues = remarks(answer)
    assert rules_of(issues) == ["CDA-21", "CDA-24"]
    assert said_at(good, "c:setId/@root") in issues[1]["diagnostics"]
    assert "/ClinicalDocument/versionNumber" in issues[1]["diagnostics"]


def test_strict_refuses_a_replacement_that_the_cda_does_not_say(caller_with: Any) -> None:
    caller = caller_with(cda_check="strict")
    send(caller, "ITI-65")
    before = stored(caller)
    changed = with_value(body("replace.json")[2], "c:versionNumber/@value", "1")
    answer = refused(send(caller, "ITI-65", changed, step="replace.json"), 422)
    assert answer.rules >= {"CDA-23", "CDA-24"}
    assert stored(caller) == before


def test_a_cda_that_replaces_what_is_no_cda(registry: Caller) -> None:
    """The first version was a text: there is no set to keep."""
    simple = copy.deepcopy(tour()["publish-simple.json"])
    assert registry.create(simple).status == 201
    _, _, good = body("replace.json")
    parent = simple["masterIdentifier"]["value"].removeprefix("urn:oid:")
    data = with_value(good, "c:relatedDocument/c:parentDocument/c:id/@root", parent)
    relation = {"code": "replaces", "target": {"identifier": simple["masterIdentifier"]}}
    answer = send(registry, "ITI-105", data, "replace.json", metadata={"relatesTo": [relation]},
                  Prefer="return=OperationOutcome")  # fmt: skip
    assert rules_of(remarks(answer)) == []


def test_a_document_that_only_looks_like_a_cda_is_stored_with_a_remark(registry: Caller) -> None:
    _, tree, _ = body()
    content = copy.deepcopy(tree["content"])
    content[0]["format"] = {"system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                            "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"}  # fmt: skip
    metadata = {"content": content, "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}}
    answer = send(registry, "ITI-105", PLAIN, metadata=metadata, Prefer="return=OperationOutcome")
    assert rules_of(remarks(answer)) == ["CDA-03", "CDA-08"]
