"""A query -> a page of resources.

Pages are keyset pages bound to a snapshot: later pages leave out what was created after the first one, and order by
the latest change as it was then. The caller's predicate is part of every statement, so totals, pages, includes and
lists never depend on what is hidden (TF-008 to TF-015).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dmp_fhir.outcome import refuse
from dmp_fhir.policy import second_look
from dmp_fhir.policy.second_look import SecondLook
from dmp_fhir.registry.search.conditions import Predicate, Terms, condition
from dmp_fhir.registry.search.parameters import SORTS, SortKey
from dmp_fhir.registry.search.query import SearchQuery
from dmp_fhir.registry.search.shown import NAMED_DOCUMENTS, shown, without_query
from dmp_fhir.registry.versions import Found, opened
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Reader
from dmp_fhir.store.identifiers import hidden
from dmp_fhir.store.tables import DIRECTORY

MOST_INCLUDED = 1_000
MOST_TEXTS = 1_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the search runs: one record (`DIRECTORY` for people and organisations of no record), with what the caller
    may see of it. DocumentReference, List, Consent and AuditEvent are never searched without their predicate
    (KeyError). A `snapshot` leaves out what was created after it. Each document found is decided `again`."""

    record_id: str
    predicates: Mapping[str, Predicate]
    snapshot: int | None = None
    again: SecondLook | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page starts: the sort values and id of the row it follows (or precedes, when `backward`), the snapshot
    and the total of the first page."""

    values: tuple[Any, ...]
    backward: bool
    snapshot: int
    total: int | None

    def state(self) -> list[Any]:
        """For a page link; `Cursor.of` reads it back."""
        return [list(self.values), self.backward, self.snapshot, self.total]

    @classmethod
    def of(cls, state: list[Any]) -> Cursor:
        return cls(tuple(state[0]), state[1], state[2], state[3])


@dataclass(frozen=True, slots=True)
class Page:
    """`total` is None when it was not asked for."""

    total: int | None
    matches: list[Found]
    included: list[Found]
    next: Cursor | None
    previous: Cursor | None


@dataclass(frozen=True, slots=True)
class _Table:
    """The table of a resource type. `kept` leaves out what is deleted or of another type."""

    name: str
    alias: str
    kept: str
    guarded: bool = False
    archives: bool = False
    owner: str = "record_id"
    changed: str = "last_updated"
    created: str = "created"


_TABLES = {
    "DocumentReference": _Table("document", "d", "d.status <> 'entered-in-error'", guarded=True, archives=True),
    "List": _Table("document_list", "l", "l.status <> 'entered-in-error'", guarded=True, archives=True),
    "Consent": _Table("consent", "c", "c.status <> 'entered-in-error'", guarded=True),
    "AuditEvent": _Table("audit_event", "a", "1 = 1", guarded=True, changed="recorded", created="recorded"),
    "Patient": _Table("record", "r", "r.status <> 'directory'", owner="id"),
} | {
    name: _Table("party", "p", f"p.resource_type = '{name}' AND NOT p.deleted")
    for name in ("Practitioner", "PractitionerRole", "Organization", "RelatedPerson", "Device", "CareTeam")
}


def execute(reader: Reader, query: SearchQuery, scope: Scope, cursor: Cursor | None = None) -> Page:
    """The page of `query` that starts at `cursor` (None for the first), with its includes. Reads only; run it in one
    snapshot of the database."""
    search = _Search(reader, query, scope, cursor)
    if query.count_only:
        return Page(search.count(), [], [], None, None)
    rows, more = search.page()
    total = cursor.total if cursor else None
    if cursor is None and query.with_total:
        total = search.count() if more else len(rows)
    backward = cursor is not None and cursor.backward
    following = backward or more
    preceding = more if backward else cursor is not None
    snapshot = 0
    if rows and (following or preceding):
        snapshot = cursor.snapshot if cursor else search.snapshot()
    matches = shown(reader, scope.record_id, [row[0] for row in rows], scope.predicates)
    return Page(
        total,
        matches,
        _included(reader, query, scope, matches),
        Cursor(rows[-1][1], False, snapshot, total) if rows and following else None,
        Cursor(rows[0][1], True, snapshot, total) if rows and preceding else None,
    )


class _Search:
    """The statements of one search."""

    def __init__(self, reader: Reader, query: SearchQuery, scope: Scope, cursor: Cursor | None) -> None:
        self.reader, self.query, self.scope, self.cursor = reader, query, scope, cursor
        self.table = table = _TABLES[query.resource_type]
        self.until = cursor.snapshot if cursor else scope.snapshot
        self.changed = f"{table.alias}.{table.changed}"
        if cursor and query.resource_type != "AuditEvent":
            self.changed = self._changed_by_then()
        in_directory = scope.record_id == DIRECTORY
        self.terms = Terms(
            query.resource_type,
            table.alias,
            self.changed,
            scope.predicates,
            self._texts,
            in_directory,
            lambda value: hidden(reader, value),
        )
        self.where = self._where()
        self.keys = [*self._sort(), *self._ties()]

    def count(self) -> int:
        found = self.reader.row(
            f"SELECT COUNT(*) FROM {self.table.name} {self.table.alias} WHERE {self.where}",
            self._params(),
        )
        return int(found[0]) if found else 0

    def page(self) -> tuple[list[tuple[Found, tuple[Any, ...]]], bool]:
        """The rows of the page in order, each with the values it is sorted by, and whether there are more beyond it."""
        backward = self.cursor is not None and self.cursor.backward
        where = self.where + (f" AND ({self._beyond(self.cursor)})" if self.cursor else "")
        order = ", ".join(f"{sql} {'DESC' if descends != backward else 'ASC'}" for sql, descends in self.keys)
        sorted_by = ", ".join(sql for sql, _ in self.keys)
        rows = self.reader.rows(
            f"SELECT {_columns(self.query.resource_type, self.scope)}, {sorted_by}"
            f" FROM {_from(self.query.resource_type)} WHERE {where} ORDER BY {order} LIMIT {self.query.count + 1}",
            self._params(),
        )
        more = len(rows) > self.query.count
        rows = rows[: self.query.count]
        if backward:
            rows.reverse()
        _decide_again(self.reader, self.scope, self.query.resource_type, rows)
        found = [_found(self.reader, self.scope.record_id, self.query.resource_type, row) for row in rows]
        return [(each, tuple(row[-len(self.keys) :])) for each, row in zip(found, rows, strict=True)], more

    def snapshot(self) -> int:
        """The instant of the latest write that this page can have seen."""
        if self.query.resource_type == "AuditEvent":
            sql = "SELECT MAX(recorded) FROM audit_event WHERE record_id = :record"
        else:
            sql = "SELECT clock FROM record WHERE id = :record"
        found = self.reader.row(sql, {"record": self.scope.record_id})
        latest = found[0] if found and found[0] is not None else 0
        return latest if self.until is None else min(latest, self.until)

    def _where(self) -> str:
        table, terms = self.table, self.terms
        conditions = [f"{table.alias}.{table.owner} = :record", table.kept]
        if table.guarded:
            conditions.append(f"({self.scope.predicates[self.query.resource_type].sql})")
        # D13: what is archived is found only by a search that speaks of it.
        if table.archives and not self.query.asks("isArchived"):
            conditions.append(f"NOT {table.alias}.archived")
        if self.until is not None:
            conditions.append(f"{table.alias}.{table.created} <= {terms.bind(self.until)}")
        conditions += [condition(criterion, terms) for criterion in self.query.criteria]
        return " AND ".join(conditions)

    def _params(self) -> dict[str, Any]:
        params = {**self.terms.params, "record": self.scope.record_id}
        if self.table.guarded:
            params |= self.scope.predicates[self.query.resource_type].params
        if self.cursor:
            params["snapshot"] = self.cursor.snapshot
        return params

    def _sort(self) -> list[tuple[str, bool]]:
        keys = [(SORTS[self.query.resource_type][key], descends) for key, descends in self.query.sort if key != "_id"]
        if not keys and not self.query.sort and self.query.resource_type == "AuditEvent":
            keys = [(SortKey("a.recorded"), True)]
        return [(self.changed if key.changes else key.sql, descends) for key, descends in keys]

    def _ties(self) -> list[tuple[str, bool]]:
        """The order of what is equal so far: that in which it was stored, newest first unless the first key ascends;
        the last key is unique in a record. People of no record have no order but that of their ids."""
        alias, sort = self.table.alias, dict(self.query.sort)
        descends = self.query.sort[0][1] if sort else True
        by_id = (f"{alias}.id", sort.get("_id", descends))
        if "_id" in sort or self.table.name == "party":
            return [by_id]
        if self.query.resource_type == "AuditEvent":
            return [("a.sequence", descends)]
        # The submission set and the folders of one deposit are of one instant.
        kind = [("l.kind", descends)] if self.query.resource_type == "List" else []
        return [(f"{alias}.created", descends), *kind, by_id]

    def _beyond(self, cursor: Cursor) -> str:
        """Rows after (or before) the row of the cursor, in the order of the keys."""
        condition = ""
        for (sql, descends), value in reversed(list(zip(self.keys, cursor.values, strict=True))):
            name = self.terms.bind(value)
            test = f"{sql} {'<' if descends != cursor.backward else '>'} {name}"
            condition = f"{test} OR ({sql} = {name} AND ({condition}))" if condition else test
        return condition

    def _changed_by_then(self) -> str:
        """The latest change of a resource as of the snapshot: a change made since then moves nothing between pages."""
        table, now = self.table, f"{self.table.alias}.{self.table.changed}"
        return (
            f"(CASE WHEN {now} <= :snapshot THEN {now} ELSE (SELECT MAX(h.last_updated) FROM resource_version h"
            f" WHERE h.record_id = :record AND h.resource_type = '{self.query.resource_type}'"
            f" AND h.resource_id = {table.alias}.id AND h.last_updated <= :snapshot) END)"
        )

    def _texts(self, sql: str) -> list[str]:
        table = self.table
        guard = self.scope.predicates[self.query.resource_type].sql if table.guarded else "1 = 1"
        rows = self.reader.rows(
            f"SELECT DISTINCT {sql} FROM {table.name} {table.alias}"
            f" WHERE {table.alias}.{table.owner} = :record AND ({guard}) LIMIT {MOST_TEXTS + 1}",
            self._params(),
        )
        if len(rows) > MOST_TEXTS:
            refuse(
                413,
                "too-costly",
                "Trop de noms différents ici : chercher par identifiant.",
                "Too many different names here: search by identifier.",
                rule="TF-121",
            )
        return [row[0] for row in rows]


# --- rows -----------------------------------------------------------------------------------------


def _columns(resource_type: str, scope: Scope) -> str:
    if resource_type == "AuditEvent":
        return f"a.id, 1, a.recorded, a.body, {NAMED_DOCUMENTS}"
    alias = _TABLES[resource_type].alias
    found = f"{alias}.id, {alias}.version, {alias}.last_updated, v.body"
    return f"{found}, {second_look.columns(alias)}" if _again(resource_type, scope) else found


def _again(resource_type: str, scope: Scope) -> SecondLook | None:
    return scope.again if resource_type == "DocumentReference" else None


def _decide_again(reader: Reader, scope: Scope, resource_type: str, rows: list[tuple[Any, ...]]) -> None:
    """No document leaves by the word of one face of the rules alone."""
    if again := _again(resource_type, scope):
        for row in rows:
            again.check(reader, scope.record_id, row[0], row[4 : 4 + second_look.WIDTH])


def _from(resource_type: str) -> str:
    table = _TABLES[resource_type]
    if resource_type == "AuditEvent":
        return "audit_event a"
    alias = table.alias
    return (
        f"{table.name} {alias} JOIN resource_version v ON v.record_id = {alias}.{table.owner}"
        f" AND v.resource_type = '{resource_type}' AND v.resource_id = {alias}.id AND v.version = {alias}.version"
    )


def _found(reader: Reader, record_id: str, resource_type: str, row: tuple[Any, ...]) -> Found:
    if resource_type == "AuditEvent":
        body = open_body(reader.keys, record_id, event_place(record_id, row[0]), row[3])
        body = without_query(body) if row[4] else body
    else:
        body = opened(reader, record_id, resource_type, row[0], row[1], row[3])
    return Found(resource_type, row[0], row[1], row[2], body)


# --- _include and _revinclude ---------------------------------------------------------------------

_TARGETS = {
    "DocumentReference:relatesto": (
        "DocumentReference",
        "d.id IN (SELECT f.target_id FROM search_reference f WHERE f.record_id = :record"
        " AND f.resource_type = 'DocumentReference' AND f.parameter = 'relatesto'"
        " AND f.target_type = 'DocumentReference' AND f.resource_id IN ({among}))",
    ),
    "List:item": (
        "DocumentReference",
        "d.id IN (SELECT e.target_id FROM list_entry e WHERE e.record_id = :record"
        " AND e.target_type = 'DocumentReference' AND e.list_id IN ({among}))",
    ),
}
_SOURCES = {
    "List:item": (
        "List",
        "l.id IN (SELECT e.list_id FROM list_entry e WHERE e.record_id = :record"
        " AND e.target_type = 'DocumentReference' AND e.target_id IN ({among}))",
    ),
}


def _included(reader: Reader, query: SearchQuery, scope: Scope, matches: list[Found]) -> list[Found]:
    """What the includes lead to from this page, once each, none of it a match, all of it by the caller's predicate."""
    if not matches:
        return []
    found: dict[tuple[str, str], Found] = {}
    for name in query.includes:
        if name.endswith((":patient", ":subject")):
            resources = _related(reader, scope, "Patient", "r.id = :record", [])
        else:
            resources = _related(reader, scope, *_TARGETS[name], matches)
        found |= {(each.resource_type, each.id): each for each in resources}
    for name in query.revincludes:
        resources = _related(reader, scope, *_SOURCES[name], matches)
        found |= {(each.resource_type, each.id): each for each in resources}
    for match in matches:
        found.pop((match.resource_type, match.id), None)
    return shown(reader, scope.record_id, list(found.values()), scope.predicates)


