"""What the oracle explains is about rules and cases that exist."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from oracle.explained import FILE, Explanation, explanations

RESULTS = json.loads((Path(__file__).parents[2] / "oracle" / "results.json").read_text("utf-8"))
SPECIFICATIONS = ("https://hl7.org/fhir/R4/", "https://profiles.ihe.net/", "https://interop.esante.gouv.fr/")


@pytest.mark.parametrize("each", explanations(), ids=lambda each: each.cause)
def test_an_explanation_names_a_difference_that_was_seen_and_the_paragraph_that_proves_us_right(
    each: Explanation,
) -> None:
    seen = RESULTS["causes"].get(each.cause)
    if seen is None:
        assert each.seed is not None, "not a cause of any difference any more: take it out"
        assert each.seed != RESULTS["seed"]
    else:
        assert seen["side"] == each.side
        assert seen["cases"] > 0
    assert each.side in ("ours", "HAPI")
    page, paragraph = each.source.split("#")
    assert page.startswith(SPECIFICATIONS)
    assert page.endswith(".html")
    assert paragraph
    assert len(each.why) > 40
    for pattern in (each.rule, each.text, each.path, each.case):
        re.compile(pattern)


def test_no_difference_is_kept_on_purpose() -> None:
    """An explanation says which paragraph proves us right, and has no room for another verdict: where HAPI is right, we
    are mended."""
    names = {each.name for each in fields(Explanation)}
    assert names == {"cause", "side", "rule", "source", "why", "text", "path", "case", "seed"}
    assert all(set(each) <= names for each in json.loads(FILE.read_text("utf-8")))
    assert "chosen" not in FILE.read_text("utf-8")


def test_no_recorded_difference_lacks_its_explanation() -> None:
    assert set(RESULTS["causes"]) <= {each.cause for each in explanations()}


def test_enough_was_compared() -> None:
    assert RESULTS["cases"] >= 1000
    assert set(RESULTS["groups"]) >= {"valid", "mutant", "invariant", "fixture", "words", "generated", "damaged"}
