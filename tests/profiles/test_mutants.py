"""Every constraint of the PDSm guide, broken one at a time: the rule that was broken refuses, and no other."""

from __future__ import annotations

import pytest

from dmp_fhir.profiles.active import SHIPPED
from dmp_fhir.profiles.validator import Validator
from tests.profiles.mutants import Mutant
from tests.profiles.mutants_bundles import TABLE

CASES = [(url, mutant) for url, (_, mutants) in TABLE.items() for mutant in mutants]


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator.load(SHIPPED)


@pytest.mark.parametrize("url", TABLE)
@pytest.mark.parametrize("level", ["released", "main", "mhd"])
def test_a_valid_resource_is_accepted(validator: Validator, url: str, level: str) -> None:
    valid, _ = TABLE[url]
    assert validator.validate(valid, [url], level) == []


@pytest.mark.parametrize(
    ("url", "mutant"), CASES, ids=[f"{u.rsplit('/')[-1]}-{m.constraint}-{m.way}" for u, m in CASES]
)
def test_a_broken_constraint_is_refused_by_its_rule_and_only_by_it(
    validator: Validator, url: str, mutant: Mutant
) -> None:
    valid, _ = TABLE[url]
    issues = validator.validate(mutant.tree(valid), [url], mutant.level)
    own = [issue for issue in issues if issue.rule == mutant.rule]
    assert [issue.severity for issue in own] == [mutant.severity]
    assert {issue.rule for issue in issues} - {mutant.rule} == mutant.also
    assert own[0].fr
    assert own[0].en


def test_the_count(validator: Validator, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        for url, (valid, mutants) in TABLE.items():
            constraints = {mutant.constraint for mutant in mutants}
            missed = [
                mutant
                for mutant in mutants
                if mutant.rule not in {i.rule for i in validator.validate(mutant.tree(valid), [url], mutant.level)}
            ]
            name = url.rsplit("/", 1)[1]
            print(f"  {name}: {len(constraints)} constraints, {len(mutants)} mutants, {len(missed)} missed")
            assert not missed
