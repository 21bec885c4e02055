"""The shipped profiles are written so that other tools read them too, not only ours."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.profiles import active
from dmp_fhir.profiles.definitions import Element, type_of

STRUCTURES = active.validator().library.structures


def _ids(url: str) -> list[str]:
    return [each["id"] for each in STRUCTURES[url]["differential"]["element"]]


def _place(kind: str, id_: str, slices: dict[str, list[str]]) -> list[tuple[int, int]]:
    """The place of each step of an id among the elements of R4 and the slices before it."""
    place: list[tuple[int, int]] = []
    current: str | None = kind
    above = kind
    for step in id_.split(".")[1:]:
        name, _, slice_name = step.partition(":")
        elements = type_of(current).elements if current else ()
        number, current = next(
            ((n, _type(each, name)) for n, each in enumerate(elements) if _is(each, name)),
            (-(name == "extension"), None),
        )
        order = slices.setdefault(f"{above}.{name}", [""])
        if slice_name not in order:
            order.append(slice_name)
        place.append((number, order.index(slice_name)))
        above += "." + step
    return place


def _is(element: Element, name: str) -> bool:
    return name.removesuffix("[x]") == element.name or (element.choice and name.startswith(element.name))


def _type(element: Element, name: str) -> str | None:
    named = {element.name + each[0].upper() + each[1:]: each for each in element.types}
    return element.types[0] if len(element.types) == 1 else named.get(name)


@pytest.mark.parametrize("url", STRUCTURES)
def test_differentials_are_in_the_order_of_r4(url: str) -> None:
    """Else a snapshot generator passes over what comes too late (https://hl7.org/fhir/R4/profiling.html#snapshot)."""
    slices: dict[str, list[str]] = {}
    places = [_place(STRUCTURES[url]["type"], each, slices) for each in _ids(url)]
    assert places == sorted(places)


@pytest.mark.parametrize("url", STRUCTURES)
def test_a_slice_is_stated_before_what_it_holds(url: str) -> None:
    ids = _ids(url)
    for n, id_ in enumerate(ids):
        steps = id_.split(".")
        for count in range(2, len(steps)):
            if ":" in steps[count - 1]:
                assert ".".join(steps[:count]) in ids[:n]


@pytest.mark.parametrize("url", STRUCTURES)
def test_what_a_profile_discriminates_has_a_profile(url: str) -> None:
    """https://hl7.org/fhir/R4/profiling.html#discriminator"""
    elements = STRUCTURES[url]["differential"]["element"]
    for each in elements:
        for discriminator in each.get("slicing", {}).get("discriminator", ()):
            if discriminator["type"] == "profile":
                assert all(_profiled(below) for below in _at(elements, each["id"], discriminator["path"]))


def _at(elements: list[dict[str, Any]], sliced: str, path: str) -> list[dict[str, Any]]:
    found = [each for each in elements if each["id"].startswith(sliced + ":") and each["id"].endswith("." + path)]
    assert found
    return found


def _profiled(element: dict[str, Any]) -> bool:
    return all(each.get("profile") or each.get("targetProfile") for each in element["type"])
