"""The invariants of R4 for what the registry stores: each holds, and breaks, as it should."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dmp_fhir.profiles.base_invariants import ADVICE, BY_HAND, STRUCTURE, invariants_of
from dmp_fhir.profiles.definitions import invariants, type_of
from dmp_fhir.profiles.structure import structural_walk

Tree = dict[str, Any]
STORED = [
    "DocumentReference",
    "List",
    "Binary",
    "Bundle",
    "Parameters",
    "Consent",
    "AuditEvent",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "RelatedPerson",
    "Device",
    "Provenance",
    "OperationOutcome",
]

REFERENCE = {"reference": "Patient/a"}
TEXT = {"text": "a"}
NAMED = {"resourceType": "Organization", "name": "Clinique"}
PATIENT = {"resourceType": "Patient"}
NAMED_PATIENT = PATIENT | {"id": "a"}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'
CONSENT = {"resourceType": "Consent", "status": "active", "scope": TEXT, "category": [TEXT], "policyRule": TEXT}
EVENT = {
    "resourceType": "AuditEvent",
    "type": {"code": "a"},
    "recorded": "2026-01-01T00:00:00Z",
    "agent": [{"requestor": True}],
    "source": {"observer": REFERENCE},
}
LIST = {"resourceType": "List", "status": "current", "mode": "working"}
ITEM = {"item": REFERENCE}


def bundle(kind: str, *entries: Tree, **more: Any) -> Tree:
    """A bundle whose entries have an identity, where they need one."""
    if kind in ("searchset", "collection", "document", "message"):
        entries = tuple(
            {"fullUrl": f"urn:uuid:01234567-89ab-cdef-0123-{n:012}", **each} for n, each in enumerate(entries)
        )
    return {"resourceType": "Bundle", "type": kind, **({"entry": list(entries)} if entries else {}), **more}


def value(**given: Any) -> Tree:
    """A resource that has a datatype somewhere: the value of an extension."""
    return PATIENT | {"extension": [{"url": "http://example.org/x", **given}]}


def quantity(number: Any, **more: Any) -> Tree:
    return {"value": number, "system": "http://unitsofmeasure.org", "code": "s", **more}


def timing(**repeat: Any) -> Tree:
    return value(valueTiming={"repeat": repeat})


ONE = {"resourceType": "Organization", "id": "o", "name": "a"}
HELD = {"contained": [ONE], "managingOrganization": {"reference": "#o"}}
COMPOSITION = {
    "resourceType": "Composition",
    "status": "final",
    "type": TEXT,
    "date": "2026",
    "author": [{"display": "a"}],
    "title": "a",
}
HEADER = {"resourceType": "MessageHeader", "eventUri": "http://a", "source": {"endpoint": "http://a"}}
DOCUMENT = {"identifier": {"system": "urn:a", "value": "b"}, "timestamp": "2026-01-01T00:00:00Z"}
GET = {"method": "GET", "url": "Patient"}
OK = {"status": "200"}

# key, a resource where it holds, one where it doesn't, where
TABLE: list[tuple[str, Tree, Tree, str]] = [
    (
        "dom-2",
        PATIENT | HELD,
        PATIENT | HELD | {"contained": [ONE | {"contained": [ONE]}]},
        "Patient.contained[0].contained",
    ),
    ("dom-3", PATIENT | HELD, PATIENT | {"contained": [ONE]}, "Patient.contained[0]"),
    (
        "dom-4",
        PATIENT | HELD,
        PATIENT | HELD | {"contained": [ONE | {"meta": {"versionId": "1"}}]},
        "Patient.contained[0].meta.versionId",
    ),
    (
        "dom-5",
        PATIENT | HELD,
        PATIENT | HELD | {"contained": [ONE | {"meta": {"security": [{"code": "N"}]}}]},
        "Patient.contained[0].meta.security",
    ),
    ("ele-1", PATIENT | {"name": [TEXT]}, PATIENT | {"name": [{}]}, "Patient.name[0]"),
    ("ext-1", value(valueCode="a"), value(), "Patient.extension[0]"),
    (
        "ext-1",
        value(extension=[{"url": "b", "valueCode": "a"}]),
        value(valueCode="a", extension=[{"url": "b", "valueCode": "a"}]),
        "Patient.extension[0]",
    ),
    (
        "ref-1",
        PATIENT | HELD,
        PATIENT | HELD | {"generalPractitioner": [{"reference": "#x"}]},
        "Patient.generalPractitioner[0].reference",
    ),
    (
        "txt-1",
        PATIENT | {"text": {"status": "generated", "div": DIV}},
        PATIENT | {"text": {"status": "generated", "div": DIV.replace(">a", "><script>a</script>")}},
        "Patient.text.div",
    ),
    (
        "txt-1",
        PATIENT | {"text": {"status": "generated", "div": DIV}},
        PATIENT | {"text": {"status": "generated", "div": DIV.replace(">a", "> ")}},
        "Patient.text.div",
    ),
    (
        "att-1",
        value(valueAttachment={"data": "QQ==", "contentType": "text/plain"}),
        value(valueAttachment={"data": "QQ=="}),
        "Patient.extension[0].valueAttachment.contentType",
    ),
    (
        "per-1",
        value(valuePeriod={"start": "2026-01", "end": "2026"}),
        value(valuePeriod={"start": "2027", "end": "2026"}),
        "Patient.extension[0].valuePeriod",
    ),
    (
        "qty-3",
        value(valueQuantity=quantity(1)),
        value(valueQuantity={"code": "s"}),
        "Patient.extension[0].valueQuantity.system",
    ),
    (
        "cpt-2",
        PATIENT | {"telecom": [{"system": "phone", "value": "1"}]},
        PATIENT | {"telecom": [{"value": "1"}]},
        "Patient.telecom[0].system",
    ),
    (
        "rng-2",
        value(valueRange={"low": quantity(1), "high": quantity(1)}),
        value(valueRange={"low": quantity(2), "high": quantity(1)}),
        "Patient.extension[0].valueRange",
    ),
    (
        "rng-2",
        value(valueRange={"low": quantity(2, code="s"), "high": quantity(1, code="min")}),
        value(valueRange={"low": quantity(2), "high": quantity(1)}),
        "Patient.extension[0].valueRange",
    ),
    (
        "rat-1",
        value(valueRatio={"numerator": quantity(1), "denominator": quantity(2)}),
        value(valueRatio={"numerator": quantity(1)}),
        "Patient.extension[0].valueRatio",
    ),
    (
        "age-1",
        value(valueAge=quantity(1, code="a")),
        value(valueAge=quantity(-1, code="a")),
        "Patient.extension[0].valueAge",
    ),
    (
        "cnt-3",
        value(valueCount=quantity(1, code="1")),
        value(valueCount=quantity(1, code="2")),
        "Patient.extension[0].valueCount",
    ),
    (
        "dis-1",
        value(valueDistance=quantity(1, code="m")),
        value(valueDistance=quantity(1, system="urn:a")),
        "Patient.extension[0].valueDistance",
    ),
    (
        "drt-1",
        value(valueDuration=quantity(1)),
        value(valueDuration={"code": "s", "system": "urn:a", "value": 1}),
        "Patient.extension[0].valueDuration",
    ),
    (
        "exp-1",
        value(valueExpression={"language": "text/cql", "expression": "a"}),
        value(valueExpression={"language": "text/cql"}),
        "Patient.extension[0].valueExpression",
    ),
    (
        "drq-1",
        value(valueDataRequirement={"type": "Patient", "codeFilter": [{"path": "a"}]}),
        value(valueDataRequirement={"type": "Patient", "codeFilter": [{"path": "a", "searchParam": "b"}]}),
        "Patient.extension[0].valueDataRequirement.codeFilter[0]",
    ),
    (
        "drq-2",
        value(valueDataRequirement={"type": "Patient", "dateFilter": [{"path": "a"}]}),
        value(valueDataRequirement={"type": "Patient", "dateFilter": [{"valueDateTime": "2026"}]}),
        "Patient.extension[0].valueDataRequirement.dateFilter[0]",
    ),
    (
        "trd-1",
        value(valueTriggerDefinition={"type": "periodic", "timingDate": "2026"}),
        value(valueTriggerDefinition={"type": "periodic", "timingDate": "2026", "data": [{"type": "Patient"}]}),
        "Patient.extension[0].valueTriggerDefinition",
    ),
    (
        "trd-2",
        value(
            valueTriggerDefinition={
                "type": "data-changed",
                "data": [{"type": "Patient"}],
                "condition": {"language": "text/cql", "expression": "a"},
            }
        ),
        value(
            valueTriggerDefinition={
                "type": "periodic",
                "timingDate": "2026",
                "condition": {"language": "text/cql", "expression": "a"},
            }
        ),
        "Patient.extension[0].valueTriggerDefinition",
    ),
    (
        "trd-3",
        value(valueTriggerDefinition={"type": "named-event", "name": "a"}),
        value(valueTriggerDefinition={"type": "named-event"}),
        "Patient.extension[0].valueTriggerDefinition",
    ),
    ("tim-1", timing(duration=1, durationUnit="s"), timing(duration=1), "Patient.extension[0].valueTiming.repeat"),
    ("tim-2", timing(period=1, periodUnit="s"), timing(period=1), "Patient.extension[0].valueTiming.repeat"),
    (
        "tim-4",
        timing(duration=1, durationUnit="s"),
        timing(duration=-1, durationUnit="s"),
        "Patient.extension[0].valueTiming.repeat",
    ),
    (
        "tim-5",
        timing(period=1, periodUnit="s"),
        timing(period=-1, periodUnit="s"),
        "Patient.extension[0].valueTiming.repeat",
    ),
    (
        "tim-6",
        timing(period=1, periodMax=2, periodUnit="s"),
        timing(periodMax=2),
        "Patient.extension[0].valueTiming.repeat",
    ),
    (
        "tim-7",
        timing(duration=1, durationMax=2, durationUnit="s"),
        timing(durationMax=2),
        "Patient.extension[0].valueTiming.repeat",
    ),
    ("tim-8", timing(count=1, countMax=2), timing(countMax=2), "Patient.extension[0].valueTiming.repeat"),
    ("tim-9", timing(offset=5, when=["MORN"]), timing(offset=5, when=["C"]), "Patient.extension[0].valueTiming.repeat"),
    (
        "tim-10",
        timing(timeOfDay=["08:00:00"]),
        timing(timeOfDay=["08:00:00"], when=["MORN"]),
        "Patient.extension[0].valueTiming.repeat",
    ),
    (
        "pat-1",
        PATIENT | {"contact": [{"name": TEXT}]},
        PATIENT | {"contact": [{"gender": "female"}]},
        "Patient.contact[0]",
    ),
    ("org-1", NAMED, {"resourceType": "Organization", "active": True}, "Organization"),
    (
        "org-2",
        NAMED | {"address": [{"use": "work", "city": "a"}]},
        NAMED | {"address": [{"use": "home", "city": "a"}]},
        "Organization.address[0]",
    ),
    (
        "org-3",
        NAMED | {"telecom": [{"use": "work"}]},
        NAMED | {"telecom": [{"use": "work"}, {"use": "home"}]},
        "Organization.telecom[1]",
    ),
    ("ppc-1", CONSENT, {name: each for name, each in CONSENT.items() if name != "policyRule"}, "Consent"),
    (
        "sev-1",
        EVENT | {"entity": [{"name": "a"}]},
        EVENT | {"entity": [{"name": "a", "query": "QQ=="}]},
        "AuditEvent.entity[0]",
    ),
    ("lst-1", LIST | {"emptyReason": TEXT}, LIST | {"emptyReason": TEXT, "entry": [ITEM]}, "List.emptyReason"),
    (
        "lst-2",
        LIST | {"mode": "changes", "entry": [ITEM | {"deleted": True}]},
        LIST | {"entry": [ITEM | {"deleted": True}]},
        "List.entry",
    ),
    (
        "lst-3",
        LIST | {"entry": [ITEM | {"date": "2026"}]},
        LIST | {"mode": "snapshot", "entry": [ITEM | {"date": "2026"}]},
        "List.entry",
    ),
    (
        "inv-1",
        {"resourceType": "Parameters", "parameter": [{"name": "a", "valueCode": "b"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "a"}]},
        "Parameters.parameter[0]",
    ),
    (
        "inv-1",
        {"resourceType": "Parameters", "parameter": [{"name": "a", "part": [{"name": "b", "valueCode": "c"}]}]},
        {"resourceType": "Parameters", "parameter": [{"name": "a", "part": [{"name": "b"}]}]},
        "Parameters.parameter[0].part[0]",
    ),
    ("bdl-1", bundle("searchset", total=0), bundle("collection", total=0), "Bundle.total"),
    (
        "bdl-2",
        bundle("searchset", {"resource": NAMED_PATIENT, "search": {"mode": "match"}}),
        bundle("collection", {"resource": NAMED_PATIENT, "search": {"mode": "match"}}),
        "Bundle.entry[0]",
    ),
    ("bdl-3", bundle("batch", {"request": GET}), bundle("batch", {"resource": PATIENT}), "Bundle.entry[0]"),
    (
        "bdl-4",
        bundle("batch-response", {"response": OK}),
        bundle("batch-response", {"resource": PATIENT}),
        "Bundle.entry[0]",
    ),
    (
        "bdl-5",
        bundle("collection", {"resource": NAMED_PATIENT}),
        bundle("collection", {"fullUrl": "http://a/Patient/a"}),
        "Bundle.entry[0]",
    ),
    (
        "bdl-7",
        bundle("collection", {"fullUrl": "http://a/Patient/a", "resource": NAMED_PATIENT}),
        bundle("collection", *[{"fullUrl": "http://a/Patient/a", "resource": NAMED_PATIENT}] * 2),
        "Bundle.entry[1]",
    ),
    (
        "bdl-8",
        bundle("collection", {"fullUrl": "http://a/Patient/a", "resource": NAMED_PATIENT}),
        bundle("collection", {"fullUrl": "http://a/Patient/a/_history/1", "resource": NAMED_PATIENT}),
        "Bundle.entry[0]",
    ),
    (
        "bdl-9",
        bundle("document", {"resource": COMPOSITION}, **DOCUMENT),
        bundle("document", {"resource": COMPOSITION}, **DOCUMENT | {"identifier": {"value": "b"}}),
        "Bundle.identifier",
    ),
    (
        "bdl-10",
        bundle("document", {"resource": COMPOSITION}, **DOCUMENT),
        bundle("document", {"resource": COMPOSITION}, identifier=DOCUMENT["identifier"]),
        "Bundle.timestamp",
    ),
    (
        "bdl-11",
        bundle("document", {"resource": COMPOSITION}, **DOCUMENT),
        bundle("document", {"resource": PATIENT}, **DOCUMENT),
        "Bundle.entry",
    ),
    ("bdl-12", bundle("message", {"resource": HEADER}), bundle("message", {"resource": PATIENT}), "Bundle.entry"),
]
# Said of nothing a client can write: the code system of scope is literally "something" (ppc-2 to ppc-5), the second
# rule about narratives is the first again, advice isn't asked for; the others stand on ElementDefinition, which is no
# datatype of what is stored.
NOT_TRIED = {"txt-2", "ppc-2", "ppc-3", "ppc-4", "ppc-5"} | ADVICE


@pytest.mark.parametrize(("key", "holds", "breaks", "expression"), TABLE)
def test_each_holds_and_breaks(key, holds, breaks, expression):
    assert [issue for issue in structural_walk(copy.deepcopy(holds)).issues if issue.rule == key] == []
    found = structural_walk(copy.deepcopy(breaks)).issues
    assert [(issue.rule, issue.expression, issue.severity) for issue in found] == [(key, expression, "error")]


def _reached(name: str, seen: set[str]) -> None:
    """Every type a resource may have inside, those it inherits from included."""
    if name in seen or name in ("Resource", "ElementDefinition"):
        return
    seen.add(name)
    kind = type_of(name)
    for each in [kind.parent, *(type_name for element in kind.elements for type_name in element.types)]:
        if each:
            _reached(each, seen)


def test_the_table_has_every_invariant_of_what_is_stored():
    seen: set[str] = set()
    for name in STORED:
        _reached(name, seen)
    reached = {
        key
        for path, rows in invariants().items()
        for key, _, _ in rows
        if path in seen or path.rpartition(".")[0] in seen
    }
    assert reached - {key for key, *_ in TABLE} - NOT_TRIED == set()


def test_each_is_checked_once():
    """By the structure check, by hand or as FHIRPath, and nothing is forgotten."""
    run = {each.key for path in invariants() for each in invariants_of(path)}
    run |= {each.key for path in invariants() for each in invariants_of(path.rpartition(".")[0]) if "." in path}
    assert not run & (STRUCTURE | BY_HAND | ADVICE)
    assert run | STRUCTURE | BY_HAND | ADVICE == {key for rows in invariants().values() for key, _, _ in rows}


def test_both_texts_name_the_rule():
    for each in invariants_of("Organization"):
        assert each.key in each.fr
        assert each.key in each.en
        assert each.fr != each.en
