"""The comparison itself: what is one mistake, and what is a difference."""

from __future__ import annotations

import random

import pytest

from oracle.compare import Error, differences, element
from oracle.damage import damaged


def error(path: str, rule: str = "a") -> Error:
    return Error(rule, path, "")


@pytest.mark.parametrize(
    ("hapi", "ours"),
    [
        ("Bundle.entry[0].resource/*List/null*/.source", "Bundle.entry[0].resource.source"),
        ("Patient.extension[0].value.ofType(Reference)", "Patient.extension[0].valueReference"),
        ("Patient.extension[0].value[x].system", "Patient.extension[0].valueIdentifier.system"),
        ("$", "Resource"),
        ("Patient._birthDate.extension[0]", "Patient.birthDate.extension[0]"),
        ("Consent.policy[0].uri", "Consent.policy[0].uri"),
    ],
)
def test_ways_are_written_the_same(hapi: str, ours: str) -> None:
    assert element(hapi) == element(ours)


@pytest.mark.parametrize(
    ("ours", "hapi", "alone"),
    [
        ([error("Patient.gender")], [error("Patient.gender")], []),
        ([error("Patient.gender")], [error("Patient")], []),  # what lacks, and what should hold it
        ([error("Patient.name")], [error("Patient.name[1]")], []),
        ([error("Patient.gender")], [error("Patient.name")], ["ours", "HAPI"]),
        ([error("Patient.gender")], [], ["ours"]),
        ([], [error("Patient.gender")], ["HAPI"]),
        ([error("Bundle.entry[0].resource.code.text")], [error("Bundle.entry[0]", "b")], ["ours", "HAPI"]),
        (
            [error("Bundle.entry[0].resource.code.text")],
            [error("Bundle.entry[0]", "Validation_VAL_Profile_NotSlice")],
            [],
        ),
        ([], [error("Bundle.entry[0]", "Validation_VAL_Profile_NotSlice")], ["HAPI"]),
        ([error("Patient.name")], [error("Patient.name"), error("Bundle", "Reference_REF_CantMatchChoice")], []),
        ([error("Patient.contained[0].meta.versionId", "dom-4")], [error("Patient", "dom-4")], []),
        ([error("Patient.id")], [error("Patient.id", ""), error("Patient.name", "ext-1")], []),  # unread, then missed
    ],
)
def test_what_one_side_alone_says(ours: list[Error], hapi: list[Error], alone: list[str]) -> None:
    found = differences("case", ours, hapi)
    assert [each.side for each in found] == alone
    assert all(each.verdict == (not ours or not hapi) for each in found)


def test_a_damage_changes_a_copy_the_same_way_for_a_seed() -> None:
    tree = {"resourceType": "Patient", "name": [{"family": "A", "given": ["B", "C"]}], "active": True}
    before = repr(tree)
    made = [damaged(tree, random.Random(seed)) for seed in range(50)]
    assert repr(tree) == before
    assert all(broken != tree for _, broken in made)
    assert made == [damaged(tree, random.Random(seed)) for seed in range(50)]
