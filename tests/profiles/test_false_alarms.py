"""Resources generated from the profiles conform to them: the validator has nothing to say."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmp_fhir.profiles.active import SHIPPED
from dmp_fhir.profiles.definitions import resource_types
from dmp_fhir.profiles.rules import LEVELS
from dmp_fhir.profiles.validator import Validator
from tests.support.conforming import Conforming

FOLDER = SHIPPED


@cache
def ours() -> Validator:
    return Validator.load(FOLDER)


def _names() -> list[str]:
    return sorted(url for url, plan in ours().profiles.items() if plan.type in resource_types())


def _sound(seed: int, url: str, level: str) -> None:
    tree = Conforming(ours(), seed).resource(url)
    issues = ours().validate(tree, [url], level)
    assert issues == [], (url, seed, level, [(each.rule, each.expression, each.en) for each in issues], tree)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(_names()), st.sampled_from(LEVELS))
def test_no_false_alarm(seed, url, level):
    _sound(seed, url, level)


@pytest.mark.campaign
def test_no_false_alarm_in_20000():
    names = _names()
    for seed in range(20_000):
        _sound(seed, names[seed % len(names)], LEVELS[seed % len(LEVELS)])
    print(f"20,000 resources of {len(names)} profiles, no false alarm")
