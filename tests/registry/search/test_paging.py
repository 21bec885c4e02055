"""Pages: complete, without doubles, in order, in both directions, while others write."""

from __future__ import annotations

import json
import random

import pytest

from dmp_fhir.registry.search.execute import Cursor, Page
from dmp_fhir.store.database import Database
from tests.registry.search.support import (
    EVERYTHING,
    Condition,
    document,
    event,
    patient,
    put,
    search,
    submission_set,
)

SORTS = ("", "_id", "-_id", "date", "-date", "type,-date", "-creation,date,_id", "_lastUpdated", "-_lastUpdated")
EVERY_THIRD_HIDDEN = EVERYTHING | {
    "DocumentReference": Condition("d.masked_professionals = :policy_hidden", {"policy_hidden": False})
}


@pytest.fixture
def record(database: Database) -> Database:
    """60 documents with few distinct dates and types, so that ties are many."""
    with database.transaction() as tx:
        put(tx, patient())
        for number in range(60):
            more = {"date": f"2024-0{number % 3 + 1}"} if number % 4 else {}
            put(tx, numbered(number, **more), instant=2_000 + number)
    return database


def numbered(number: int, **more: object) -> dict:
    masks = [{"coding": [{"code": "MASQUE_PS"}]}] if number % 3 == 0 else []
    return document(
        f"doc-{number:03d}",
        type={"coding": [{"system": "urn:t", "code": "ab"[number % 2]}]},
        securityLabel=masks,
        **more,
    )


def walk(database: Database, *pairs: tuple[str, str], backward: bool = False, **more: object) -> list[Page]:
    """All pages from the first; or back from the last to the first."""
    pages = [search(database, "DocumentReference", *pairs, **more)]
    while pages[-1].next:
        pages.append(search(database, "DocumentReference", *pairs, cursor=pages[-1].next, **more))
    if backward:
        pages = [pages[-1]]
        while pages[-1].previous:
            pages.append(search(database, "DocumentReference", *pairs, cursor=pages[-1].previous, **more))
        pages.reverse()
    return pages


def names(pages: list[Page]) -> list[str]:
    return [each.id for page in pages for each in page.matches]


@pytest.mark.parametrize("sort", SORTS)
def test_walks_forward_and_back_give_the_whole_in_order(record: Database, sort: str) -> None:
    pairs = [("_sort", sort)] if sort else []
    whole = names([search(record, "DocumentReference", *pairs, ("_count", "200"))])
    assert len(whole) == 60
    for size in ("7", "20", "60"):
        pages = walk(record, *pairs, ("_count", size))
        assert names(pages) == whole
        assert {page.total for page in pages} == {60}
        assert names(walk(record, *pairs, ("_count", size), backward=True)) == whole


def test_order(record: Database) -> None:
    newest = names([search(record, "DocumentReference", ("_count", "3"))])
    assert newest == ["doc-059", "doc-058", "doc-057"]
    found = search(record, "DocumentReference", ("_sort", "date"), ("_count", "200")).matches
    dates = [json.loads(each.body).get("date", "") for each in found]
    assert dates == sorted(dates)
    found = search(record, "DocumentReference", ("_sort", "-type,date"), ("_count", "200")).matches
    keys = [json.loads(each.body)["type"]["coding"][0]["code"] for each in found]
    assert keys == sorted(keys, reverse=True)


@pytest.mark.parametrize("size", ["1", "2", "7", "50"])
def test_hidden_documents_leave_no_gap(record: Database, size: str) -> None:
    """TF-012: no empty page, no short page but the last, no double, none missing."""
    pages = walk(record, ("_count", size), predicates=EVERY_THIRD_HIDDEN)
    assert len(names(pages)) == len(set(names(pages))) == 40
    assert all(len(page.matches) == int(size) for page in pages[:-1])
    assert 0 < len(pages[-1].matches) <= int(size)
    assert pages[-1].next is None
    assert pages[0].previous is None
    assert pages[0].total == 40


