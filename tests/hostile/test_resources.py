"""Well-formed resources that are wrong where they are: TF-004, TF-006, TF-032 to TF-034, TF-105, TF-107 to TF-110 and
TF-127."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from dmp_fhir.interactions.create import CREATABLE
from tests.fixtures.world import cast, tour
from tests.hostile.target import Target, tree_of

Tree = dict[str, Any]
Change = Callable[[Tree], None]

SYSTEM = "urn:oid:1.2.250.1.213.1.4.10"
INS = {patient["key"]: patient["ins"]["value"] for patient in cast()["patients"]}
LUCIA = f"Patient?identifier={SYSTEM}|{INS['lucia-orsini']}"


def body(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode()


def simple(**changes: Any) -> Tree:
    """The ITI-105 body of the tour with other elements."""
    return copy.deepcopy(tour()["publish-simple.json"]) | changes


def lot() -> Tree:
    return copy.deepcopy(tour()["publish.json"])


def parts(bundle: Tree) -> tuple[Tree, Tree, Tree]:
    """Submission set, DocumentReference and Binary of the lot."""
    found = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    return found["List"], found["DocumentReference"], found["Binary"]


# --- what a resource may not hold: TF-107, TF-043 --------------------------------------------------

RICHER: dict[str, Tree] = {
    "unknown property": {"unknown": "x"},
    "property of another type": {"birthDate": "2020-01-01"},
    "wrong case": {"Status": "current"},
    "modifierExtension": {"modifierExtension": [{"url": "http://example.org/not", "valueBoolean": True}]},
    "modifierExtension inside": {
        "context": {"modifierExtension": [{"url": "http://example.org/not", "valueCode": "x"}]}
    },
    "implicitRules": {"implicitRules": "http://example.org/rules"},
    "one instead of many": {"author": {"display": "x"}},
    "many instead of one": {"status": ["current"]},
    "object instead of text": {"status": {"value": "current"}},
    "text instead of object": {"type": "11488-4"},
    "empty object": {"type": {}},
    "empty array": {"category": []},
    "null": {"description": None},
    "null in an array": {"category": [None]},
    "two values of a choice": {
        "extension": [{"url": "http://example.org/x", "valueString": "a", "valueCode": "b"}],
    },
    "wrong choice": {"extension": [{"url": "http://example.org/x", "valueNothing": "a"}]},
    "extension without url": {"extension": [{"valueString": "a"}]},
    "extension without value": {"extension": [{"url": "http://example.org/x"}]},
    "status of another list": {"status": "active"},
    "no status": {"status": ""},
    "no content": {"content": []},
    "script in the narrative": {
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><script>a</script></div>'}
    },
    "no such fragment": {"subject": {"reference": "#nobody"}},
    "wrong target": {"subject": {"reference": "Medication/1"}},
    "period upside down": {"context": {"period": {"start": "2026-02-01", "end": "2026-01-01"}}},
    "unknown type code": {"type": {"coding": [{"system": "http://loinc.org", "code": "00000-0"}]}},
}


@pytest.mark.parametrize("name", RICHER)
def test_resource_that_holds_what_it_may_not(target: Target, name: str) -> None:
    target.refused("POST", "/DocumentReference", body=body(simple(**RICHER[name])), statuses=(400, 422))
    bundle = lot()
    parts(bundle)[1].update(RICHER[name])
    target.refused("POST", "", body=body(bundle), statuses=(400, 422))


# --- the wrong resource for the place: TF-108 ------------------------------------------------------


def test_wrong_resource_for_the_address(target: Target) -> None:
    sound = simple()
    for kind in sorted(CREATABLE - {"DocumentReference"}):
        target.refused("POST", f"/{kind}", body=body(sound), statuses=[400])
        target.refused("PUT", f"/{kind}/x", body=body(sound | {"id": "x"}), statuses=[400])
        target.refused("POST", "/DocumentReference", body=body({"resourceType": kind}), statuses=[400])
    for name in ("Nothing", 1, None, "Element", ["DocumentReference"], "Parameters", "documentreference", "", {}):
        target.refused("POST", "/DocumentReference", body=body(sound | {"resourceType": name}), statuses=(400, 422))
        target.refused("POST", "", body=body({"resourceType": name}), statuses=[400])
    target.refused("POST", "/DocumentReference", body=b"{}", statuses=[400])
    target.refused("POST", "/Binary", body=body({"resourceType": "Binary", "contentType": "a/b"}), statuses=[405])
    target.refused("POST", "/Binary", body=b"bytes", kind="application/pdf", statuses=[405])
    target.refused("POST", "/AuditEvent", body=body({"resourceType": "AuditEvent"}), statuses=[405])
    target.refused("POST", "/Bundle", body=body(lot()), statuses=[405])


@pytest.mark.parametrize(
    "kind",
    [
        "document",
        "message",
        "history",
        "searchset",
        "collection",
        "batch-response",
        "transaction-response",
        "x",
        "",
        None,
    ],
)
def test_wrong_type_of_bundle(target: Target, kind: Any) -> None:
    target.refused("POST", "", body=body(lot() | {"type": kind}), statuses=[400])


# --- contained resources and cycles: TF-109 --------------------------------------------------------


def _nested(depth: int) -> Tree:
    tree: Tree = {"resourceType": "Patient", "id": "p"}
    for n in range(depth):
        tree = {"resourceType": "Patient", "id": f"p{n}", "contained": [tree]}
    return tree


CONTAINED: dict[str, Any] = {
    "contained in contained": [_nested(1)],
    "deeply": [_nested(25)],
    "same id twice": [{"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "a"}],
    "no id": [{"resourceType": "Patient"}],
    "no type": [{"id": "a"}],
    "not a resource": ["a"],
    "meta in it": [{"resourceType": "Patient", "id": "a", "meta": {"versionId": "1"}}],
    "nobody refers to it": [{"resourceType": "Medication", "id": "zz"}],
    "10 001": [{"resourceType": "Patient", "id": f"a{n}"} for n in range(10_001)],
}


@pytest.mark.parametrize("name", CONTAINED)
def test_contained(target: Target, name: str) -> None:
    contained = tour()["publish-simple.json"]["contained"] + CONTAINED[name]
    target.refused("POST", "/DocumentReference", body=body(simple(contained=contained)), statuses=(400, 413, 422))


def test_cycles(target: Target) -> None:
    """References that lead back to where they started end in a refusal, or are kept as they are; never in a loop."""
    back = {"url": "http://example.org/x", "valueReference": {"reference": "#a"}}
    ring = [
        {"resourceType": "PractitionerRole", "id": "a", "practitioner": {"reference": "#b"}},
        {"resourceType": "Practitioner", "id": "b", "extension": [back]},
    ]
    target.refused("POST", "/DocumentReference", body=body(simple(contained=ring)), statuses=[422])
    bundle = lot()
    document = parts(bundle)[1]
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    document["relatesTo"] = [{"code": "replaces", "target": {"reference": urls[1]}}]
    target.refused("POST", "", body=body(bundle), statuses=[422])
    bundle = lot()
    parts(bundle)[0]["entry"].append({"item": {"reference": urls[0]}})
    target.refused("POST", "", body=body(bundle), statuses=[422])
    urls = [f"urn:uuid:0000000{n}-0000-4000-8000-000000000000" for n in range(2)]
    people = [
        {
            "fullUrl": url,
            "resource": {"resourceType": "PractitionerRole", "practitioner": {"reference": other}},
            "request": {"method": "POST", "url": "PractitionerRole"},
        }
        for url, other in zip(urls, reversed(urls), strict=True)
    ]
    ring_bundle = {"resourceType": "Bundle", "type": "transaction", "entry": people}
    target.refused("POST", "", body=body(ring_bundle), statuses=(403, 422))


# --- references of a bundle: TF-110, TF-033, TF-034, TF-006, TF-004 ---------------------------------


def _change_lot(name: str) -> Change:
    def of_set(change: Callable[[Tree], Any]) -> Change:
        return lambda bundle: change(parts(bundle)[0])

    def of_document(change: Callable[[Tree], Any]) -> Change:
        return lambda bundle: change(parts(bundle)[1])

    def of_binary(change: Callable[[Tree], Any]) -> Change:
        return lambda bundle: change(parts(bundle)[2])

    def url(address: str) -> Change:
        return of_document(lambda tree: tree["content"][0]["attachment"].update(url=address))

    def related(code: str, target: Any) -> Change:
        return of_document(lambda tree: tree.update(relatesTo=[{"code": code, "target": target}]))

    def same_url(bundle: Tree) -> None:
        bundle["entry"][2]["fullUrl"] = bundle["entry"][1]["fullUrl"]

    def twice(bundle: Tree) -> None:
        bundle["entry"].append(copy.deepcopy(bundle["entry"][1]))

    def orphan(bundle: Tree) -> None:
        entry = copy.deepcopy(bundle["entry"][2])
        bundle["entry"].append(entry | {"fullUrl": "urn:uuid:11111111-1111-4111-8111-111111111111"})

    def shared(bundle: Tree) -> None:
        entry = copy.deepcopy(bundle["entry"][1]) | {"fullUrl": "urn:uuid:22222222-2222-4222-8222-222222222222"}
        entry["resource"]["masterIdentifier"]["value"] += "9"
        entry["resource"]["subject"] = {"reference": LUCIA}
        bundle["entry"].append(entry)
        bundle["entry"][0]["resource"]["entry"].append({"item": {"reference": entry["fullUrl"]}})

    other = "urn:uuid:33333333-3333-4333-8333-333333333333"
    return {
        "fullUrl twice": same_url,
        "entry twice": twice,
        "Binary of nobody": orphan,
        "Binary of two patients": shared,
        "set of another patient": of_set(lambda tree: tree.update(subject={"reference": LUCIA})),
        "document of another patient": of_document(lambda tree: tree.update(subject={"reference": LUCIA})),
        "contained patient is another": of_document(
            lambda tree: tree.setdefault("contained", []).append(
                {"resourceType": "Patient", "id": "q", "identifier": [{"system": SYSTEM, "value": INS["lucia-orsini"]}]}
            )
        ),
        "no patient": of_document(lambda tree: tree.pop("subject")),
        "patient by two conditions": of_document(
            lambda tree: tree.update(subject={"reference": f"{LUCIA}&family=Orsini"})
        ),
        "patient by no identifier": of_document(
            lambda tree: tree.update(subject={"reference": "Patient?family=Martin"})
        ),
        "patient elsewhere": of_document(
            lambda tree: tree.update(subject={"reference": "https://a.test/fhir/Patient/1"})
        ),
        "document elsewhere": url("https://a.test/fhir/Binary/1"),
        "document of the registry": url("Binary/1"),
        "document in a fragment": url("#1"),
        "document in a file": url("file:///etc/passwd"),
        "document in data": url("data:text/plain;base64,QQ=="),
        "document nowhere": url(other),
        "document is the set": lambda bundle: url(bundle["entry"][0]["fullUrl"])(bundle),
        "set lists nothing": of_set(lambda tree: tree.pop("entry")),
        "set lists another": of_set(lambda tree: tree["entry"].append({"item": {"reference": other}})),
        "set lists twice": of_set(lambda tree: tree["entry"].append(tree["entry"][0])),
        "set lists a Patient": of_set(lambda tree: tree["entry"].append({"item": {"reference": "Patient/1"}})),
        "replaces nothing": related("replaces", {"reference": "DocumentReference/none"}),
        "replaces by unknown identifier": related("replaces", {"identifier": {"system": "urn:x", "value": "1"}}),
        "replaces elsewhere": related("replaces", {"reference": "https://a.test/fhir/DocumentReference/1"}),
        "replaces a List": related("replaces", {"reference": "List/1"}),
        "replaces all": related("replaces", {"reference": "DocumentReference?status=current"}),
        "appends nothing": related("appends", {"reference": "DocumentReference/none"}),
        "unknown relation": related("deletes", {"reference": "DocumentReference/none"}),
        "securityContext": of_binary(lambda tree: tree.update(securityContext={"reference": "Patient/1"})),
        "Binary without data": of_binary(lambda tree: tree.pop("data")),
        "no request": lambda bundle: bundle["entry"][1].pop("request"),
        "other method": lambda bundle: bundle["entry"][1]["request"].update(method="PUT"),
        "other address": lambda bundle: bundle["entry"][1]["request"].update(url="Patient"),
        "address with query": lambda bundle: bundle["entry"][1]["request"].update(url="DocumentReference?_id=1"),
        "absolute address": lambda bundle: bundle["entry"][1]["request"].update(url="https://a.test/DocumentReference"),
        "no set": lambda bundle: bundle["entry"].pop(0),
        "only the Binary": lambda bundle: bundle.update(entry=[bundle["entry"][2]]),
        "only the document": lambda bundle: bundle.update(entry=[bundle["entry"][1]]),
        "a Medication too": lambda bundle: bundle["entry"].append(
            {"fullUrl": other, "resource": {"resourceType": "Basic", "code": {"text": "x"}},
             "request": {"method": "POST", "url": "Basic"}}
        ),
    }[name]  # fmt: skip


LOTS = (
    "fullUrl twice", "entry twice", "Binary of nobody", "Binary of two patients", "set of another patient",
    "document of another patient", "contained patient is another", "no patient", "patient by two conditions",
    "patient by no identifier", "patient elsewhere", "document elsewhere", "document of the registry",
    "document in a fragment", "document in a file", "document in data", "document nowhere", "document is the set",
    "set lists nothing", "set lists another", "set lists twice", "set lists a Patient", "replaces nothing",
    "replaces by unknown identifier", "replaces elsewhere", "replaces a List", "replaces all", "appends nothing",
    "unknown relation", "securityContext", "Binary without data", "no request", "other method", "other address",
    "address with query", "absolute address", "no set", "only the Binary", "only the document", "a Medication too",
)  # fmt: skip


@pytest.mark.parametrize("name", LOTS)
def test_lot_with_more_or_less_than_one_meaning(each_target: Target, name: str) -> None:
    bundle = lot()
    _change_lot(name)(bundle)
    each_target.refused("POST", "", body=body(bundle), statuses=(400, 422))


# --- the document is not the one announced: TF-127 -------------------------------------------------

PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"


def sha1(content: bytes) -> str:
    return base64.b64encode(hashlib.sha1(content).digest()).decode()


CONTENTS: dict[str, Tree] = {
    "wrong hash": {"hash": sha1(b"x")},
    "hash of nothing": {"hash": sha1(b"")},
    "SHA-256": {"hash": base64.b64encode(hashlib.sha256(b"x").digest()).decode()},
    "short hash": {"hash": "AAAA"},
    "wrong size": {"size": 1},
    "size 0": {"size": 0},
    "size 0 and hash of nothing": {"size": 0, "hash": sha1(b"")},
    "empty": {"data": "", "size": 0, "hash": sha1(b"")},
    "no PDF": {"contentType": "application/pdf"},
    "no JPEG": {"contentType": "image/jpeg"},
    "no PNG": {"contentType": "image/png"},
    "not of its kind": {"contentType": "image/tiff"},
    "PDF announced as JPEG": {
        "contentType": "image/jpeg", "data": base64.b64encode(PDF).decode(), "size": len(PDF), "hash": sha1(PDF)
    },
    "no type": {"contentType": None},
    "data and url": {"url": "Binary/1"},
    "bad base64": {"data": "QQ"},
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_content_is_not_what_is_announced(target: Target, name: str) -> None:
    changes = CONTENTS[name]
    tree = simple()
    attachment = tree["content"][0]["attachment"]
    attachment.update({key: value for key, value in changes.items() if value is not None})
    for key in [key for key, value in changes.items() if value is None]:
        attachment.pop(key)
    if changes.get("data") == "":
        attachment.pop("data")
    target.refused("POST", "/DocumentReference", body=body(tree), statuses=(400, 422))
    bundle = lot()
    _, document, binary = parts(bundle)
    described = document["content"][0]["attachment"]
    described.update({key: value for key, value in changes.items() if value is not None and key not in ("data", "url")})
    if "data" in changes:
        binary["data"] = changes["data"]
        if not changes["data"]:
            binary.pop("data")
    if name == "data and url":
        described["data"] = "QQ=="
    if changes.get("contentType", "") is None:
        described.pop("contentType")
    if "hash" in changes or "size" in changes or "contentType" in changes or "data" in changes:
        target.refused("POST", "", body=body(bundle), statuses=(400, 422))


def test_type_of_the_binary_is_another(target: Target) -> None:
    bundle = lot()
    parts(bundle)[2]["contentType"] = "text/html"
    target.refused("POST", "", body=body(bundle), statuses=[422])


# --- look-alike identifiers: TF-105 ----------------------------------------------------------------

_NUMBER = INS["claire-martin"]
LOOK_ALIKES = {
    "full-width digits": "".join(chr(ord(c) + 0xFEE0) for c in _NUMBER),
    "Arabic-Indic digits": "".join(chr(ord(c) - 48 + 0x660) for c in _NUMBER),
    "one full-width digit": _NUMBER[:-1] + chr(ord(_NUMBER[-1]) + 0xFEE0),
    "zero-width space": _NUMBER[:5] + "\u200b" + _NUMBER[5:],
    "zero-width joiner": _NUMBER + "\u200d",
    "soft hyphen": _NUMBER[:5] + "\u00ad" + _NUMBER[5:],
    "word joiner": "\u2060" + _NUMBER,
    "no-break space": _NUMBER + "\u00a0",
    "trailing blank": _NUMBER + " ",
    "leading blank": " " + _NUMBER,
    "blanks inside": f"{_NUMBER[:3]} {_NUMBER[3:]}",
    "hyphens": f"{_NUMBER[:3]}-{_NUMBER[3:]}",
    "leading zero": "0" + _NUMBER,
    "no key": _NUMBER[:13],
    "wrong key": _NUMBER[:13] + "00",
    "lower-case Corsica": INS["lucia-orsini"].lower(),
    "letter O": _NUMBER.replace("0", "O"),
    "left-to-right mark": "\u200e" + _NUMBER,
    "plus": "+" + _NUMBER,
    "superscript": _NUMBER[:-1] + "\u00b3",
    "roman": _NUMBER[:-1] + "\u2162",
}
SYSTEMS = {
    "OID with a zero": "urn:oid:1.2.250.1.213.1.4.010",
    "URN in capitals": "URN:OID:1.2.250.1.213.1.4.10",
    "no urn": "1.2.250.1.213.1.4.10",
    "INS-C": "urn:oid:1.2.250.1.213.1.4.2",
    "full-width OID": "urn:oid:1.2.250.1.213.1.4.１０",
    "trailing dot": "urn:oid:1.2.250.1.213.1.4.10.",
    "blank": "urn:oid:1.2.250.1.213.1.4.10 ",
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alike_number(each_target: Target, name: str) -> None:
    """It opens no record, names none in a search, and finds none."""
    value = LOOK_ALIKES[name]
    patient = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], "active": True,
               "name": [{"family": "Martin"}], "gender": "female", "birthDate": "1974-03-12"}  # fmt: skip
    each_target.refused("POST", "/Patient", by="exploitant", body=body(patient), statuses=(400, 422))
    for subject in (
        {"reference": f"Patient?identifier={SYSTEM}|{value}"},
        {"identifier": {"system": SYSTEM, "value": value}},
    ):
        each_target.refused("POST", "/DocumentReference", body=body(simple(subject=subject)), statuses=(400, 403, 422))
    answer = each_target.harmless("GET", f"/DocumentReference?patient.identifier={SYSTEM}|{value}")
    assert answer.status_code in (400, 403)
    answer = each_target.harmless("GET", f"/Patient?identifier={SYSTEM}|{value}")
    assert answer.status_code == 400 or not tree_of(answer).get("entry")


@pytest.mark.parametrize("name", SYSTEMS)
def test_look_alike_system(each_target: Target, name: str) -> None:
    system = SYSTEMS[name]
    patient = {"resourceType": "Patient", "identifier": [{"system": system, "value": _NUMBER}], "active": True}
    each_target.refused("POST", "/Patient", by="exploitant", body=body(patient), statuses=(400, 409, 422))
    subject = {"identifier": {"system": system, "value": _NUMBER}}
    each_target.refused("POST", "/DocumentReference", body=body(simple(subject=subject)), statuses=(400, 403, 422))


# --- a batch is no side door: TF-032 ---------------------------------------------------------------


def test_batch_of_what_is_refused_alone(each_target: Target) -> None:
    """Each entry decided, answered and traced as if sent alone."""
    inner = {"resourceType": "Bundle", "type": "batch"}
    asked: list[tuple[str, str, Tree | None]] = [
        ("GET", "Patient/none", None),
        ("GET", "DocumentReference?patient.identifier=" + LUCIA.partition("=")[2], None),
        ("GET", "DocumentReference", None),
        ("GET", "https://a.test/fhir/Patient/1", None),
        ("GET", "../metadata", None),
        ("GET", "Nothing/1", None),
        ("GET", "Binary/none", None),
        ("GET", "/Patient/1", None),
        ("GET", "Patient//1", None),
        ("GET", "Patient/%00", None),
        ("GET", "Patient/" + "a" * 300, None),
        ("HEAD", "Patient/x", None),
        ("POST", "Binary", {"resourceType": "Binary", "contentType": "text/plain"}),
        ("POST", "Bundle", inner),
        ("POST", "DocumentReference", simple(subject={"reference": "Patient/none"})),
        ("POST", "DocumentReference", {"resourceType": "Patient"}),
        ("POST", "DocumentReference", None),
        ("PUT", "Patient/x", {"resourceType": "Patient"}),
        ("PATCH", "DocumentReference?status=current", {"resourceType": "Parameters"}),
        ("DELETE", "Patient/none", None),
        ("DELETE", "DocumentReference?status=current", None),
    ]
    entries = [
        {"request": {"method": method, "url": url}} | ({"resource": resource} if resource else {})
        for method, url, resource in asked
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    response, problems = each_target.attempt("POST", "", body=body(bundle))
    assert not problems
    answers = tree_of(response)["entry"]
    assert len(answers) == len(entries)
    for entry, answer in zip(entries, answers, strict=True):
        status = int(answer["response"]["status"][:3])
        assert 400 <= status < 500, (entry, answer)
        assert answer["response"]["outcome"]["issue"][0]["details"]["text"]
    assert each_target.outcomes() == ["4"] * len(entries)
    for entry in entries:
        single = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        each_target.refused("POST", "", body=body(single))
