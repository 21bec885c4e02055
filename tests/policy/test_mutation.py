"""Mutation of the rules: each rule switched off, turned round, or of the other effect must be noticed.

A rule whose `when` is asked is mutated in its `when`; one that is chosen by name (a relation, the default) in its
effect or reason. The check set is tests/policy/law.py with the cases of test_scenarios.py.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dmp_fhir.policy.rules
from dmp_fhir.policy import engine
from dmp_fhir.policy.algebra import Known
from dmp_fhir.policy.rules.base import Asked, DocumentRule, Effect, Rule
from tests.policy.law import CHECKS

BY_NAME = {id(rule) for rule in (*engine.BY_RELATION.values(), engine.NOBODY, engine.NOT_AUTHOR)}
"""Chosen by name: their `when` only documents them."""


def every_rule() -> list[Rule | DocumentRule]:
    """Every rule object that a module of the rules or the engine holds, once."""
    found: dict[int, Rule | DocumentRule] = {}

    def gather(value: Any) -> None:
        if isinstance(value, (Rule, DocumentRule)):
            found[id(value)] = value
        elif isinstance(value, (tuple, dict)):
            for each in value.values() if isinstance(value, dict) else value:
                gather(each)

    names = [f"dmp_fhir.policy.rules.{each.name}" for each in pkgutil.iter_modules(dmp_fhir.policy.rules.__path__)]
    for module in (*map(importlib.import_module, names), engine):
        for value in vars(module).values():
            gather(value)
    return list(found.values())


def _not(when: Callable[[Asked], bool]) -> Callable[[Asked], bool]:
    return lambda asked: not when(asked)


def mutants(rule: Rule | DocumentRule) -> Iterator[tuple[str, str, Any]]:
    """(name of the mutation, field, its new value)."""
    if isinstance(rule, DocumentRule):
        yield "off", "when", Known(lambda caller: False)
        yield "on", "when", Known(lambda caller: True)
        yield "inverted", "when", ~rule.when
        if rule.unless is not None:
            yield "no exemption", "unless", None
            yield "exemption of all", "unless", Known(lambda caller: True)
            yield "exemption inverted", "unless", ~rule.unless
    elif id(rule) in BY_NAME:
        if rule is not engine.NOT_AUTHOR:
            yield "other effect", "effect", Effect.DENY if rule.effect is Effect.PERMIT else Effect.PERMIT
        if rule.effect is Effect.DENY:
            yield "other reason", "reason", "OTHER"
    else:
        yield "off", "when", lambda asked: False
        yield "inverted", "when", _not(rule.when)
        # The acts of feeding are those of its stage; the rule is only asked who feeds.
        if rule is not engine.FEEDS:
            yield "no act", "actions", frozenset()


def noticed() -> bool:
    """Whether some line of the check set no longer holds."""
    try:
        return not all(line.holds() for line in CHECKS)
    except (LookupError, AttributeError, TypeError):
        return True


def test_the_check_set_holds() -> None:
    for line in CHECKS:
        assert line.holds(), (line.name, line.decide())


def test_no_mutant_survives(capsys: pytest.CaptureFixture[str]) -> None:
    rules = every_rule()
    tried, survivors = 0, []
    for rule in rules:
        for name, field, value in mutants(rule):
            original = getattr(rule, field)
            object.__setattr__(rule, field, value)
            try:
                tried += 1
                if not noticed():
                    survivors.append(f"{rule.id} {rule.reason or 'permit'} {name}: {rule.en}")
            finally:
                object.__setattr__(rule, field, original)
    with capsys.disabled():
        killed = tried - len(survivors)
        print(f"\npolicy mutation: {len(rules)} rules, {tried} mutants, {killed} killed, {len(survivors)} survived")
    assert survivors == []
    assert len(rules) > 70
    assert not noticed()
