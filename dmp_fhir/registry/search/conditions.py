"""A criterion -> one SQL condition on the row of the resource. https://hl7.org/fhir/R4/search.html

Text of the client only ever goes in as a bound parameter (TF-118); what is written into the SQL are names of
parameters.py. Every lookup in a search table starts with the record, so its cost does not grow with the registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.identity.identifiers import professional_id, structure_id
from dmp_fhir.registry.search.query import Criterion, DateValue, ReferenceValue, TextValue, TokenValue
from dmp_fhir.registry.search.sources import (
    Column,
    FewTexts,
    Flag,
    Items,
    Moment,
    NationalIds,
    Pointer,
    References,
    Span,
    Texts,
    Tokens,
)
from dmp_fhir.registry.search.values import fold

NEVER, ALWAYS = "1 = 0", "1 = 1"
_ENDLESS = 1 << 62


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
        by_value = parameter == _is("identifier")
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


def condition(criterion: Criterion, terms: Terms) -> str:
    """The SQL of one criterion, true for the resources that satisfy it."""
    parameter = criterion.parameter
    if criterion.chain and isinstance(parameter.source, References):
        return _chained(criterion, terms)
    if criterion.modifier == "missing":
        present = _present(criterion, terms)
        return f"NOT ({present})" if criterion.missing else present
    match parameter.source:
        case Tokens():
            found = _tokens(criterion, terms)
        case Column():
            found = _column(parameter.source, criterion.values, terms)
        case Flag(sql):
            found = _any(sql if value.code == "true" else f"NOT ({sql})" for value in criterion.values)  # type: ignore[union-attr]
        case Texts():
            found = terms.indexed("search_text", _is(parameter.code), _texts("x", criterion, terms))
        case Span() | Moment():
            found = _any(_date(parameter.source, parameter.code, value, terms) for value in criterion.values)  # type: ignore[arg-type]
        case References():
            if criterion.modifier == "identifier" or any(not value.id for value in criterion.values):  # type: ignore[union-attr]
                found = _chained(criterion, terms)
            else:
                found = _direct(criterion, terms)
        case Items():
            found = _items(criterion, terms)
        case Pointer(type_sql, id_sql):
            found = _any(
                f"({type_sql} = {terms.bind(value.type)} AND {id_sql} = {terms.bind(value.id)})"  # type: ignore[union-attr]
                for value in criterion.values
            )
        case NationalIds():
            found = _national_ids(parameter.source, criterion.values, terms)
        case FewTexts(sql):
            found = _few_texts(sql, criterion, terms)
        case _:
            raise AssertionError(f"{parameter.code} is not a criterion")
    return f"NOT ({found})" if criterion.modifier == "not" else found


def _any(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions)})"


def _is(parameter: str) -> str:
    return f"x.parameter = '{parameter}'"


def _present(criterion: Criterion, terms: Terms) -> str:
    source = criterion.parameter.source
    if isinstance(source, Span):
        return f"({source.low} IS NOT NULL OR {source.high} IS NOT NULL)"
    table = {Tokens: "search_token", Texts: "search_text", References: "search_reference"}[type(source)]
    return terms.indexed(table, _is(criterion.parameter.code), _knowable("x", criterion, terms))


# --- codes ----------------------------------------------------------------------------------------


def _token(alias: str, value: TokenValue, terms: Terms, *, identifier: bool) -> str:
    parts = []
    if value.code is not None and identifier:
        parts.append(terms.is_code(alias, value.system, value.code))
    elif value.code is not None:
        parts.append(f"{alias}.code = {terms.bind(value.code)}")
    if value.system is not None:
        parts.append(f"{alias}.system = {terms.bind(value.system)}")
    return " AND ".join(parts)


def _tokens(criterion: Criterion, terms: Terms) -> str:
    identifier = criterion.parameter.code == "identifier"
    tests = (_token("x", value, terms, identifier=identifier) for value in criterion.values)  # type: ignore[arg-type]
    match = " OR ".join(f"({test})" for test in tests)
    return terms.indexed("search_token", _is(criterion.parameter.code), match)


def _column(source: Column, values: Iterable[Any], terms: Terms) -> str:
    synonyms = dict(source.synonyms)
    codes, whole = [], False
    for value in values:
        if value.system is None or value.system == "" or value.system in source.systems:
            codes.append(synonyms.get(value.code, value.code))
            whole = whole or value.code is None
    if whole:
        return ALWAYS
    return f"{source.sql} IN ({terms.bind_all(codes)})" if codes else NEVER


# --- texts ----------------------------------------------------------------------------------------


def _pattern(text: str) -> str:
    """The folded text for LIKE: its `%` and `_` are letters (TF-119)."""
    return fold(text).replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _texts(alias: str, criterion: Criterion, terms: Terms) -> str:
    values = [value.text for value in criterion.values if isinstance(value, TextValue)]
    if criterion.modifier == "exact":
        return f"{alias}.exact IN ({terms.bind_all(values)})"
    start = "%" if criterion.modifier == "contains" else ""
    patterns = [terms.bind(f"{start}{_pattern(text)}%") for text in values]
    return _any(f"{alias}.folded LIKE {pattern} ESCAPE '!'" for pattern in patterns)


def _few_texts(sql: str, criterion: Criterion, terms: Terms) -> str:
    wanted = [value.text for value in criterion.values if isinstance(value, TextValue)]
    match criterion.modifier:
        case "exact":
            return f"{sql} IN ({terms.bind_all(wanted)})"
        case "contains":
            found = [text for text in terms.texts_of(sql) if any(fold(each) in fold(text) for each in wanted)]
        case _:
            found = [text for text in terms.texts_of(sql) if fold(text).startswith(tuple(map(fold, wanted)))]
    return f"{sql} IN ({terms.bind_all(found)})" if found else NEVER


# --- dates ----------------------------------------------------------------------------------------


def _date(source: Span | Moment, code: str, value: DateValue, terms: Terms) -> str:
    """https://hl7.org/fhir/R4/search.html#prefix; `ap` reaches as far again as the date covers."""
    if isinstance(source, Moment):
        return _moment(terms.changed if code == "_lastUpdated" else source.sql, value, terms)
    low, high, present = _bounds(source)
    margin = value.high - value.low
    start, end = terms.bind(value.low), terms.bind(value.high)
    within = f"{start} <= {low} AND {high} <= {end}"
    match value.prefix:
        case "eq":
            test = within
        case "ne":
            test = f"NOT ({within})"
        case "gt":
            test = f"{high} > {end}"
        case "lt":
            test = f"{low} < {start}"
        case "ge":
            test = f"{high} > {end} OR ({within})"
        case "le":
            test = f"{low} < {start} OR ({within})"
        case "sa":
            test = f"{low} >= {end}"
        case "eb":
            test = f"{high} <= {start}"
        case _:
            test = f"{low} < {terms.bind(value.high + margin)} AND {high} > {terms.bind(value.low - margin)}"
    return f"({present} AND ({test}))"


