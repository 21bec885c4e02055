"""A criterion -> one SQL condition on the row of the resource. https://hl7.org/fhir/R4/search.html

Text of the client only ever goes in as a bound parameter (TF-118); what is written into the SQL are names of
parameters.py. Every lookup in a search table starts with the record, so its cost does not grow with the registry.
"""

from __future__ import annotations

import re

from dmp_fhir.registry.search import trace_conditions
from dmp_fhir.registry.search.query import Criterion, DateValue, ReferenceValue, TextValue, TokenValue
from dmp_fhir.registry.search.sources import (
    Agents,
    Column,
    Entities,
    FewTexts,
    Flag,
    Items,
    Moment,
    References,
    Span,
    Texts,
    Tokens,
    Words,
    WordStart,
)
from dmp_fhir.registry.search.terms import ALWAYS, NEVER, Predicate, Terms, any_of, column, is_parameter
from dmp_fhir.registry.search.values import fold

_ENDLESS = 1 << 62


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
            found = column(parameter.source, criterion.values, terms)
        case Flag(sql):
            found = any_of(sql if value.code == "true" else f"NOT ({sql})" for value in criterion.values)  # type: ignore[union-attr]
        case Texts():
            found = terms.indexed("search_text", is_parameter(parameter.code), _texts("x", criterion, terms))
        case Span() | Moment():
            found = any_of(_date(parameter.source, parameter.code, value, terms) for value in criterion.values)  # type: ignore[arg-type]
        case References():
            if criterion.modifier == "identifier" or any(not value.id for value in criterion.values):  # type: ignore[union-attr]
                found = _chained(criterion, terms)
            else:
                found = _direct(criterion, terms)
        case Items():
            found = _items(criterion, terms)
        case Entities() | Agents() | Words() | WordStart():
            found = trace_conditions.condition(criterion, terms)
        case FewTexts(sql):
            found = _few_texts(sql, criterion, terms)
        case _:
            raise AssertionError(f"{parameter.code} is not a criterion")
    return f"NOT ({found})" if criterion.modifier == "not" else found


def _present(criterion: Criterion, terms: Terms) -> str:
    source = criterion.parameter.source
    if isinstance(source, Span):
        return f"({source.low} IS NOT NULL OR {source.high} IS NOT NULL)"
    table = {Tokens: "search_token", Texts: "search_text", References: "search_reference"}[type(source)]
    return terms.indexed(table, is_parameter(criterion.parameter.code), _knowable("x", criterion, terms))


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
    return terms.indexed("search_token", is_parameter(criterion.parameter.code), match)


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
    return any_of(f"{alias}.folded LIKE {pattern} ESCAPE '!'" for pattern in patterns)


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
        "search_reference", is_parameter(criterion.parameter.code), f"({match}) AND {_knowable('x', criterion, terms)}"
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
        table, match = "search_token", any_of(_identifier("n", value, terms) for value in criterion.values)  # type: ignore[arg-type]
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
    return any_of([here, named, by_role] if roles else [here, named])


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
