"""docs/validation.md is what the code and the profiles say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from dmp_fhir.profiles import active, noted
from dmp_fhir.profiles.cda_rules import RULES

ROOT = Path(__file__).parents[2]


def test_the_page_is_fresh() -> None:
    made = subprocess.run([sys.executable, "tools/describe_validation.py", "--check"], cwd=ROOT, check=False)
    assert made.returncode == 0, "run: python tools/describe_validation.py"


def test_every_rule_id_of_the_registry_stands_in_it() -> None:
    page = (ROOT / "docs" / "validation.md").read_text("utf-8")
    for name in ("submission", "content", "document", "consent", "identifiers"):
        source = (ROOT / "dmp_fhir" / "profiles" / f"{name}.py").read_text("utf-8")
        for rule in set(re.findall(r'"((?:LOT|DMP|ID|AR)-[A-Z0-9]+|D[0-9]+)"', source)):
            assert f"| {rule} |" in page, rule
    for rule in RULES:
        assert f"| {rule} |" in page, rule
    for source in {rule.source for rule in active.validator().rules.values() if rule not in noted.RULES}:
        assert f"<{source}>" in page
    for rule in noted.RULES:
        assert f"| `{rule.element}/{rule.aspect}` |" in page


def test_every_rule_that_r4_gives_in_words_stands_in_it() -> None:
    page = (ROOT / "docs" / "validation.md").read_text("utf-8")
    source = (ROOT / "dmp_fhir" / "profiles" / "base_rules.py").read_text("utf-8")
    rules = set(re.findall(r'fault\(\s*"(FHIR R4 [^"]+)"', source))
    assert len(rules) > 3
    for rule in rules:
        assert re.search(rf"\| {re.escape(rule)} \| \w+ \| \S.+ \| \S.+ \| \[.+\]\(https://hl7.org/fhir/R4/", page), (
            rule
        )