def _related(reader: Reader, scope: Scope, resource_type: str, condition: str, matches: Iterable[Found]) -> list[Found]:
    table = _TABLES[resource_type]
    ids = {f"match_{n}": match.id for n, match in enumerate(matches)}
    params = {**ids, "record": scope.record_id}
    where = f"{table.alias}.{table.owner} = :record AND {table.kept}"
    if table.guarded:
        predicate = scope.predicates[resource_type]
        where += f" AND ({predicate.sql})"
        params |= predicate.params
    among = ", ".join(f":{name}" for name in ids)
    kind = ", l.kind DESC" if resource_type == "List" else ""
    rows = reader.rows(
        f"SELECT {_columns(resource_type, scope)} FROM {_from(resource_type)} WHERE {where}"
        f" AND {condition.format(among=among)} ORDER BY {table.alias}.created DESC{kind}, {table.alias}.id"
        f" LIMIT {MOST_INCLUDED + 1}",
        params,
    )
    if len(rows) > MOST_INCLUDED:
        refuse(
            413,
            "too-costly",
            "Cette page entraîne trop de ressources : diminuer _count ou retirer l'inclusion.",
            "This page drags in too many resources: lower _count or leave out the include.",
            rule="TF-121",
        )
    _decide_again(reader, scope, resource_type, rows)
    return [_found(reader, scope.record_id, resource_type, row) for row in rows]