def _bounds(source: Span) -> tuple[str, str, str]:
    """First, first after the last, and whether there is a date at all."""
    if source.open_ended:
        present = f"({source.low} IS NOT NULL OR {source.high} IS NOT NULL)"
        return f"COALESCE({source.low}, -{_ENDLESS})", f"COALESCE({source.high}, {_ENDLESS})", present
    return source.low, source.high, f"{source.low} IS NOT NULL"


def _moment(sql: str, value: DateValue, terms: Terms) -> str:
    """The same rules for an instant, written so that an index on it serves."""
    width = value.high - value.low
    match value.prefix:
        case "eq":
            return f"({sql} >= {terms.bind(value.low)} AND {sql} < {terms.bind(value.high)})"
        case "ne":
            return f"({sql} < {terms.bind(value.low)} OR {sql} >= {terms.bind(value.high)})"
        case "gt" | "sa":
            return f"{sql} >= {terms.bind(value.high)}"
        case "lt" | "eb":
            return f"{sql} < {terms.bind(value.low)}"
        case "ge":
            return f"{sql} >= {terms.bind(value.low)}"
        case "le":
            return f"{sql} < {terms.bind(value.high)}"
    return f"({sql} >= {terms.bind(value.low - width)} AND {sql} < {terms.bind(value.high + width)})"


# --- references -----------------------------------------------------------------------------------


def _reference(value: ReferenceValue, terms: Terms) -> str:
    parts = []
    if value.id:
        parts.append(f"x.target_id = {terms.bind(value.id)}")
        if value.type:
            parts.append(f"x.target_type = {terms.bind(value.type)}")
        return " AND ".join(parts)
    parts.append(f"x.identifier_value = {terms.bind(value.value)}")
    if value.system is not None:
        parts.append(f"x.identifier_system = {terms.bind(value.system)}")
    if value.type:
        # A reference by identifier may not say its type.
        parts.append(f"x.target_type IN ({terms.bind(value.type)}, '')")
    return " AND ".join(parts)


def _direct(criterion: Criterion, terms: Terms) -> str:
    match = " OR ".join(f"({_reference(value, terms)})" for value in criterion.values)  # type: ignore[arg-type]
    return terms.indexed(
        "search_reference", _is(criterion.parameter.code), f"({match}) AND {_knowable('x', criterion, terms)}"
    )


