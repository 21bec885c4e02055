from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.profiles.primitives import AT_ONCE, EXPECTED, TEXTS, VALUES, date_interval, is_date, is_primitive_value
from tests.hostile.payloads import PRIMITIVES
from tests.support import resources, tally

DAY = 86_400_000


@pytest.mark.parametrize(("kind", "value"), PRIMITIVES, ids=[f"{kind} {value!r}" for kind, value in PRIMITIVES])
def test_values_outside_of_their_type(kind, value):
    assert not is_primitive_value(kind, value)


@given(st.data())
def test_values_of_their_type(data):
    kind = data.draw(st.sampled_from(sorted(resources.PRIMITIVES)))
    assert is_primitive_value(kind, data.draw(resources.PRIMITIVES[kind]))


@given(st.data())
def test_what_passes_at_once_passes_the_whole_test(data):
    kind = data.draw(st.sampled_from(sorted(AT_ONCE)))
    pattern = AT_ONCE[kind].__self__
    text = data.draw(st.from_regex(pattern, fullmatch=True) | st.from_regex(pattern, fullmatch=True).map(str.upper))
    assert is_primitive_value(kind, text) or not AT_ONCE[kind](text)


def test_each_type_has_a_test_and_a_name():
    assert set(EXPECTED) == set(TEXTS) | set(VALUES) == set(resources.PRIMITIVES)


@given(st.dates(min_value=date(1000, 1, 1)))
def test_real_days_are_dates(day):
    assert is_date(day.isoformat())


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31))
def test_days_are_those_of_the_calendar(year, month, day):
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        date(year, month, day)
        real = True
    except ValueError:
        real = False
    assert is_date(text) is real
    if not real:
        with pytest.raises(ValueError):
            date_interval(text)


def paris(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo("Europe/Paris")).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2021", paris(2021, 1, 1), paris(2022, 1, 1)),
        ("2021-02", paris(2021, 2, 1), paris(2021, 3, 1)),
        ("2021-12", paris(2021, 12, 1), paris(2022, 1, 1)),
        ("2021-07-14", paris(2021, 7, 14), paris(2021, 7, 15)),
        ("2021-03-28", paris(2021, 3, 28), paris(2021, 3, 28) + 23 * 3_600_000),
        ("2021-10-31", paris(2021, 10, 31), paris(2021, 10, 31) + 25 * 3_600_000),
        ("1970-01-01T00:00:00Z", 0, 1000),
        ("1970-01-01T01:00:00+01:00", 0, 1000),
        ("1969-12-31T22:00:00.5-02:00", 500, 600),
        ("1970-01-01T00:00:00.123Z", 123, 124),
        ("1970-01-01T00:00:00.1239Z", 123, 124),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000, 1_483_228_801_000),
    ],
)
def test_intervals(text, low, high):
    assert date_interval(text) == (low, high)


