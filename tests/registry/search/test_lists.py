"""Includes and entries of lists never show what is hidden (TF-009, TF-010, TF-011)."""

from __future__ import annotations

import json

import pytest

from dmp_fhir.outcome import Refused
from dmp_fhir.registry.search import execute
from dmp_fhir.registry.search.lists import visible_entries, without_hidden_entries
from dmp_fhir.store.database import Database
from dmp_fhir.wire.json import dump_json
from tests.registry.search.support import (
    EVERYTHING,
    RECORD,
    Condition,
    document,
    ids,
    patient,
    put,
    search,
    submission_set,
)

# The two predicates bind the same name to different values: neither may reach the other.
SOME = EVERYTHING | {
    "DocumentReference": Condition("d.id <> :policy_id", {"policy_id": "hidden"}),
    "List": Condition("l.id <> :policy_id", {"policy_id": "hidden-folder"}),
}


@pytest.fixture
def record(database: Database) -> Database:
    with database.transaction() as tx:
        put(tx, patient())
        put(tx, document("old", status="superseded"))
        relation = [
            {"code": "replaces", "target": {"reference": f"DocumentReference/{each}"}} for each in ("old", "hidden")
        ]
        put(tx, document("new", relatesTo=relation))
        put(tx, document("hidden"))
        put(tx, document("deleted", status="entered-in-error"))
        put(
            tx, submission_set("set", "new", "hidden", "deleted", text={"status": "generated", "div": "<div>all</div>"})
        )
        put(tx, submission_set("plain", "new", "old"))
        put(tx, submission_set("hidden-folder", "new"))
        folders = [{"item": {"reference": f"List/{each}"}} for each in ("hidden-folder", "plain")]
        put(tx, submission_set("nested", entry=folders))
    return database


def included(database: Database, resource_type: str, *pairs: tuple[str, str]) -> set[str]:
    page = search(database, resource_type, *pairs, predicates=SOME)
    return {f"{each.resource_type}/{each.id}" for each in page.included}


def entries(body: bytes) -> list[str]:
    return [each["item"]["reference"] for each in json.loads(body).get("entry", [])]


def test_includes_of_documents(record: Database) -> None:
    new = ("_id", "new")
    assert included(record, "DocumentReference", new, ("_include", "DocumentReference:relatesto")) == {
        "DocumentReference/old"
    }
    assert included(record, "DocumentReference", new, ("_include", "DocumentReference:patient")) == {
        f"Patient/{RECORD}"
    }
    assert included(record, "DocumentReference", new, ("_include", "DocumentReference:subject")) == {
        f"Patient/{RECORD}"
    }
    assert included(record, "DocumentReference", new, ("_revinclude", "List:item")) == {"List/set", "List/plain"}


def test_includes_of_lists(record: Database) -> None:
    assert included(record, "List", ("_include", "List:item"), ("_include", "List:patient")) == {
        "DocumentReference/new",
        "DocumentReference/old",
        f"Patient/{RECORD}",
    }


def test_a_match_is_not_included_again(record: Database) -> None:
    page = search(record, "DocumentReference", ("_include", "DocumentReference:relatesto"), predicates=SOME)
    assert ids(page) == {"new", "old"}
    assert page.included == []


def test_nothing_is_included_from_an_empty_page(record: Database) -> None:
    assert included(record, "DocumentReference", ("_id", "hidden"), ("_include", "DocumentReference:patient")) == set()


def test_too_many_includes_are_refused(record: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "MOST_INCLUDED", 1)
    with pytest.raises(Refused) as raised:
        search(record, "List", ("_include", "List:item"))
    assert raised.value.refusal.issues[0].code == "too-costly"


def test_lists_show_visible_entries_only(record: Database) -> None:
    found = {each.id: each.body for each in search(record, "List", predicates=SOME).matches}
    assert entries(found["set"]) == ["DocumentReference/new"]
    assert b"all" not in found["set"]
    assert entries(found["plain"]) == ["DocumentReference/new", "DocumentReference/old"]
    assert entries(found["nested"]) == ["List/plain"]
    page = search(record, "DocumentReference", ("_id", "new"), ("_revinclude", "List:item"), predicates=SOME)
    assert entries(next(each.body for each in page.included if each.id == "set")) == ["DocumentReference/new"]


def test_item_is_searched_among_visible_documents(record: Database) -> None:
    assert ids(search(record, "List", ("item", "new"), predicates=SOME)) == {"set", "plain"}
    assert ids(search(record, "List", ("item", "hidden"), predicates=SOME)) == set()
    assert ids(search(record, "List", ("item", "hidden"))) == {"set"}
    assert ids(search(record, "List", ("item", "deleted"))) == set()


def test_totals_are_those_of_what_is_visible(record: Database) -> None:
    assert search(record, "DocumentReference", ("_summary", "count"), predicates=SOME).total == 2
    assert search(record, "List", ("_summary", "count"), predicates=SOME).total == 3


def test_entries_by_list(record: Database) -> None:
    with record.snapshot() as reader:
        found = visible_entries(reader, ["set", "nested", "unknown"], SOME, RECORD)
        assert visible_entries(reader, [], SOME, RECORD) == {}
    assert found == {
        "set": {("DocumentReference", "new")},
        "nested": {("List", "plain")},
        "unknown": frozenset(),
    }


def test_bodies_of_lists() -> None:
    whole = dump_json(submission_set("s", "a", "b"))
    both = frozenset({("DocumentReference", "a"), ("DocumentReference", "b")})
    assert without_hidden_entries(whole, both) is whole
    assert "entry" not in json.loads(without_hidden_entries(whole, frozenset()))
    by_number = dump_json(submission_set("s", entry=[{"item": {"identifier": {"value": "1"}}}]))
    assert b"identifier" not in without_hidden_entries(by_number, both)
