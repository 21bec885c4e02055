"""The page of the rules is generated, complete and fresh."""

from __future__ import annotations

from dmp_fhir.policy.document import PAGE, STAGES, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m dmp_fhir.policy.document"


def test_every_rule_says_why_in_both_languages() -> None:
    rules = [rule for _, stage in STAGES for rule in stage]
    assert len(rules) > 50
    for rule in rules:
        assert rule.fr.endswith((".", ")."))
        assert rule.en.endswith((".", ")."))
        assert rule.fr != rule.en
        assert rule.source
        assert rule.id.startswith(("AR-", "DIR-"))
        assert (rule.reason is None) == (rule.effect.value == "permit")
