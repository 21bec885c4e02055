"""The pages: links lead somewhere, what the code cites is there, commands that are shown exist."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from dmp_fhir.cli import COMMANDS
from tests.readme.tour import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "fixtures" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
RECORDS = sorted(ROOT.glob("docs/decisions/[0-9]*.md"))
SOURCES = sorted(ROOT.glob("dmp_fhir/**/*.py"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_DECISION = re.compile(r"\bD(?:[1-9]|[12]\d|3[0-4])\b")
_PATH = re.compile(r"(?<![\w./-])(?:dmp_fhir|docs|fixtures|tests|tools)/[\w./-]*\w")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_paths_that_are_named_exist(page: Path) -> None:
    assert [path for path in _PATH.findall(page.read_text(encoding="utf-8")) if not (ROOT / path).exists()] == []


def test_paths_named_by_the_code_exist() -> None:
    missing = {
        (source.name, path)
        for source in SOURCES
        for path in re.findall(r"docs/[\w./-]*\w\.md", source.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    }
    assert missing == set()


def test_the_world_is_as_large_as_the_pages_say() -> None:
    """Thirteen patients, seventy-two documents."""
    bundles = [json.loads(path.read_bytes()) for path in ROOT.glob("fixtures/world/*.json")]
    kinds = Counter(entry["resource"]["resourceType"] for bundle in bundles for entry in bundle["entry"])
    people = json.loads((ROOT / "fixtures" / "cast.json").read_bytes())["patients"]
    assert (len(people), kinds["DocumentReference"]) == (13, 72)
    for page in (ROOT / "README.md", ROOT / "fixtures" / "README.md", ROOT / "CHANGELOG.md"):
        text = page.read_text(encoding="utf-8").lower()
        assert "thirteen" in text
        assert "seventy-two documents" in text


def test_every_record_is_in_the_index_and_says_why() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    # Numbers are given before the records are written: they may have holes, never twins.
    numbers = [record.name[:5] for record in RECORDS]
    assert len(set(numbers)) == len(numbers)
    for record in RECORDS:
        text = record.read_text(encoding="utf-8")
        assert re.match(r"[0-9]{4}-", record.name)
        assert f"[{record.name[:4]}]({record.name})" in index
        assert text.startswith(f"# {record.name[:4]} · ")
        assert all(part in text for part in ("**Question.**", "**Decision.**", "**Why.**"))


def test_every_decision_that_the_code_cites_has_a_record() -> None:
    recorded = {
        each for record in RECORDS for each in _DECISION.findall(record.read_text(encoding="utf-8").split("\n")[2])
    }
    cited = {each for source in SOURCES for each in _DECISION.findall(source.read_text(encoding="utf-8"))}
    assert cited
    assert cited - recorded == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_are_shown_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|bin/|\$ |\()dmp-fhir ([a-z-]+)", text)) <= set(COMMANDS)
    assert set(re.findall(r"(?:`|^\$ (?:\S+=\S+ )?)make ([a-z]+)", text, re.MULTILINE)) <= set(targets)
