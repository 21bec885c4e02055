"""Writes docs/access-rules.md from the rules themselves: `python -m dmp_fhir.policy.document`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.elsewhere import CARRIED_OUT, LEFT_OUT, NOTES
from dmp_fhir.policy.rules.around import AROUND, VISIBILITY_REFUSALS
from dmp_fhir.policy.rules.authentication import AUTHENTICATION
from dmp_fhir.policy.rules.base import DocumentRule, Rule
from dmp_fhir.policy.rules.blocks import BLOCKED
from dmp_fhir.policy.rules.callers import CALLERS
from dmp_fhir.policy.rules.consents import CONSENTS
from dmp_fhir.policy.rules.feeding import DEPOSIT_REFUSALS, FEEDS, NOT_AUTHOR
from dmp_fhir.policy.rules.masks import DOCUMENTS
from dmp_fhir.policy.rules.records import RECORDS
from dmp_fhir.policy.rules.relations import BY_RELATION, STRANGERS

PAGE = Path(__file__).parents[2] / "docs" / "access-rules.md"
STAGES: tuple[tuple[str, Sequence[Rule | DocumentRule]], ...] = (
    ("1. The caller", CALLERS),
    ("2. The record", RECORDS),
    ("3. Authentication", AUTHENTICATION),
    ("4. Feeding and own documents", (*DEPOSIT_REFUSALS, FEEDS, NOT_AUTHOR)),
    ("5. Blocks", (BLOCKED,)),
    ("6. The relation to the record", (*BY_RELATION.values(), *STRANGERS)),
    ("6a. Deciding about the record", CONSENTS),
    ("6b. The record, the directory, consents and traces", AROUND),
    ("7. Hidden documents", DOCUMENTS),
    ("7a. Changing who sees a document", VISIBILITY_REFUSALS),
)
_HEAD = """# Access rules

Generated from `dmp_fhir/policy/rules` by `python -m dmp_fhir.policy.document`; do not edit.

Stages are evaluated in order and the first refusal ends the evaluation; nothing is permitted by default. Inside a
table the first rule that applies wins. A refusal about the record is answered 403 with one coarse text, whatever its
reason; rules marked *told* look at the caller only and are answered with their own text. A hidden document is answered
404 and is absent from every search, total and list: its rules are also compiled to SQL
(`dmp_fhir/policy/predicate.py`).
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            _HEAD,
            *(_stage(title, rules) for title, rules in STAGES),
            _list("Rules carried out elsewhere", (f"{rule}: {text}" for rule, text in CARRIED_OUT.items())),
            _list("Rules left out", (f"{rule}: {text}" for rule, text in LEFT_OUT.items())),
            _list("Notes", NOTES),
        ]
    )


def _list(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines), ""])


def _stage(title: str, rules: Iterable[Rule | DocumentRule]) -> str:
    lines = [
        f"## {title}",
        "",
        "| rule | effect | reason | acts | texte | text | source |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_row(rule) for rule in rules), ""])


def _row(rule: Rule | DocumentRule) -> str:
    if isinstance(rule, Rule):
        told, acts = " *told*" if rule.public else "", _acts(rule.actions)
    else:
        told, acts = "", "list, read, change"
    reason = f"`{rule.reason}`{told}" if rule.reason else ""
    cells = (", ".join(rule.ids), rule.effect.value, reason, acts, rule.fr, rule.en, rule.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _acts(actions: frozenset[Action]) -> str:
    everything = frozenset(Action)
    if actions == everything:
        return "all"
    if len(actions) > len(everything) // 2:
        return "all but " + ", ".join(sorted(everything - actions))
    return ", ".join(sorted(actions))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