TRAPS = [
    # Both changes of the clock: the day lasts 23 hours, then 25; an hour that is not, and one that is twice.
    ("2024-03-31", "2024-03-30T23:00:00", "2024-03-31T22:00:00"),
    ("2024-10-27", "2024-10-26T22:00:00", "2024-10-27T23:00:00"),
    ("2024-03", "2024-02-29T23:00:00", "2024-03-31T22:00:00"),
    ("2024-10", "2024-09-30T22:00:00", "2024-10-31T23:00:00"),
    ("2024-03-31T01:59:59+01:00", "2024-03-31T00:59:59", "2024-03-31T01:00:00"),
    ("2024-03-31T03:00:00+02:00", "2024-03-31T01:00:00", "2024-03-31T01:00:01"),
    ("2024-03-31T02:30:00+01:00", "2024-03-31T01:30:00", "2024-03-31T01:30:01"),
    ("2024-10-27T02:30:00+02:00", "2024-10-27T00:30:00", "2024-10-27T00:30:01"),
    ("2024-10-27T02:30:00+01:00", "2024-10-27T01:30:00", "2024-10-27T01:30:01"),
    # Leap days, and centuries without one.
    ("2024-02-29", "2024-02-28T23:00:00", "2024-02-29T23:00:00"),
    ("2024-02", "2024-01-31T23:00:00", "2024-02-29T23:00:00"),
    ("2023-02", "2023-01-31T23:00:00", "2023-02-28T23:00:00"),
    ("2000-02-29", "2000-02-28T23:00:00", "2000-02-29T23:00:00"),
    ("2100-02", "2100-01-31T23:00:00", "2100-02-28T23:00:00"),
    ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59", "2024-03-01T00:00:00"),
    # The turn of the year, here and elsewhere.
    ("2023", "2022-12-31T23:00:00", "2023-12-31T23:00:00"),
    ("2023-12-31", "2023-12-30T23:00:00", "2023-12-31T23:00:00"),
    ("2024-01-01", "2023-12-31T23:00:00", "2024-01-01T23:00:00"),
    ("2023-12-31T23:59:59+01:00", "2023-12-31T22:59:59", "2023-12-31T23:00:00"),
    ("2024-01-01T00:00:00+01:00", "2023-12-31T23:00:00", "2023-12-31T23:00:01"),
    ("2024-01-01T00:00:00+14:00", "2023-12-31T10:00:00", "2023-12-31T10:00:01"),
    ("2023-12-31T23:59:59-12:00", "2024-01-01T11:59:59", "2024-01-01T12:00:00"),
    # Leap seconds fall at the end of a day of UTC.
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00", "2017-01-01T00:00:01"),
    ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00", "2017-01-01T00:00:01"),
    ("2015-07-01T13:59:60+14:00", "2015-07-01T00:00:00", "2015-07-01T00:00:01"),
    # Overseas: Martinique, Guyane, Saint-Pierre, Réunion, Mayotte, Nouvelle-Calédonie, Tahiti, Marquises, Wallis.
    ("2024-07-01T20:00:00-04:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-01T21:00:00-03:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-01T22:00:00-02:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-02T04:00:00+04:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-02T03:00:00+03:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-02T11:00:00+11:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-01T14:00:00-10:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-01T14:30:00-09:30", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
    ("2024-07-02T12:00:00+12:00", "2024-07-02T00:00:00", "2024-07-02T00:00:01"),
]
NO_DATES = [
    "2023-02-29", "2100-02-29", "2024-02-30", "2024-04-31", "2024-13", "2024-01-01T24:00:00Z", "2024-01-01T10:00:00",
    "2024-01-01T10:00:00+14:01", "2024-01-01T10:00:00+15:00", "2024-01-01T12:00:60Z", "2016-12-31T23:59:60+01:00",
    "2024-01-01T10:60:00Z", "0000-01-01", "24-01-01",
]  # fmt: skip


@pytest.mark.parametrize(("text", "low", "high"), TRAPS)
def test_tf_248_traps_of_the_calendar(text, low, high):
    """Expected in UTC, written by hand."""
    expected = tuple(int(datetime.fromisoformat(f"{each}+00:00").timestamp() * 1000) for each in (low, high))
    assert date_interval(text) == expected
    tally.count("K", "traps of the calendar tried")


@pytest.mark.parametrize("text", NO_DATES)
def test_tf_248_no_dates(text):
    with pytest.raises(ValueError):
        date_interval(text)
    tally.count("K", "traps of the calendar tried")


def test_the_last_days_of_the_calendar():
    low, high = date_interval("9999-12-31")
    assert high - low == DAY
    assert date_interval("9999")[1] == high == date_interval("9999-12")[1]


@given(st.dates(min_value=date(1901, 1, 1), max_value=date(9990, 1, 1)))
def test_days_follow_one_another(day):
    following = (day + timedelta(days=1)).isoformat()
    assert date_interval(day.isoformat())[1] == date_interval(following)[0]
    month, year = date_interval(day.isoformat()[:7]), date_interval(day.isoformat()[:4])
    inner = date_interval(day.isoformat())
    assert year[0] <= month[0] <= inner[0] < inner[1] <= month[1] <= year[1]


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-840, 840))
def test_moments_mean_what_python_thinks(moment, minutes):
    sign, away = ("+", minutes) if minutes >= 0 else ("-", -minutes)
    text = moment.isoformat(timespec="milliseconds") + f"{sign}{away // 60:02}:{away % 60:02}"
    utc = moment.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    expected = (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert date_interval(text) == (expected, expected + 1)


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_a_value_error(text):
    try:
        low, high = date_interval(text)
    except ValueError:
        return
    assert low < high


ATTACKS = [
    "a " * 25_000,
    "urn:oid:1" + ".1" * 25_000 + "x",
    "1" * 50_000,
    "A" * 49_999 + "!",
    "=" * 50_000,
    " " * 50_000,
]


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_no_text_is_slow(kind):
    for attack in ATTACKS:
        start = time.process_time()
        is_primitive_value(kind, attack)
        assert time.process_time() - start < 0.1
