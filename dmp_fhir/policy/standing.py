"""What links actors to one record, read once per request in one round trip (design.md, section 5; consent model, 5)."""

from __future__ import annotations

from calendar import isleap
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
MAJORITY_AGE = 18
_FOR_EVER = 2**62
_PARENTAL = frozenset({"FTH", "MTH", "PRN", "NFTH", "NMTH", "NPRN", "ADOPTF", "ADOPTM", "ADOPTP", "STPPRN"})
_PROTECTION = frozenset({"GUARD", "GUADLTM", "TUTEUR"})


class Rows(Protocol):
    """The part of `store.database.Reader` that is needed here."""

    def rows(self, sql: str, params: dict[str, Any] | None = None) -> list[tuple]: ...


@dataclass(frozen=True, slots=True)
class Permit:
    """An authorisation to consult: `kind` is Practitioner, Organization or CareTeam; valid in [start_ms, end_ms).

    `members` are the national identifiers of the team, when it is one."""

    kind: str
    actor: str
    start_ms: int = 0
    end_ms: int = _FOR_EVER
    members: frozenset[str] = frozenset()

    def names(self, person: str, structure: str | None) -> bool:
        if self.kind == "Practitioner":
            return self.actor == person
        if self.kind == "Organization":
            return structure is not None and self.actor == structure
        return person in self.members or (structure is not None and structure in self.members)


@dataclass(frozen=True, slots=True)
class Representative:
    """A legal representative: `actor` is their own matricule; `mandate` for an adult's protection measure (AR-81)."""

    actor: str
    start_ms: int = 0
    end_ms: int = _FOR_EVER
    mandate: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """One record as the rules see it, at one instant.

    `status` is open, closed, suspended, absent or directory; `ins` are `system|value`; `majority_ms` is the instant of
    the 18th birthday (never, when the date of birth is unknown: what protects minors then applies).
    """

    record_id: str
    status: str
    ins: frozenset[str] = frozenset()
    majority_ms: int = _FOR_EVER
    treating_physicians: frozenset[str] = frozenset()
    permits: tuple[Permit, ...] = ()
    blocked: frozenset[str] = frozenset()
    representatives: tuple[Representative, ...] = ()
    helpers: frozenset[str] = frozenset()
    break_glass: bool = True
    centre_15: bool = True
    masked_in_emergency: bool = False
    mask_by_default: bool = False
    feeding_opposed: frozenset[str] = frozenset()
    matricules: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matricules", frozenset(name.rpartition("|")[2] for name in self.ins))

    def adult(self, now_ms: int) -> bool:
        return now_ms >= self.majority_ms


NO_RECORD = Standing("", "absent")
"""The standing of whoever asks about a record that is not there; also used for what belongs to no record."""

_QUERY = """
SELECT 'record', status, birth_date, '', '', CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), clock
  FROM record WHERE id = :record
UNION ALL
SELECT 'ins', i.system, i.value, '', '', NULL, NULL, 0
  FROM search_token t JOIN ins i ON i.system = t.system AND i.value = t.code AND i.record_id = t.record_id
 WHERE t.record_id = :record AND t.resource_type = 'Patient' AND t.parameter = 'identifier'
UNION ALL
SELECT 'consent', kind, decision, actor_kind, actor_id, period_low, period_high, decided
  FROM consent WHERE record_id = :record AND status = 'active'
UNION ALL
SELECT 'related', p.id, t.parameter, t.code, '', p.period_low, p.period_high, 0
  FROM party p
  JOIN search_token t ON t.record_id = p.record_id AND t.resource_id = p.id
   AND t.resource_type = 'RelatedPerson' AND t.parameter IN ('identifier', 'relationship')
 WHERE p.record_id = :record AND p.resource_type = 'RelatedPerson' AND p.active AND NOT p.deleted
UNION ALL
SELECT 'team', p.id, t.code, '', '', NULL, NULL, 0
  FROM party p
  JOIN search_token t ON t.record_id = p.record_id AND t.resource_id = p.id
   AND t.resource_type = 'CareTeam' AND t.parameter = 'identifier'
 WHERE p.record_id = :record AND p.resource_type = 'CareTeam' AND p.active AND NOT p.deleted
UNION ALL
SELECT 'member', r.resource_id, CASE WHEN r.identifier_value <> '' THEN r.identifier_value ELSE t.code END, '', '',
       p.period_low, p.period_high, 0
  FROM party p
  JOIN search_reference r ON r.record_id = p.record_id AND r.resource_id = p.id
   AND r.resource_type = 'CareTeam' AND r.parameter = 'participant'
  LEFT JOIN search_token t ON r.identifier_value = '' AND t.record_id = '' AND t.resource_id = r.target_id
   AND t.resource_type = r.target_type AND t.parameter = 'identifier'
 WHERE p.record_id = :record AND p.resource_type = 'CareTeam' AND p.active AND NOT p.deleted
"""


