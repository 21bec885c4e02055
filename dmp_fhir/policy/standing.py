"""What links actors to one record, read once per request in one round trip (design.md, section 5; consent model, 5)."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from dmp_fhir.store.identifiers import matricule, motive_of
from dmp_fhir.store.key_ring import KeyRing

PARIS = ZoneInfo("Europe/Paris")
MAJORITY_AGE = 18
# A motive opens a record once in this time (AR-50).
MOTIVE_COUNTS_MS = 30 * 86_400_000
_FOR_EVER = 2**62
# Kinds of consent about one actor, and the decision that gives them their effect.
_ABOUT_AN_ACTOR = {
    "MEDECIN_TRAITANT": "permit",
    "BLOCAGE": "deny",
    "OPPOSITION_ALIMENTATION": "deny",
    "DELEGATION": "permit",
}
_PARENTAL = frozenset({"FTH", "MTH", "PRN", "NFTH", "NMTH", "NPRN", "ADOPTF", "ADOPTM", "ADOPTP", "STPPRN"})
# A protection measure. GUARD says who is legally responsible: beside a parental code, it is parental authority.
_PROTECTION = frozenset({"GUADLTM", "TUTEUR"})
_RESPONSIBLE = "GUARD"


class Rows(Protocol):
    """The part of `store.database.Reader` that is needed here."""

    keys: KeyRing | None

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
class Grant:
    """An emergency access that was opened (AR-50): for one person, in one structure, in one session (the id of the
    token), until `expires_ms`."""

    person: str
    structure: str
    session: str
    purpose: str
    motive: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One record as the rules see it, at one instant.

    `status` is open, closed, suspended, absent or directory; `ins` are `system|value`; `majority_ms` is the instant of
    the 18th birthday (never, when the date of birth is unknown: what protects minors then applies). `grants` are known
    for callers who come in an emergency only (`load_grants`). `may_be_author` is False when it was looked up that the
    caller is author of nothing here: predicates then leave authorship out, which halves the cost of a large record.
    """

    record_id: str
    status: str
    ins: Set[str] = frozenset()
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
    grants: tuple[Grant, ...] = ()
    may_be_author: bool = True

    @property
    def matricules(self) -> frozenset[str]:
        return frozenset(name.rpartition("|")[2] for name in self.ins)

    def adult(self, now_ms: int) -> bool:
        return now_ms >= self.majority_ms


NO_RECORD = Standing("", "absent")
"""The standing of whoever asks about a record that is not there; also used for what belongs to no record."""

NOT_LINKED = Standing("", "open")
"""That of whoever has nothing to do with a record: a search in one that is not there is answered by it (D27)."""

NOWHERE = "-"
"""The id of no record: what nobody has is looked for there (interactions/seeking.py)."""


def nowhere(actor: str, person: str | None) -> Standing:
    """A standing in NOWHERE, as that of somebody who may look into a record: what is looked for by it is looked for as
    among what they see (TF-153)."""
    return Standing(
        NOWHERE,
        "open",
        ins=frozenset({person or f"|{actor}"}),
        permits=(Permit("Practitioner", actor),),
        representatives=(Representative(actor, mandate=True),),
        helpers=frozenset({actor}),
    )


