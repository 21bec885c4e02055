from __future__ import annotations

import pytest

from dmp_fhir.canonicals import EXT_IS_ARCHIVED
from dmp_fhir.outcome import Refused
from dmp_fhir.wire.changes import MOST_OPERATIONS, Change, archived_value, change, read_all


def status_of(act, *arguments) -> int:
    with pytest.raises(Refused) as caught:
        act(*arguments)
    return caught.value.refusal.status


def test_operations_are_read_with_their_place():
    assert read_all(["a", "b"], lambda operation, where: (operation, where)) == [
        ("a", "Patch.operation[0]"),
        ("b", "Patch.operation[1]"),
    ]
    assert status_of(read_all, [], None) == 422
    assert status_of(read_all, ["a"] * (MOST_OPERATIONS + 1), None) == 413


@pytest.mark.parametrize("value", ["current ", "Current", None, True, ["current"], {}])
def test_a_status_is_exactly_one_of_three(value):
    assert status_of(change, "status", "replace", None, value, "x") == 422


def test_a_status_with_a_blank_is_shown():
    with pytest.raises(Refused) as caught:
        change("status", "replace", None, "current ", "x")
    assert "« current  »" in caught.value.refusal.issues[0].fr


def test_what_makes_no_sense():
    assert status_of(change, "status", "remove", None, None, "x") == 422
    assert status_of(change, "securityLabel", "remove", "-", None, "x") == 422
    assert status_of(change, "securityLabel", "test", "-", {"text": "a"}, "x") == 422
    assert status_of(change, "isArchived", "add", "-", "true", "x") == 422
    assert change("isArchived", "remove", None, "ignored", "x") == Change("isArchived", "remove", None, None)


def test_only_the_archive_extension_is_an_archive_flag():
    assert archived_value({"url": EXT_IS_ARCHIVED, "valueBoolean": False}, "x") is False
    assert archived_value({"url": EXT_IS_ARCHIVED}, "x") is None
    assert status_of(archived_value, {"url": "http://example.org/x", "valueBoolean": True}, "x") == 405
    assert status_of(archived_value, {"url": EXT_IS_ARCHIVED, "valueBoolean": True, "id": "a"}, "x") == 422
    assert status_of(archived_value, None, "x") == 422
