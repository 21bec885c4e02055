"""The figures by which the DMP has always been judged: records opened, fed, consulted, empty; documents by category and
month; who publishes, who consults. Numbers only, of a whole registry.

Persons stay out of sight: a number from 1 to 4 is left out (None), and when one number of a breakdown would be found by
subtraction, the smallest other one is left out too. Days are UTC. Every table is read once: minutes on a large
registry, so the figures are kept in a file (`dmp-fhir barometer --publish`) that the page shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from dmp_fhir.instants import instant_text
from dmp_fhir.store.database import Reader

SMALLEST = 5
MONTHS = 12
_DAY_MS = 86_400_000
# Classes of documents (TRE_A03).
CATEGORIES = {
    "10": ("Comptes rendus", "Reports"),
    "11": ("Synthèses", "Summaries"),
    "31": ("Imagerie médicale", "Medical imaging"),
    "42": ("Prescriptions", "Prescriptions"),
    "43": ("Dispensations", "Dispensations"),
    "44": ("Plans et protocoles de soins", "Care plans and protocols"),
    "45": ("Traitements administrés", "Treatments given"),
    "52": ("Certificats, déclarations", "Certificates, declarations"),
    "60": ("Données de remboursement", "Reimbursement data"),
    "90": ("Documents déposés par le patient", "Documents from the patient"),
    "95": ("Documents de gestion", "Administrative documents"),
    "99": ("Documents techniques", "Technical documents"),
    "": ("Autres", "Others"),
}
# Kinds of actors, of the categories of identity/context.py.
ACTORS = {
    "professional": ("Professionnels de santé et du social", "Health and social professionals"),
    "structure": ("Établissements et logiciels", "Establishments and software"),
    "patient": ("Patients, représentants, aidants", "Patients, representatives, helpers"),
    "other": ("Autres", "Others"),
}
_KINDS = {
    "PS": "professional",
    "PS_ROLE": "professional",
    "STRUCTURE": "structure",
    "AM_SYSTEM": "structure",
    "PATIENT": "patient",
    "REPRESENTANT": "patient",
    "AIDANT": "patient",
}
Count = int | None


@dataclass(frozen=True, slots=True)
class Barometer:
    """`month` is `YYYY-MM`. A count is None when it is from 1 to 4 or would give such a one away."""

    month: str
    computed: str
    records: dict[str, Count]
    empty_share: float | None
    documents_by_month: dict[str, dict[str, Count]]
    published: dict[str, Count]
    consulted: dict[str, Count]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"smallest": SMALLEST}


def compute(reader: Reader, month: str, now_ms: int) -> Barometer:
    """The figures of `month`, documents of the twelve months that end with it. ValueError for no month."""
    months = months_before(month)
    first, since, until = _start(months[0]), _start(month), _start(_next(month))
    records = _records(reader, since, until)
    return Barometer(
        month=month,
        computed=instant_text(now_ms),
        records={name: protected(count) for name, count in records.items()},
        empty_share=_share(records["empty"], records["open"]),
        documents_by_month=_documents(reader, months, first, until),
        published=_by_actor(reader, "entity_type = 'DocumentReference' AND action = 'C'", since, until),
        consulted=_by_actor(reader, "entity_type IN ('Binary', 'Bundle') AND action = 'R'", since, until),
    )


def months_before(month: str) -> list[str]:
    """Twelve months, the last of which is `month`."""
    at = date.fromisoformat(f"{month}-01")
    if month != f"{at:%Y-%m}":
        raise ValueError(month)
    number = at.year * 12 + at.month - 1
    return [f"{each // 12:04d}-{each % 12 + 1:02d}" for each in range(number - MONTHS + 1, number + 1)]


def protected(count: int) -> Count:
    return None if 0 < count < SMALLEST else count


def breakdown(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, Count]:
    """Counts by name, none of which tells of few persons: not by itself, nor by what is missing from the sum."""
    found = {name: protected(counts.get(name, 0)) for name in names}
    hidden = [name for name, count in found.items() if count is None]
    others = sorted((count, name) for name, count in found.items() if count)
    if len(hidden) == 1 and others:
        found[others[0][1]] = None
    return found


def _next(month: str) -> str:
    at = date.fromisoformat(f"{month}-01")
    return f"{at.year + at.month // 12:04d}-{at.month % 12 + 1:02d}"


def _start(month: str) -> int:
    return int(datetime.fromisoformat(f"{month}-01T00:00:00+00:00").timestamp()) * 1000


def _month(day: int) -> str:
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m}"


def _share(part: int, whole: int) -> float | None:
    """None when it would give a small number away."""
    if whole < SMALLEST or 0 < part < SMALLEST or 0 < whole - part < SMALLEST:
        return None
    return round(part / whole, 3)


def _one(reader: Reader, statement: str, **values: int) -> int:
    row = reader.row(statement, values)
    return int(row[0]) if row else 0


def _records(reader: Reader, since: int, until: int) -> dict[str, int]:
    month = {"since": since, "until": until}
    states: dict[str, int] = dict(
        reader.rows("SELECT status, COUNT(*) FROM record WHERE status <> 'directory' GROUP BY status")
    )
    return {
        "open": int(states.get("open", 0)),
        "closed": int(states.get("closed", 0)),
        "suspended": int(states.get("suspended", 0)),
        "opened": _one(
            reader,
            "SELECT COUNT(*) FROM record WHERE status <> 'directory' AND created >= :since AND created < :until",
            **month,
        ),
        "fed": _one(
            reader,
            "SELECT COUNT(DISTINCT record_id) FROM document WHERE created >= :since AND created < :until",
            **month,
        ),
        "consulted": _one(
            reader,
            "SELECT COUNT(DISTINCT record_id) FROM audit_event WHERE recorded >= :since AND recorded < :until"
            " AND outcome = '0' AND record_id <> '' AND action IN ('R', 'E')"
            " AND subtype IN ('read', 'vread', 'history-instance', 'search-type')"
            " AND agent_category NOT IN ('SUPPORT', 'SERVICE')",
            **month,
        ),
        "empty": _one(
            reader,
            "SELECT COUNT(*) FROM record r WHERE r.status = 'open' AND NOT EXISTS (SELECT 1 FROM document d"
            " WHERE d.record_id = r.id AND d.status <> 'entered-in-error')",
        ),
    }


def _documents(reader: Reader, months: list[str], first: int, until: int) -> dict[str, dict[str, Count]]:
    """Documents deposited, by month and category."""
    rows = reader.rows(
        f"SELECT d.created / {_DAY_MS}, t.code, COUNT(*) FROM document d LEFT JOIN search_token t"
        " ON t.record_id = d.record_id AND t.resource_id = d.id AND t.resource_type = 'DocumentReference'"
        " AND t.parameter = 'category' WHERE d.created >= :since AND d.created < :until GROUP BY 1, 2",
        {"since": first, "until": until},
    )
    counts: dict[str, Counter[str]] = {month: Counter() for month in months}
    for day, code, number in rows:
        counts[_month(int(day))][code if code in CATEGORIES else ""] += int(number)
    return {month: breakdown(counts[month], CATEGORIES) for month in months}


def _by_actor(reader: Reader, which: str, since: int, until: int) -> dict[str, Count]:
    rows = reader.rows(
        "SELECT agent_category, COUNT(*) FROM audit_event WHERE recorded >= :since AND recorded < :until"
        f" AND outcome = '0' AND {which} GROUP BY agent_category",
        {"since": since, "until": until},
    )
    counts: Counter[str] = Counter()
    for category, number in rows:
        counts[_KINDS.get(category, "other")] += int(number)
    return breakdown(counts, ACTORS)