def load_standing(reader: Rows, record_id: str, now_ms: int) -> Standing:
    """The standing of a record at `now_ms`, in one statement; `NO_RECORD` when there is none."""
    parts: dict[str, list[tuple]] = {name: [] for name in ("record", "ins", "consent", "related", "team", "member")}
    for part, *values in reader.rows(_QUERY, {"record": record_id}):
        parts[part].append(tuple(values))
    if not parts["record"] or parts["record"][0][0] == "directory":
        return NO_RECORD
    status, birth_date = parts["record"][0][:2]
    return Standing(
        record_id=record_id,
        status=status,
        ins=frozenset(f"{system}|{value}" for system, value, *_ in parts["ins"]),
        majority_ms=majority(birth_date),
        representatives=_representatives(parts["related"]),
        **_compile(parts["consent"], _teams(parts["team"], parts["member"], now_ms), now_ms),
    )


def majority(birth_date: str | None) -> int:
    """The first instant (French legal time) at which somebody born on `birth_date` (YYYY[-MM[-DD]]) is surely 18."""
    if not birth_date:
        return _FOR_EVER
    year, month, day = (*(int(part) for part in birth_date.split("-")), 0, 0)[:3]
    year += MAJORITY_AGE
    if day:
        # Born on 29 February: 18 on 1 March of a common year.
        birthday = date(year, month, day) if (month, day) != (2, 29) or isleap(year) else date(year, 3, 1)
    else:
        # The day is not known: the day after the last possible one.
        birthday = date(year, month + 1, 1) if 0 < month < 12 else date(year + 1, 1, 1)
    return int(datetime(birthday.year, birthday.month, birthday.day, tzinfo=PARIS).timestamp() * 1000)


def _representatives(rows: list[tuple]) -> tuple[Representative, ...]:
    identifiers: dict[str, set[str]] = {}
    relations: dict[str, set[str]] = {}
    periods: dict[str, tuple[int, int]] = {}
    for person, parameter, code, _, low, high, _ in rows:
        (identifiers if parameter == "identifier" else relations).setdefault(person, set()).add(code)
        periods[person] = (low or 0, high or _FOR_EVER)
    found: list[Representative] = []
    for person, codes in relations.items():
        if codes & (_PARENTAL | _PROTECTION):
            start, end = periods[person]
            mandate = bool(codes & _PROTECTION)
            found.extend(Representative(actor, start, end, mandate) for actor in sorted(identifiers.get(person, ())))
    return tuple(found)


def _teams(names: list[tuple], members: list[tuple], now_ms: int) -> dict[str, frozenset[str]]:
    """The members of each active care team, by the id of the team and by its identifiers."""
    by_id: dict[str, set[str]] = {}
    for team, identifier, _, _, low, high, _ in members:
        if identifier and (low or 0) <= now_ms < (high or _FOR_EVER):
            by_id.setdefault(team, set()).add(identifier)
    by_name = {identifier: by_id.get(team, set()) for team, identifier, *_ in names}
    return {name: frozenset(found) for name, found in (by_name | by_id).items()}


def _compile(rows: list[tuple], teams: dict[str, frozenset[str]], now_ms: int) -> dict[str, Any]:
    """Active consents -> the fields of a standing (consent model, section 5)."""
    mt, blocked, helpers, opposed = set(), set(), set(), set()
    permits: list[Permit] = []
    preferences: dict[str, str] = {}
    # Latest decision last, and on the same instant a refusal wins.
    for kind, decision, actor_kind, actor, low, high, _ in sorted(rows, key=lambda row: (row[6], row[1] == "deny")):
        start, end = low or 0, high or _FOR_EVER
        if kind in ("AUTORISATION", "EQUIPE"):
            if decision == "permit" and actor and now_ms >= start:
                permits.append(
                    Permit(actor_kind, actor, start, end, teams.get(actor.removeprefix("CareTeam/"), frozenset()))
                )
            continue
        if not start <= now_ms < end:
            continue
        if kind == "MEDECIN_TRAITANT" and decision == "permit" and actor_kind == "Practitioner":
            mt.add(actor)
        elif kind == "BLOCAGE" and decision == "deny" and actor:
            blocked.add(actor)
        elif kind == "OPPOSITION_ALIMENTATION" and decision == "deny" and actor:
            opposed.add(actor)
        elif kind == "DELEGATION" and decision == "permit" and actor:
            helpers.add(actor)
        else:
            preferences[kind] = decision
    break_glass = preferences.get("URGENCE_BTG", "permit") == "permit"
    centre_15 = preferences.get("URGENCE_SAMU", "permit") == "permit"
    return {
        "treating_physicians": frozenset(mt),
        "permits": tuple(permits),
        "blocked": frozenset(blocked),
        "helpers": frozenset(helpers),
        "feeding_opposed": frozenset(opposed),
        "break_glass": break_glass,
        "centre_15": centre_15,
        # AR-56: forced to deny when both emergency accesses are refused.
        "masked_in_emergency": preferences.get("URGENCE_MASQUES") == "permit" and (break_glass or centre_15),
        "mask_by_default": preferences.get("MASQUAGE_DEFAUT") == "deny",
    }