@pytest.mark.parametrize("sort", ["", "date", "-date", "_lastUpdated", "-_lastUpdated", "type"])
def test_what_is_written_between_pages_moves_nothing(record: Database, sort: str) -> None:
    pairs = [("_sort", sort)] if sort else []
    whole = names([search(record, "DocumentReference", *pairs, ("_count", "200"))])
    chance = random.Random(sort)
    page = search(record, "DocumentReference", *pairs, ("_count", "7"))
    seen = names([page])
    instant, versions = 10_000, dict.fromkeys(whole, 1)
    while page.next:
        with record.transaction() as tx:
            instant += 1
            put(tx, document(f"new-{instant}", date="2024-02"), instant=instant)
            changed = chance.choice(whole)
            versions[changed] += 1
            instant += 1
            number = int(changed.removeprefix("doc-"))
            more = {"date": f"2024-0{number % 3 + 1}"} if number % 4 else {}
            put(tx, numbered(number, **more), instant=instant, version=versions[changed])
        page = search(record, "DocumentReference", *pairs, ("_count", "7"), cursor=page.next)
        seen += names([page])
        assert page.total == 60
    assert seen == whole


def test_delta_by_last_change_survives_changes_between_pages(record: Database) -> None:
    pairs = [("_lastUpdated", "ge1970-01-01T00:00:02.030Z"), ("_sort", "_lastUpdated"), ("_count", "9")]
    page = search(record, "DocumentReference", *pairs)
    seen = names([page])
    with record.transaction() as tx:
        put(tx, numbered(31, date="2025"), instant=20_000, version=2)
        put(tx, numbered(50, date="2025"), instant=20_001, version=2)
    while page.next:
        page = search(record, "DocumentReference", *pairs, cursor=page.next)
        seen += names([page])
    assert seen == [f"doc-{number:03d}" for number in range(30, 60)]
    changed = search(record, "DocumentReference", ("_lastUpdated", "gt1970-01-01T00:00:10Z"))
    assert set(names([changed])) == {"doc-031", "doc-050"}


def test_a_document_hidden_between_pages_is_not_shown(record: Database) -> None:
    page = search(record, "DocumentReference", ("_count", "30"))
    assert page.next is not None
    later = search(record, "DocumentReference", ("_count", "30"), cursor=page.next, predicates=EVERY_THIRD_HIDDEN)
    assert all(int(each.id.removeprefix("doc-")) % 3 for each in later.matches)


def test_cursor_survives_a_page_link(record: Database) -> None:
    page = search(record, "DocumentReference", ("_sort", "date"), ("_count", "7"))
    assert page.next is not None
    assert Cursor.of(json.loads(json.dumps(page.next.state()))) == page.next


def test_scope_bound_to_a_snapshot(record: Database) -> None:
    page = search(record, "DocumentReference", snapshot=2_009)
    assert page.total == 10


def test_no_total_is_carried_when_none_was_asked_for(record: Database) -> None:
    page = search(record, "DocumentReference", ("_total", "none"), ("_count", "7"))
    assert page.next is not None
    assert page.next.total is None


def test_pages_of_the_trace(database: Database) -> None:
    with database.transaction() as tx:
        put(tx, patient())
        for number in range(10):
            event(tx, f"e{number}", 1_700_000_000_000 + number // 2)
    page = search(database, "AuditEvent", ("_count", "3"))
    seen = names([page])
    with database.transaction() as tx:
        event(tx, "later", 1_700_000_100_000)
    while page.next:
        page = search(database, "AuditEvent", ("_count", "3"), cursor=page.next)
        seen += names([page])
        assert page.total == 10
    assert seen == [f"e{number}" for number in reversed(range(10))]


def test_sort_of_lists(database: Database) -> None:
    with database.transaction() as tx:
        put(tx, patient())
        for number, title in enumerate(["b", "a", "c", "a"]):
            put(tx, submission_set(f"s{number}", title=title))
    assert names([search(database, "List", ("_sort", "title"))]) == ["s1", "s3", "s0", "s2"]
    assert names([search(database, "List", ("_sort", "-title"))]) == ["s2", "s0", "s3", "s1"]
