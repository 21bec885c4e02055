"""Every prefix and precision, against the definitions of R4 applied one document after the other.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

import itertools
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.registry.search.definitions import PREFIXES
from dmp_fhir.registry.search.parameters import parameter
from dmp_fhir.registry.search.readers import read_date
from dmp_fhir.store.database import Database
from tests.registry.search.support import document, ids, patient, put, search

# Around the turns of a year, of a month, of a day, of an hour that France lives twice, of a second.
DATES = (
    "2023",
    "2024",
    "2023-12",
    "2024-01",
    "2024-02",
    "2023-12-31",
    "2024-01-01",
    "2024-02-29",
    "2023-12-31T23:59:59+01:00",
    "2024-01-01T00:00:00+01:00",
    "2024-01-01T00:00:00.500+01:00",
    "2023-12-31T23:00:00Z",
    "2024-10-27T02:30:00+02:00",
    "2024-10-27T02:30:00+01:00",
)
PERIODS = [
    {name: text for name, text in (("start", start), ("end", end)) if text}
    for start, end in itertools.product((None, "2023", "2023-12-31", "2024-01-01T00:00:00Z"), (None, "2024", "2024-02"))
]
ENDLESS = 1 << 62


def satisfies(prefix: str, target: tuple[int, int], asked: tuple[int, int]) -> bool:
    low, high = target
    first, after = asked
    within = first <= low and high <= after
    width = after - first
    return {
        "eq": within,
        "ne": not within,
        "gt": high > after,
        "lt": low < first,
        "ge": high > after or within,
        "le": low < first or within,
        "sa": low >= after,
        "eb": high <= first,
        "ap": low < after + width and high > first - width,
    }[prefix]


def period_interval(period: dict) -> tuple[int, int]:
    start, end = period.get("start"), period.get("end")
    return (
        date_interval(start)[0] if start else -ENDLESS,
        date_interval(end)[1] if end else ENDLESS,
    )


@pytest.fixture
def dated(database: Database) -> Database:
    with database.transaction() as tx:
        put(tx, patient())
        for position, text in enumerate(DATES):
            put(tx, document(f"date-{position}", date=text))
        for position, period in enumerate(PERIODS):
            if period:
                put(tx, document(f"period-{position}", context={"period": period}))
        put(tx, document("none"))
    return database


def found(database: Database, code: str, value: str) -> set[str]:
    return ids(search(database, "DocumentReference", (code, value), ("_count", "100")))


def test_every_prefix_with_every_precision(dated: Database) -> None:
    wrong = []
    for prefix, text in itertools.product(PREFIXES, DATES):
        asked = date_interval(text)
        expected = {
            f"date-{position}"
            for position, stored in enumerate(DATES)
            if satisfies(prefix, date_interval(stored), asked)
        }
        if found(dated, "date", prefix + text) != expected:
            wrong.append(prefix + text)
        expected = {
            f"period-{position}"
            for position, period in enumerate(PERIODS)
            if period and satisfies(prefix, period_interval(period), asked)
        }
        if found(dated, "period", prefix + text) != expected:
            wrong.append("period " + prefix + text)
    assert wrong == []


days = st.dates(min_value=date(2023, 11, 1), max_value=date(2024, 12, 31))
times = st.one_of(
    st.just(""),
    st.builds(
        lambda hour, minute, second, zone: f"T{hour:02d}:{minute:02d}:{second}{zone}",
        st.integers(0, 23),
        st.integers(0, 59),
        st.sampled_from(["00", "59", "30.5", "30.123"]),
        st.sampled_from(["Z", "+01:00", "-05:00"]),
    ),
)
values = st.builds(lambda prefix, day, time: (prefix, day.isoformat() + time), st.sampled_from(PREFIXES), days, times)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(values, min_size=1, max_size=3), st.lists(values, max_size=2))
def test_alternatives_and_repetitions(dated: Database, either: list, also: list) -> None:
    def holds(stored: str, choices: list) -> bool:
        return any(satisfies(prefix, date_interval(stored), date_interval(text)) for prefix, text in choices)

    pairs = [("date", ",".join(prefix + text for prefix, text in either))]
    pairs += [("date", prefix + text) for prefix, text in also]
    expected = {
        f"date-{position}"
        for position, stored in enumerate(DATES)
        if holds(stored, either) and all(holds(stored, [each]) for each in also)
    }
    assert ids(search(dated, "DocumentReference", *pairs, ("_count", "100"))) == expected


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-01-01T10:00:00 01:00", "2024-01-01T10:00:00+01:00"),
        ("2024-01-01T10:00:00", "2024-01-01T10:00:00+01:00"),
        ("2024-07-01T10:00:00", "2024-07-01T10:00:00+02:00"),
        ("ge2024-01-01", "ge2024-01-01"),
    ],
)
def test_tolerated_spellings(text: str, same: str) -> None:
    known = parameter("DocumentReference", "date")
    assert known is not None
    assert read_date(known, text) == read_date(known, same)


def test_a_minute_without_seconds_is_a_whole_minute() -> None:
    known = parameter("DocumentReference", "date")
    assert known is not None
    value = read_date(known, "2024-01-01T10:00Z")
    assert value.high - value.low == 60_000
