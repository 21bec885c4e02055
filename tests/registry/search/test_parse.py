"""Parameters as sent -> query, and every refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.canonicals import INS_NIR_TEST, URI
from dmp_fhir.outcome import Refused
from dmp_fhir.registry.search.parameters import searched_types
from dmp_fhir.registry.search.parse import parse
from dmp_fhir.registry.search.query import (
    PatientById,
    PatientByIdentifier,
    ReferenceValue,
    SearchQuery,
    TextValue,
    TokenValue,
)
from dmp_fhir.registry.search.readers import split, unescape
from tests.registry.search.support import BASE, pairs_of

P1 = PatientById("p1")
BY_INS = PatientByIdentifier(INS_NIR_TEST, "123")


def read(text: str, resource_type: str = "DocumentReference", *, lenient: bool = False) -> SearchQuery:
    return parse(resource_type, pairs_of(text), lenient=lenient, base_url=BASE)


def refusal(text: str, resource_type: str = "DocumentReference", *, lenient: bool = False) -> tuple[int, str]:
    with pytest.raises(Refused) as raised:
        read(text, resource_type, lenient=lenient)
    refused = raised.value.refusal
    assert all(issue.fr and issue.en for issue in refused.issues)
    return refused.status, refused.issues[0].code


@pytest.mark.parametrize(
    ("text", "patients"),
    [
        ("patient=p1", (P1,)),
        ("patient=Patient/p1", (P1,)),
        ("patient:Patient=p1", (P1,)),
        (f"patient={BASE}/Patient/p1", (P1,)),
        ("subject=Patient/p1", (P1,)),
        ("patient=Patient/p1&subject=p1", (P1,)),
        (f"patient.identifier={INS_NIR_TEST}|123", (BY_INS,)),
        (f"patient:Patient.identifier={INS_NIR_TEST}|123", (BY_INS,)),
        (f"patient:identifier={INS_NIR_TEST}|123", (BY_INS,)),
        (f"subject.identifier={INS_NIR_TEST}|123", (BY_INS,)),
        (f"patient={INS_NIR_TEST}|123", (BY_INS,)),
        ("patient.identifier=123", (PatientByIdentifier(None, "123"),)),
        ("patient.identifier=|123", (PatientByIdentifier("", "123"),)),
        (f"patient=p1&patient.identifier={INS_NIR_TEST}|123", (P1, BY_INS)),
        ("status=current", ()),
    ],
)
def test_patients(text: str, patients: tuple) -> None:
    query = read(text)
    assert query.patients == patients
    assert not query.asks("patient")


@pytest.mark.parametrize(
    "text",
    [
        "patient=",
        "patient=Patient/",
        "patient=p1,p2",
        "patient.identifier=a|1,a|2",
        "patient=p1&patient=p2",
        "patient=p1&subject=p2",
        "patient=https://other.test/fhir/Patient/p1",
        "patient=Group/p1",
        "patient:Group=p1",
        "patient:missing=true",
        "patient:missing=false",
        "patient:not=p1",
        "patient.identifier:not=a|1",
        "patient=urn:uuid:0",
        "patient.identifier=a|",
    ],
)
def test_patients_that_are_refused(text: str) -> None:
    assert refusal(text)[0] == 400


def test_a_patient_is_searched_in_its_own_record() -> None:
    query = read(f"identifier={INS_NIR_TEST}|123", "Patient")
    assert query.patients == (BY_INS,)
    assert query.asks("identifier")
    assert read("_id=p1", "Patient").patients == (P1,)
    for text in ("identifier=a|1,a|2", "_id=p1,p2", "_id=p1&_id=p2", f"identifier={INS_NIR_TEST}|"):
        assert refusal(text, "Patient")[0] == 400


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("type=a", (TokenValue(None, "a"),)),
        ("type=s|a", (TokenValue("s", "a"),)),
        ("type=|a", (TokenValue("", "a"),)),
        ("type=s|", (TokenValue("s", None),)),
        ("type=a,b", (TokenValue(None, "a"), TokenValue(None, "b"))),
        (r"type=s\|1|a\,b\\c\$", (TokenValue("s|1", "a,b\\c$"),)),
        (r"type=a\b", (TokenValue(None, "a\\b"),)),
        ("author.family=Le Goff", (TextValue("Le Goff"),)),
        ("relatesto=x", (ReferenceValue("DocumentReference", "x"),)),
        ("author=x", (ReferenceValue("", "x"),)),
        ("author:Device=x", (ReferenceValue("Device", "x"),)),
        (f"author={BASE}/Device/x", (ReferenceValue("Device", "x"),)),
        ("author=https://o.test/Device/x", (ReferenceValue("", "", URI, "https://o.test/Device/x"),)),
        ("related=s|v", (ReferenceValue("", "", "s", "v"),)),
        ("author:identifier=s|v", (ReferenceValue("", "", "s", "v"),)),
        ("author.identifier=v", (ReferenceValue("", "", None, "v"),)),
    ],
)
def test_values(text: str, values: tuple) -> None:
    (criterion,) = read(text).criteria
    assert criterion.values == values


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("colour=red", "not-supported"),
        ("_has:List:item:_id=1", "not-supported"),
        ("_filter=x", "not-supported"),
        ("_query=x", "not-supported"),
        ("_elements=id", "not-supported"),
        ("author.birthdate=1980", "not-supported"),
        ("author.practitioner.family=x", "not-supported"),
        ("relatesto.type=x", "not-supported"),
        ("status[]=current", "not-supported"),
        ("type:text=x", "not-supported"),
        ("type:in=x", "not-supported"),
        ("type:exact=x", "not-supported"),
        ("status:missing=true", "not-supported"),
        ("date:exact=2024", "not-supported"),
        ("author:Group=x", "not-supported"),
        ("author.family:missing=true", "not-supported"),
        ("author.identifier:not=1", "not-supported"),
        ("author:identifier.family=x", "not-supported"),
        ("_include=*", "not-supported"),
        ("_include=DocumentReference:author", "not-supported"),
        ("_include:iterate=DocumentReference:relatesto", "not-supported"),
        ("_revinclude=AuditEvent:entity", "not-supported"),
        ("_revinclude=*", "not-supported"),
        ("_summary=text", "not-supported"),
        ("_summary=true", "not-supported"),
        ("_total=maybe", "not-supported"),
        ("_sort=author", "not-supported"),
        ("_sort=--date", "not-supported"),
        ("_count:exact=1", "not-supported"),
        ("status=", "required"),
        ("status= ", "required"),
        ("type=a,,b", "value"),
        ("type=|", "value"),
        ("type=a|b|c", "value"),
        ("type:missing=maybe", "value"),
        ("isArchived=yes", "value"),
        ("isArchived=s|true", "value"),
        ("author.family=-", "value"),
        ("author.family=" + "x" * 256, "value"),
        ("author=Group/1", "value"),
        ("author:Device=Patient/1", "value"),
        ("relatesto=not an id", "value"),
        ("date=yesterday", "value"),
        ("date=2024-13", "value"),
        ("date=2023-02-29", "value"),
        ("date=2024-01-01T25:00:00Z", "value"),
        ("date=2024-01T10:00:00Z", "value"),
        ("date=xx2024", "value"),
        ("date=0000", "value"),
        ("date=2024-01-01T10", "value"),
        ("date=２０２４", "value"),
        ("_count=-1", "value"),
        ("_count=ten", "value"),
        ("_count=1e3", "value"),
        ("_count=1000000000", "value"),
        ("_count=٣", "value"),
        ("_count=1&_count=2", "invalid"),
        ("_sort=date&_sort=type", "invalid"),
        ("_sort=date,type,period,creation", "too-costly"),
        ("type=" + ",".join("abcdefghij" * 11), "too-costly"),
        ("type=" + "x" * 1025, "too-costly"),
        ("type=" + "x" * 20_000, "too-costly"),
        ("&".join(["type=a"] * 51), "too-costly"),
        ("type=a\x00b", "value"),
        ("type=a\ud800", "value"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    assert refusal(text) == (413 if code == "too-costly" else 400, code)


@pytest.mark.parametrize("resource_type", ["Binary", "Bundle", "Nothing", ""])
def test_types_that_are_not_searched(resource_type: str) -> None:
    assert refusal("_id=1", resource_type) == (400, "not-supported")


def test_every_unsupported_parameter_is_named_at_once() -> None:
    with pytest.raises(Refused) as raised:
        read("colour=red&status=current&size=1")
    texts = [issue.en for issue in raised.value.refusal.issues]
    assert [name for name in ("'colour'", "'size'") for text in texts if name in text] == ["'colour'", "'size'"]
    assert "author.family" in texts[0]


def test_what_a_client_sends_is_not_echoed_in_full() -> None:
    with pytest.raises(Refused) as raised:
        read("<script>" + "x" * 100 + "=1")
    assert "<" not in raised.value.refusal.issues[0].fr


def test_lenient_leaves_aside_and_says_so() -> None:
    query = read("status=current&colour=red&_include=*&author.birthdate=1980", lenient=True)
    assert query.used == (("status", "current"),)
    assert query.includes == ()
    assert [(each.severity, each.code) for each in query.remarks] == [("warning", "not-supported")] * 3


@pytest.mark.parametrize("text", ["type:text=x", "date=yesterday", "patient:missing=true", "_count=ten", "type="])
def test_leniency_has_limits(text: str) -> None:
    assert refusal(text, lenient=True)[0] == 400


@pytest.mark.parametrize(
    ("text", "count", "count_only"),
    [("_id=1", 20, False), ("_count=7", 7, False), ("_count=999", 200, False), ("_count=0", 20, True)],
)
def test_count(text: str, count: int, count_only: bool) -> None:
    query = read(text)
    assert (query.count, query.count_only) == (count, count_only)


def test_the_self_link_shows_the_count_that_is_used() -> None:
    assert read("_count=999").used == (("_count", "200"),)


def test_sort_keys_in_order() -> None:
    assert read("_sort=-date,type").sort == (("date", True), ("type", False))
    assert read("_sort=date,type,-date").sort == (("date", False), ("type", False))


def test_result_parameters() -> None:
    query = read(
        "_total=none&_summary=false&_include=DocumentReference:relatesto&_include=DocumentReference:patient"
        "&_include=DocumentReference:patient&_revinclude=List:item&_format=json&_pretty=true"
    )
    assert query.with_total is False
    assert query.count_only is False
    assert query.includes == ("DocumentReference:relatesto", "DocumentReference:patient")
    assert query.revincludes == ("List:item",)
    assert "_format" not in dict(query.used)


texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)


@given(st.lists(texts, min_size=1, max_size=5))
def test_escaped_parts_come_back(parts: list[str]) -> None:
    escaped = [part.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$") for part in parts]
    assert [unescape(part) for part in split(",".join(escaped), ",")] == parts


NAMES = st.sampled_from(
    ["status", "type", "date", "author", "author.family", "patient", "_count", "_sort", "isArchived", "identifier"]
)


@given(
    st.sampled_from(searched_types()),
    st.lists(st.tuples(st.one_of(NAMES, texts), texts), max_size=6),
    st.booleans(),
)
def test_whatever_is_sent_is_read_or_refused(resource_type: str, pairs: list, lenient: bool) -> None:
    query = refused = None
    try:
        query = parse(resource_type, pairs, lenient=lenient, base_url=BASE)
    except Refused as exception:
        refused = exception.refusal
    if query is None:
        assert refused is not None
        assert refused.status == 400
    else:
        again = parse(resource_type, list(query.used), lenient=False, base_url=BASE)
        assert (again.patients, again.criteria) == (query.patients, query.criteria)
