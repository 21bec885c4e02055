"""docs/search.md says what the program does."""

from __future__ import annotations

from pathlib import Path

from dmp_fhir.registry.search.document import document
from dmp_fhir.registry.search.parameters import declared, searched_types

PAGE = Path(__file__).parents[3] / "docs" / "search.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == document()


def test_definitions_are_those_of_one_parameter() -> None:
    """One canonical address per code and type: two parameters of a type never share one."""
    for resource_type in searched_types():
        codes = [each.code for each in declared(resource_type)]
        assert len(codes) == len(set(codes))
        shared = [each.definition for each in declared(resource_type) if each.code not in ("patient", "subject")]
        assert len(shared) == len(set(shared))
