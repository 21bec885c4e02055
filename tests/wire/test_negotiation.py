from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.outcome import Refused
from dmp_fhir.wire.negotiation import (
    Format,
    PatchFormat,
    body_format,
    document_format,
    is_fhir,
    native_type,
    patch_format,
    preferences,
    response_format,
)
from tests.hostile.payloads import CONTENT_TYPES


def status_of(act, *arguments) -> int:
    with pytest.raises(Refused) as caught:
        act(*arguments)
    return caught.value.refusal.status


@pytest.mark.parametrize(("name", "content_type", "coding"), CONTENT_TYPES, ids=[row[0] for row in CONTENT_TYPES])
def test_bodies_of_another_kind(name, content_type, coding):
    assert status_of(body_format, content_type, coding) == 415
    assert status_of(patch_format, content_type, coding) == 415


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/fhir+json", Format.JSON),
        ("Application/FHIR+JSON ; charset=UTF-8", Format.JSON),
        ('application/fhir+json; charset="utf-8"; fhirVersion=4.0', Format.JSON),
        ("application/json", Format.JSON),
        ("text/json;", Format.JSON),
        ("application/fhir+xml; fhirVersion=4.0.1", Format.XML),
        ("application/xml", Format.XML),
        ("text/xml", Format.XML),
    ],
)
def test_bodies(content_type, expected):
    assert body_format(content_type) is expected
    assert body_format(content_type, "identity") is expected


@pytest.mark.parametrize("each", list(PatchFormat))
def test_patch_bodies(each):
    assert patch_format(each.value) is each


def test_a_plain_json_body_is_no_patch():
    assert status_of(patch_format, "application/json") == 415


@pytest.mark.parametrize(
    ("asked", "accept", "expected"),
    [
        (None, None, Format.JSON),
        ("", "", Format.JSON),
        ("json", "application/fhir+xml", Format.JSON),
        ("xml", "application/fhir+json", Format.XML),
        ("application/fhir+xml", None, Format.XML),
        ("application/fhir xml", None, Format.XML),
        ("application/fhir json", "application/pdf", Format.JSON),
        ("text/xml", None, Format.XML),
        (None, "*/*", Format.JSON),
        (None, "application/*", Format.JSON),
        (None, "application/fhir+xml", Format.XML),
        (None, "application/fhir+xml, application/fhir+json;q=0.9", Format.XML),
        (None, "application/fhir+xml;q=0.5, application/fhir+json", Format.JSON),
        (None, "application/fhir+json;q=0, */*", Format.XML),
        (None, "application/pdf, application/xml;q=0.1", Format.XML),
        (None, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.JSON),
        (None, "application/fhir+json;fhirVersion=5.0, application/fhir+xml;fhirVersion=4.0", Format.XML),
    ],
)
def test_answers(asked, accept, expected):
    assert response_format(asked, accept) is expected


@pytest.mark.parametrize(
    ("asked", "accept"),
    [
        ("ttl", None),
        ("application/pdf", "application/fhir+json"),
        ("application/fhir+json; fhirVersion=5.0", None),
        (None, "application/pdf"),
        (None, "application/fhir+json;q=0"),
        (None, "application/fhir+json;fhirVersion=5.0"),
        (None, "nonsense"),
        (None, "*/*;q=0"),
        (None, "application/fhir+json;q=high"),
    ],
)
def test_answers_that_cannot_be_given(asked, accept):
    assert status_of(response_format, asked, accept) == 406


def refused_with(act, *arguments) -> int | None:
    """The status of a refusal, None when there is none."""
    try:
        act(*arguments)
    except Refused as refused:
        return refused.refusal.status
    return None


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_header_has_an_answer_or_a_refusal(first, second):
    for act in (body_format, patch_format, native_type):
        assert refused_with(act, first, second) in (None, 415)
    assert refused_with(response_format, first, second) in (None, 406)
    assert preferences(first).returns in (None, "minimal", "representation", "OperationOutcome")


@pytest.mark.parametrize(
    ("asked", "accept", "expected"),
    [
        (None, None, None),
        (None, "*/*", None),
        (None, "application/pdf", None),
        (None, "application/xml", None),
        (None, "application/fhir+json", Format.JSON),
        (None, "application/fhir+xml", Format.XML),
        ("xml", "*/*", Format.XML),
    ],
)
def test_a_document_is_a_resource_only_when_asked_for_as_one(asked, accept, expected):
    assert document_format(asked, accept) is expected


def test_documents_sent_as_they_are():
    assert native_type("application/pdf").name == "application/pdf"
    assert is_fhir("application/fhir+json; charset=utf-8")
    assert not is_fhir("application/json")
    assert not is_fhir(None)


def test_preferences():
    assert preferences(None).returns is None
    assert preferences("return=minimal").returns == "minimal"
    assert preferences("return=OperationOutcome, handling=lenient").lenient
    assert preferences('return="representation"; x=y').returns == "representation"
    assert preferences("return=minimal, return=representation").returns == "minimal"
    assert preferences("handling=strict, handling=lenient").lenient is False
    assert preferences("return=everything").returns is None
    assert preferences("respond-async").async_answer