# CROSS JOIN, so that SQLite begins with the people and teams, of which most records have none.
_QUERY = """
SELECT 'record', status, birth_date, '', '', CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), clock
  FROM record WHERE id = :record
UNION ALL
SELECT 'ins', i.system, i.value, COALESCE(i.sealed, ''), '', NULL, NULL, 0
  FROM search_token t JOIN ins i ON i.system = t.system AND i.value = t.code AND i.record_id = t.record_id
 WHERE t.record_id = :record AND t.resource_id = :record AND t.resource_type = 'Patient'
   AND t.parameter = 'identifier'
UNION ALL
SELECT 'consent', kind, decision, actor_kind, actor_id, period_low, period_high, decided
  FROM consent WHERE record_id = :record AND status = 'active'
UNION ALL
SELECT 'related', p.id, t.parameter, t.code, '', p.period_low, p.period_high, 0
  FROM party p CROSS JOIN search_token t
 WHERE p.record_id = :record AND p.resource_type = 'RelatedPerson' AND p.active AND NOT p.deleted
   AND t.record_id = :record AND t.resource_id = p.id
   AND t.resource_type = 'RelatedPerson' AND t.parameter IN ('identifier', 'relationship')
UNION ALL
SELECT 'team', p.id, t.code, '', '', NULL, NULL, 0
  FROM party p CROSS JOIN search_token t
 WHERE p.record_id = :record AND p.resource_type = 'CareTeam' AND p.active AND NOT p.deleted
   AND t.record_id = :record AND t.resource_id = p.id
   AND t.resource_type = 'CareTeam' AND t.parameter = 'identifier'
UNION ALL
SELECT 'member', r.resource_id, CASE WHEN r.identifier_value <> '' THEN r.identifier_value ELSE t.code END, '', '',
       p.period_low, p.period_high, 0
  FROM party p CROSS JOIN search_reference r
  LEFT JOIN search_token t ON r.identifier_value = '' AND t.record_id = '' AND t.resource_id = r.target_id
   AND t.resource_type = r.target_type AND t.parameter = 'identifier'
 WHERE p.record_id = :record AND p.resource_type = 'CareTeam' AND p.active AND NOT p.deleted
   AND r.record_id = :record AND r.resource_id = p.id AND r.resource_type = 'CareTeam' AND r.parameter = 'participant'
"""


_AUTHORED = """
UNION ALL
SELECT 'authored', '', '', '', '', NULL, NULL, 0
 WHERE EXISTS (SELECT 1 FROM document_author a
                WHERE a.record_id = :record AND a.identifier = :person AND a.kind = 'person')
    OR EXISTS (SELECT 1 FROM document_author a
                WHERE a.record_id = :record AND a.identifier = :structure AND a.kind = 'structure')
"""
_PARTS = ("record", "ins", "consent", "related", "team", "member", "authored")


def load_standing(
    reader: Rows,
    record_id: str,
    now_ms: int,
    majority_age: int = MAJORITY_AGE,
    *,
    author: tuple[str, str | None] | None = None,
) -> Standing:
    """The standing of a record at `now_ms`, in one statement; `NO_RECORD` when there is none.

    With `author` (a professional and their structure), also whether they are author of something: only in a snapshot,
    since what is deposited later has authors too.
    """
    parts: dict[str, list[tuple]] = {name: [] for name in _PARTS}
    query, params = _QUERY, {"record": record_id}
    if author is not None:
        query, params = _QUERY + _AUTHORED, params | {"person": author[0], "structure": author[1] or ""}
    for part, *values in reader.rows(query, params):
        parts[part].append(tuple(values))
    if not parts["record"] or parts["record"][0][0] == "directory":
        return NO_RECORD
    status, birth_date = parts["record"][0][:2]
    return Standing(
        record_id=record_id,
        status=status,
        ins=_Matricules(reader.keys, record_id, parts["ins"]),
        majority_ms=majority(birth_date, majority_age),
        representatives=_representatives(parts["related"]),
        may_be_author=author is None or bool(parts["authored"]),
        **_compile(parts, now_ms),
    )


class _Matricules(Set[str]):
    """`system|value` of each matricule, opened when a rule first asks: to the rights of most callers, who are
    professionals, they are nothing. In the row is its hash, unless nothing was sealed."""

    __slots__ = ("_keys", "_opened", "_record_id", "_rows")

    def __init__(self, keys: KeyRing | None, record_id: str, rows: list[tuple]) -> None:
        self._keys, self._record_id, self._rows = keys, record_id, rows
        self._opened: frozenset[str] | None = None

    def _all(self) -> frozenset[str]:
        if self._opened is None:
            self._opened = frozenset(
                f"{system}|{matricule(self._keys, self._record_id, system, sealed) if sealed else value}"
                for system, value, sealed, *_ in self._rows
            )
        return self._opened

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def load_grants(reader: Rows, record_id: str, person: str, now_ms: int) -> tuple[Grant, ...]:
    """The emergency accesses of one person to a record that run or ended lately enough for their motive to count."""
    rows = reader.rows(
        "SELECT person, structure, session, purpose, motive, expires, id FROM emergency_grant"
        " WHERE record_id = :record AND person = :person AND expires > :since",
        {"record": record_id, "person": person, "since": now_ms - MOTIVE_COUNTS_MS},
    )
    return tuple(
        Grant(who, structure, session, purpose, motive_of(reader.keys, record_id, grant_id, motive), expires)
        for who, structure, session, purpose, motive, expires, grant_id in rows
    )


