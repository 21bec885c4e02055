"""The page of the rules is generated, complete and fresh."""

from __future__ import annotations

from dmp_fhir.policy.document import PAGE, STAGES, page
from dmp_fhir.policy.elsewhere import CARRIED_OUT, LEFT_OUT


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


def test_every_rule_of_the_book_has_its_place() -> None:
    """AR-01 to AR-99: a rule, or carried out elsewhere, or left out with the reason; never two of these."""
    rules = {identifier for _, stage in STAGES for rule in stage for identifier in rule.ids}
    book = {f"AR-{number:02d}" for number in range(1, 100)}
    assert book - rules == CARRIED_OUT.keys() | LEFT_OUT.keys()
    assert not CARRIED_OUT.keys() & LEFT_OUT.keys()
    assert all(text.endswith(".") for text in (*CARRIED_OUT.values(), *LEFT_OUT.values()))
