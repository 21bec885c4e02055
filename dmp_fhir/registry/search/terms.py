"""Where conditions are written: the resource searched, what its caller may see, and the values bound so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.registry.search.sources import Column

NEVER, ALWAYS = "1 = 0", "1 = 1"


class Predicate(Protocol):
    """What the caller may see, as SQL over the alias of the table (policy/predicate.py)."""

    @property
    def sql(self) -> str: ...

    @property
    def params(self) -> Mapping[str, Any]: ...


@dataclass(slots=True)
class Terms:
    """Where conditions are written: the resource searched and the values bound so far. `changed` is the SQL of the
    instant of the latest change. `texts_of` reads the distinct values of a column that the caller may see; `hidden` is
    the keyed hash by which a patient's matricule is kept."""

    resource_type: str
    alias: str
    changed: str
    predicates: Mapping[str, Predicate]
    texts_of: Callable[[str], list[str]]
    in_directory: bool
    hidden: Callable[[str], str]
    params: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        name = f"q{len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def bind_all(self, values: Iterable[Any]) -> str:
        return ", ".join(self.bind(value) for value in values)

    def is_code(self, alias: str, system: str | None, code: str) -> str:
        """That a row of search_token has this code; a matricule may be kept as it is (people around the patient) or by
        its hash (the patient)."""
        if self.in_directory or (system is not None and system not in INS_SYSTEMS):
            return f"{alias}.code = {self.bind(code)}"
        return f"{alias}.code IN ({self.bind(code)}, {self.bind(self.hidden(code))})"

    def indexed(self, table: str, parameter: str, match: str) -> str:
        """The resources that have a row of `parameter` in a search table which `match` (over alias x) accepts."""
        by_value = parameter == is_parameter("identifier")
        return self.having("x", f"{table} x", f"{parameter} AND ({match})", by_value=by_value)

    def having(self, owner: str, tables: str, match: str, *, by_value: bool = False) -> str:
        """The resources that own a row of the search table with the alias `owner`, found among `tables` by `match`.

        In a record each candidate is looked at in turn: what it is found by lies together. `by_value` goes the other
        way, by the index of identifiers; the directory always does."""
        record = "''" if self.in_directory else ":record"
        rows = f"{tables} WHERE {owner}.record_id = {record} AND {owner}.resource_type = '{self.resource_type}'"
        if by_value or self.in_directory:
            return f"{self.alias}.id IN (SELECT {owner}.resource_id FROM {rows} AND {match})"
        return f"EXISTS (SELECT 1 FROM {rows} AND {owner}.resource_id = {self.alias}.id AND {match})"


def any_of(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions)})"


def is_parameter(parameter: str) -> str:
    return f"x.parameter = '{parameter}'"


def column(source: Column, values: Iterable[Any], terms: Terms) -> str:
    synonyms = dict(source.synonyms)
    codes, whole = [], False
    for value in values:
        if value.system is None or value.system == "" or value.system in source.systems:
            codes.append(synonyms.get(value.code, value.code))
            whole = whole or value.code is None
    if whole:
        return f"{source.sql} <> ''"
    return f"{source.sql} IN ({terms.bind_all(codes)})" if codes else NEVER
