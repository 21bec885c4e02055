"""Rates: the algorithm against a plain model, names without number, several processes, clocks that go back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.limits.rates import Demand, Rates
from tests.limits.processes import together


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> Rates:
    return Rates(tmp_path_factory.mktemp("rates") / "rates")


_names = iter(range(10**9))


@given(
    st.sampled_from([(1, 1), (1, 5), (10, 1), (20, 200), (0.5, 3), (1 / 3600, 1)]),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 3)), max_size=60),
)
def test_as_a_bucket_that_leaks(rates: Rates, limit: tuple[float, int], steps: list[tuple[int, int]]) -> None:
    """`burst` tokens, filled again at `rate`: admitted exactly when there are enough; refused demands cost nothing."""
    rate, burst = limit
    name, now = f"n{next(_names)}", 1_700_000_000_000
    interval = round(1_000_000 / rate)
    full = tokens = burst * interval
    before = now
    for wait, cost in steps:
        now += wait
        tokens = min(full, tokens + (now - before) * 1_000)
        before = now
        exceeded = rates.admit([Demand(name, rate, burst, cost)], now)
        assert (exceeded is None) == (tokens >= cost * interval)
        if exceeded is None:
            tokens -= cost * interval
        else:
            missing = cost * interval - tokens
            assert exceeded.retry_s == -(-missing // 1_000_000)


def test_all_demands_or_none(rates: Rates) -> None:
    tight, wide = Demand("tight", 1, 1), Demand("wide", 1, 2)
    assert rates.admit([wide, tight], 1_000_000) is None
    refused = rates.admit([wide, tight], 1_000_000)
    assert refused is not None
    assert refused.demand is tight
    assert rates.admit([wide], 1_000_000) is None


def test_a_clock_that_goes_back_locks_nobody_out(rates: Rates) -> None:
    demand = Demand("back", 1, 3)
    assert rates.admit([demand], 10**12) is None
    waits = [each.retry_s if each else 0 for each in (rates.admit([demand], 1_000) for _ in range(5))]
    assert waits == [0, 0, 0, 1, 1]
    assert rates.admit([demand], 2_000) is None


def test_names_without_number_stay_in_their_file(tmp_path: Path) -> None:
    """A million names in a table for 65,536: no growth, and a busy name is not forgotten for idle ones."""
    rates = Rates(tmp_path / "rates")
    size = (tmp_path / "rates").stat().st_size
    busy = Demand("busy", 1, 2_000)
    for n in range(1_000):
        assert rates.admit([busy], 10**9) is None
        rates.admit([Demand(f"idle {n}.{m}", 1_000, 10) for m in range(100)], 10**9)
    assert (tmp_path / "rates").stat().st_size == size == 1_048_640
    assert sum(rates.admit([busy], 10**9) is None for _ in range(2_000)) == 1_000


def test_several_processes_share_one_limit_exactly(tmp_path: Path) -> None:
    code = (
        "from dmp_fhir.limits.rates import Demand, Rates\n"
        "rates = Rates(folder / 'rates'); ready()\n"
        "print(sum(rates.admit([Demand('x', 1, 500)], 10**9) is None for _ in range(400)))\n"
    )
    assert sum(map(int, together(code, tmp_path))) == 500


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    first = Rates(tmp_path / "rates")
    assert first.admit([Demand("x", 1, 1)], 10**9) is None
    first.close()
    second = Rates(tmp_path / "rates", reserve=True)
    assert second.admit([Demand("x", 1, 1)], 10**9) is not None


@pytest.mark.parametrize("content", [b"", b"something else", b"dmp-rates-0".ljust(1_048_640, b"x")])
def test_another_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rates").write_bytes(content)
    rates = Rates(tmp_path / "rates")
    assert rates.admit([Demand("x", 1, 1)], 10**9) is None
    assert rates.admit([Demand("x", 1, 1)], 10**9) is not None
    assert (tmp_path / "rates").stat().st_mode & 0o077 == 0


def test_the_file_names_nobody(tmp_path: Path) -> None:
    rates = Rates(tmp_path / "rates")
    rates.admit([Demand("person|PS|899700000146", 1, 1)], 10**9)
    assert b"8997" not in (tmp_path / "rates").read_bytes()
