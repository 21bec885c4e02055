"""How long what is kept: the figures that the jobs work with, and the table of docs/operating.md.

CSP L1111-18 and R1111-36 (records), CNIL recommendation of 2021 on logs, Regulation (EU) 2025/327 article 9 (TF-180,
TF-245). What the database holds goes by itself (`dmp-fhir jobs run`); what is outside it is the operator's.
"""

from __future__ import annotations

from typing import NamedTuple

DAY_MS = 86_400_000
RECORD_YEARS = 10
OBJECTION_DAYS = 42
OUTBOX_DAYS = 90
ORPHAN_HOURS = 1
LOG_MONTHS = (6, 12)


class Rule(NamedTuple):
    what: str
    kept: str
    by: str


RULES = (
    Rule("an open record: documents, versions, consents, people", "as long as it is open", "–"),
    Rule(
        "a closed record",
        f"{RECORD_YEARS} years after its closing, or until its holder asks for its erasure; longer under a legal hold"
        " (`dmp-fhir record hold INS`, `release`)",
        "`dmp-fhir jobs run`",
    ),
    Rule("a suspended record without objection", f"closed after {OBJECTION_DAYS} days", "`dmp-fhir jobs run`"),
    Rule("the trace of a record (who did what)", "with the record and after it: nothing removes it", "–"),
    Rule("bytes of documents that no record names", f"{ORPHAN_HOURS} hour", "`dmp-fhir collect`, and after an erasure"),
    Rule(
        "messages that were sent",
        f"{OUTBOX_DAYS} days; those told once in a record's life, with it",
        "`dmp-fhir jobs run`",
    ),
    Rule("emergency accesses that ended and were reviewed", f"{OUTBOX_DAYS} days", "`dmp-fhir jobs run`"),
    Rule("messages as files in `outbox/`", "until the mailer has taken them", "the operator"),
    Rule("logs", f"{LOG_MONTHS[0]} to {LOG_MONTHS[1]} months", "the operator's rotation"),
    Rule("backups", "as long as an older state may be needed; an erased record is still in older ones", "the operator"),
)


def describe() -> str:
    """The rules as a Markdown table."""
    return (
        "\n".join(
            ["| what | kept | removed by |", "| --- | --- | --- |", *(f"| {' | '.join(each)} |" for each in RULES)]
        )
        + "\n"
    )
