"""One thread works at a time, in the order of arrival; who waits for the disk lets others work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dmp_fhir.store.turns import Turns


def queued(turns: Turns, work: Callable[[], None]) -> threading.Thread:
    """A thread that has come for its turn while this one has it."""
    before = len(turns._queue)

    def run() -> None:
        with turns.turn():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    while len(turns._queue) == before:
        time.sleep(0.001)
    return thread


def test_turns_come_in_the_order_of_arrival() -> None:
    turns, seen = Turns(), []
    with turns.turn():
        threads = [queued(turns, lambda n=n: seen.append(n)) for n in range(5)]
        assert seen == []
    for thread in threads:
        thread.join(5)
    assert seen == [0, 1, 2, 3, 4]


def test_who_waits_lets_others_work_and_goes_on_after_them() -> None:
    turns, seen = Turns(), []
    with turns.turn():
        thread = queued(turns, lambda: seen.append("other"))
        with turns.waiting():
            thread.join(5)
        seen.append("first")
    assert seen == ["other", "first"]


def test_others_first_means_those_who_are_there() -> None:
    turns, seen = Turns(), []
    with turns.turn():
        threads = [queued(turns, lambda n=n: seen.append(n)) for n in range(3)]
        turns.let_others_first()
        seen.append("first")
    for thread in threads:
        thread.join(5)
    assert seen == [0, 1, 2, "first"]


def test_never_two_at_once() -> None:
    turns, inside, most = Turns(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns.turn():
                inside += 1
                most = max(most, inside)
                inside -= 1
                with turns.waiting():
                    time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (most, inside, len(turns._queue), turns._working) == (1, 0, 0, None)


def test_a_turn_is_given_back_after_a_fault_and_nobody_needs_one() -> None:
    turns = Turns()
    try:
        with turns.turn(), turns.waiting():
            raise ValueError
    except ValueError:
        pass
    assert turns._working is None
    with turns.waiting():  # without a turn: nothing to hand on
        turns.let_others_first()
    assert turns._working is None