@lru_cache(maxsize=1024)
def majority(birth_date: str | None, age: int = MAJORITY_AGE) -> int:
    """The first instant (French legal time) at which somebody born on `birth_date` (YYYY[-MM[-DD]]) is surely of
    `age`."""
    if not birth_date:
        return _FOR_EVER
    year, month, day = (*(int(part) for part in birth_date.split("-")), 0, 0)[:3]
    year += age
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
        if codes & (_PARENTAL | _PROTECTION) or _RESPONSIBLE in codes:
            start, end = periods[person]
            mandate = bool(codes & _PROTECTION) or not codes & _PARENTAL
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


def _compile(parts: dict[str, list[tuple]], now_ms: int) -> dict[str, Any]:
    """Active consents -> the fields of a standing (consent model, section 5).

    Of two consents in force of one kind about one actor, the refusal wins, whatever their order (TF-026); of two
    decisions about the record as a whole the latest counts, and on the same instant the refusal.
    """
    teams = _teams(parts["team"], parts["member"], now_ms)
    people = _identifiers(parts["related"])
    refused: set[tuple[str, str]] = set()
    named: dict[str, set[str]] = {kind: set() for kind in _ABOUT_AN_ACTOR}
    permits: list[Permit] = []
    preferences: dict[str, str] = {}
    for kind, decision, actor_kind, actor, low, high, _ in sorted(
        parts["consent"], key=lambda row: (row[6], row[1] == "deny")
    ):
        start, end = low or 0, high or _FOR_EVER
        in_force = start <= now_ms < end
        if kind in ("AUTORISATION", "EQUIPE") and decision == "permit" and actor and now_ms >= start:
            members = teams.get(actor.removeprefix("CareTeam/"), frozenset())
            permits.append(Permit(actor_kind, actor, start, end, members))
        elif not in_force:
            continue
        elif kind in named and decision == _ABOUT_AN_ACTOR[kind] and actor:
            named[kind] |= people.get(actor, {actor}) if kind == "DELEGATION" else {actor}
        elif actor:
            refused.add((kind, actor))
        else:
            preferences[kind] = decision
    break_glass = preferences.get("URGENCE_BTG", "permit") == "permit"
    centre_15 = preferences.get("URGENCE_SAMU", "permit") == "permit"
    withdrawn = {kind: {actor for one, actor in refused if one == kind} for kind in (*named, "AUTORISATION", "EQUIPE")}
    given_back = withdrawn["AUTORISATION"] | withdrawn["EQUIPE"]
    return {
        "treating_physicians": frozenset(named["MEDECIN_TRAITANT"] - withdrawn["MEDECIN_TRAITANT"]),
        "permits": tuple(permit for permit in permits if permit.actor not in given_back),
        "blocked": frozenset(named["BLOCAGE"]),
        "helpers": frozenset(named["DELEGATION"]).difference(
            *(people.get(actor, {actor}) for actor in withdrawn["DELEGATION"])
        ),
        "feeding_opposed": frozenset(named["OPPOSITION_ALIMENTATION"]),
        "break_glass": break_glass,
        "centre_15": centre_15,
        # AR-56: forced to deny when both emergency accesses are refused.
        "masked_in_emergency": preferences.get("URGENCE_MASQUES") == "permit" and (break_glass or centre_15),
        "mask_by_default": preferences.get("MASQUAGE_DEFAUT") == "deny",
    }


def _identifiers(related: list[tuple]) -> dict[str, set[str]]:
    """The national identifiers of the people around the patient, by the id of their RelatedPerson."""
    found: dict[str, set[str]] = {}
    for person, parameter, code, *_ in related:
        if parameter == "identifier":
            found.setdefault(person, set()).add(code)
    return found
