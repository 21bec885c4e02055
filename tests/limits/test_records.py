"""Different things an account looked at: against a plain model, over processes, restarts and a full table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.limits.records import DAY_S, HOUR_S, LookCounts
from tests.limits.processes import together

NOW = 1_790_000_000 // DAY_S * DAY_S + 10 * HOUR_S


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> LookCounts:
    return LookCounts(tmp_path_factory.mktemp("looks") / "looks")


_names = iter(range(10**9))


@given(
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 12)), max_size=60), st.integers(1, 6), st.integers(1, 9)
)
def test_against_a_model(counts: LookCounts, steps: list[tuple[int, int]], per_hour: int, per_day: int) -> None:
    """Never more than the ceilings in any hour or day; never refused below them, but for the part of a minute."""
    account, now = f"a{next(_names)}", NOW
    counted: list[tuple[int, int]] = []  # second, thing: each counted look
    today: dict[int, set[int]] = {}
    for wait, thing in steps:
        now += wait
        day = today.setdefault(now // DAY_S, set())
        known = any(what == thing and at > now - HOUR_S for at, what in counted)
        reached = counts.look(account, str(thing), now, per_hour, per_day)
        if known and thing in day:
            assert reached is None
            continue
        in_hour = sum(at > now - HOUR_S for at, _ in counted)
        about = sum(at > now - HOUR_S - 60 for at, _ in counted)
        if reached is None:
            assert known or in_hour < per_hour
            assert thing in day or len(day) < per_day
            if not known:
                counted.append((now, thing))
            day.add(thing)
        elif reached.period == "hour":
            assert about >= per_hour
            assert 0 < reached.retry_s <= HOUR_S + 60
        else:
            assert len(day) >= per_day
            assert (now + reached.retry_s) % DAY_S == 0


def test_the_alert_is_raised_once_in_a_period(counts: LookCounts) -> None:
    firsts = []
    for n in range(10):
        reached = counts.look("alerted", str(n), NOW + n, 3, None)
        firsts.append(reached.first if reached else None)
    assert firsts == [None] * 3 + [True] + [False] * 6
    counts.untell("alerted", "hour", NOW + 10)
    again = counts.look("alerted", "new", NOW + 11, 3, None)
    assert again is not None
    assert again.first
    later = counts.look("alerted", "0", NOW + 2 * HOUR_S, 0, None)
    assert later is not None
    assert later.first


def test_several_processes_share_one_ceiling_exactly(tmp_path: Path) -> None:
    """Every process looks at records of its own and at common ones."""
    code = (
        "from dmp_fhir.limits.records import LookCounts\n"
        "counts = LookCounts(folder / 'looks'); ready()\n"
        "own = [counts.look('x', f'{number}-{n}', 10**9, 500, 10**6) for n in range(300)]\n"
        "common = [counts.look('y', str(n), 10**9, 500, 200) for n in range(300)]\n"
        "print(own.count(None), sum(bool(each and each.first) for each in own), common.count(None),"
        " sum(bool(each and each.first) for each in common))\n"
    )
    own, alerts, common, others = (
        sum(column) for column in zip(*(map(int, each.split()) for each in together(code, tmp_path)), strict=True)
    )
    assert (own, alerts) == (500, 1)
    assert others == 1
    # The 200 that were open for one were open for all: who came after looked at them too.
    assert 200 <= common <= 3 * 200


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    first = LookCounts(tmp_path / "looks")
    assert [first.look("x", str(n), NOW, 10, 2) for n in range(2)] == [None, None]
    first.close()
    second = LookCounts(tmp_path / "looks", reserve=True)
    assert second.look("x", "0", NOW, 10, 2) is None
    reached = second.look("x", "2", NOW, 10, 2)
    assert reached is not None
    assert reached.period == "day"


def test_what_is_forgotten_is_counted_again(counts: LookCounts) -> None:
    """Pairs that fall out of a full bucket make an account reach its ceiling earlier, never later."""
    looked = sum(counts.look("many", str(n), NOW, 10**6, 20_000) is None for n in range(20_500))
    assert looked == 20_000


def test_the_file_names_nobody(tmp_path: Path) -> None:
    counts = LookCounts(tmp_path / "looks")
    counts.look("records|PS|899700000146", "01234567-89ab", NOW, 1, 1)
    data = (tmp_path / "looks").read_bytes()
    assert b"8997" not in data
    assert b"0123" not in data
    assert (tmp_path / "looks").stat().st_mode & 0o077 == 0