def _knowable(alias: str, criterion: Criterion, terms: Terms) -> str:
    """That a row of search_reference names no document hidden from the caller."""
    source = criterion.parameter.source
    if not (isinstance(source, References) and source.documents):
        return ALWAYS
    return (
        f"({alias}.target_type <> 'DocumentReference' OR {alias}.target_id IN (SELECT d.id FROM document d"
        " WHERE d.record_id = :record AND d.status <> 'entered-in-error'"
        f" AND ({terms.predicates['DocumentReference'].sql})))"
    )


def _chained(criterion: Criterion, terms: Terms) -> str:
    """By what the target is called or identified by: in the reference itself, in a contained resource, in the
    resource of the directory or of the record that it names, or in the professional that a named role is of."""
    chain = criterion.chain or "identifier"
    code, target = criterion.parameter.code, criterion.target
    if chain == "identifier":
        here = _direct(criterion, terms)
        table, match = "search_token", _any(_identifier("n", value, terms) for value in criterion.values)  # type: ignore[arg-type]
    else:
        kinds = (target,) if target else criterion.parameter.targets
        names = [f"'{code}:{kind}.{chain}'" for kind in kinds] + ([] if target else [f"'{code}.{chain}'"])
        here = terms.indexed("search_text", f"x.parameter IN ({', '.join(names)})", _texts("x", criterion, terms))
        table, match = "search_text", _texts("n", criterion, terms)
    of_type = f" AND f.target_type = {terms.bind(target)}" if target else ""
    named = terms.having(
        "f",
        f"search_reference f JOIN {table} n ON n.record_id IN (:record, '')"
        f" AND n.resource_id = f.target_id AND n.resource_type = f.target_type AND n.parameter = '{chain}'",
        f"f.parameter = '{code}' AND f.target_id <> ''{of_type} AND {match} AND {_knowable('f', criterion, terms)}",
    )
    by_role = terms.having(
        "f",
        "search_reference f JOIN search_reference o ON o.record_id = ''"
        " AND o.resource_type = 'PractitionerRole' AND o.parameter = 'practitioner' AND o.resource_id = f.target_id"
        f" JOIN {table} n ON n.record_id = '' AND n.resource_type = 'Practitioner' AND n.resource_id = o.target_id"
        f" AND n.parameter = '{chain}'",
        f"f.parameter = '{code}' AND f.target_type = 'PractitionerRole'{of_type} AND {match}",
    )
    roles = "PractitionerRole" in criterion.parameter.targets and target in (None, "PractitionerRole")
    return _any([here, named, by_role] if roles else [here, named])


def _identifier(alias: str, value: ReferenceValue, terms: Terms) -> str:
    if value.id:
        return NEVER  # an alternative by literal target: `_direct` finds it
    system = "" if value.system is None else f" AND {alias}.system = {terms.bind(value.system)}"
    return f"({terms.is_code(alias, value.system, value.value)}{system})"


def _items(criterion: Criterion, terms: Terms) -> str:
    ids = [value.id for value in criterion.values if isinstance(value, ReferenceValue) and value.id]
    if not ids:
        return NEVER
    visible = _apart(terms.predicates["DocumentReference"], terms)
    return (
        f"{terms.alias}.id IN (SELECT e.list_id FROM list_entry e JOIN document d ON d.record_id = e.record_id"
        " AND d.id = e.target_id WHERE e.record_id = :record AND e.target_type = 'DocumentReference'"
        f" AND e.target_id IN ({terms.bind_all(ids)}) AND d.status <> 'entered-in-error' AND ({visible}))"
    )


def _apart(predicate: Predicate, terms: Terms) -> str:
    """The predicate with parameters of its own: the one of the resource searched may use the same names."""

    def bound(match: re.Match[str]) -> str:
        return terms.bind(predicate.params[match[1]]) if match[1] in predicate.params else match[0]

    return re.sub(r"(?<!:):([A-Za-z_]\w*)", bound, predicate.sql)


def _national_ids(source: NationalIds, values: Iterable[Any], terms: Terms) -> str:
    conditions = []
    for value in values:
        if value.id:
            wanted = (
                "SELECT n.code FROM search_token n WHERE n.record_id = '' AND n.parameter = 'identifier'"
                f" AND n.resource_id = {terms.bind(value.id)}"
                + (f" AND n.resource_type = {terms.bind(value.type)}" if value.type else "")
            )
        elif number := _national_id(value):
            wanted = terms.bind(number)
        else:
            continue
        conditions += [f"{column} IN ({wanted})" for column in source.columns]
    return _any(conditions) if conditions else NEVER


def _national_id(value: ReferenceValue) -> str | None:
    if value.system is None or value.system in INS_SYSTEMS:
        return value.value
    return professional_id(value.system, value.value) or structure_id(value.system, value.value)
