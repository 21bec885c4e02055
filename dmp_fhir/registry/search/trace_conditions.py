"""Criteria of searches of the trace: who acted, with which software, on what (audit/words.py).

https://hl7.org/fhir/R4/auditevent.html#search
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from dmp_fhir.audit.words import ENTITY, SOFTWARE
from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.identity.identifiers import professional_id, structure_id
from dmp_fhir.registry.search.query import Criterion, ReferenceValue, TextValue, TokenValue
from dmp_fhir.registry.search.sources import Agents, Entities, Words, WordStart
from dmp_fhir.registry.search.terms import NEVER, Terms, any_of, column

_WORDS = "COALESCE(a.words, '')"


def condition(criterion: Criterion, terms: Terms) -> str:
    """The SQL of a criterion on the row of an AuditEvent."""
    tests: list[str] = []
    for value in criterion.values:
        match criterion.parameter.source, value:
            case Words() as source, TokenValue():
                tests += _codes(source, value, terms)
            case WordStart(start), TextValue(text):
                tests.append(_starting(start, text, terms, whole=criterion.modifier == "exact"))
            case Agents() as source, ReferenceValue():
                tests += _agents(source, value, terms)
            case Entities(), ReferenceValue():
                tests.append(_entity(value, terms))
    if isinstance(criterion.parameter.source, Words):
        tests += [column(each, criterion.values, terms) for each in criterion.parameter.source.beside]
    return any_of(tests) if tests else NEVER


def _has(part: str, where: str = _WORDS) -> str:
    """That the words hold a part: on both databases with regard to case, and no letter of it is a wildcard."""
    return f"REPLACE({where}, {part}, '') <> {where}"


def _word(text: str, *, whole: bool = True) -> str:
    """A word, or only its beginning, as it stands in the array."""
    written = orjson.dumps(text).decode()
    return written if whole else written[:-1]


def _codes(source: Words, value: TokenValue, terms: Terms) -> Iterator[str]:
    for system, start in source.starts:
        if value.system is None or value.system == system:
            yield _has(terms.bind(_word(start + (value.code or ""), whole=value.code is not None)))


def _starting(start: str, text: str, terms: Terms, *, whole: bool) -> str:
    if whole:
        return _has(terms.bind(_word(start + text)))
    return _has(terms.bind(_word(start + text.lower(), whole=False)), f"LOWER({_WORDS})")


# --- agents ---------------------------------------------------------------------------------------


def _agents(source: Agents, value: ReferenceValue, terms: Terms) -> Iterator[str]:
    if value.id:
        wanted = (
            "SELECT n.code FROM search_token n WHERE n.record_id = '' AND n.parameter = 'identifier'"
            f" AND n.resource_id = {terms.bind(value.id)}"
            + (f" AND n.resource_type = {terms.bind(value.type)}" if value.type else "")
        )
        yield from (f"{each} IN ({wanted})" for each in source.columns)
        return
    if source.columns and value.system == "":
        # Who has no national identifier: an account of the machine, a relative.
        yield f"(a.agent_id = {terms.bind(value.value)} AND a.agent_category NOT IN ('PS', 'PS_ROLE', 'STRUCTURE'))"
    elif source.columns and (number := _national_id(value)):
        yield from (f"{each} = {terms.bind(number)}" for each in source.columns)
    for system in source.software:
        if value.system is None or value.system == system:
            yield _has(terms.bind(_word(f"{SOFTWARE}{system}|{value.value}")))


def _national_id(value: ReferenceValue) -> str | None:
    if value.system is None or value.system in INS_SYSTEMS:
        return value.value
    return professional_id(value.system, value.value) or structure_id(value.system, value.value)


# --- entities -------------------------------------------------------------------------------------


def _entity(value: ReferenceValue, terms: Terms) -> str:
    if not value.id:
        return _identified(value, terms)
    wanted = terms.bind(value.id)
    if not value.type:
        named = _has(terms.bind(f"/{_word(value.id)[1:]}"))
        return f"(a.entity_id = {wanted} OR a.record_id = {wanted} OR {named})"
    named = _has(terms.bind(_word(f"{ENTITY}{value.type}/{value.id}")))
    of_patient = f" OR a.record_id = {wanted}" if value.type == "Patient" else ""
    return f"((a.entity_type = {terms.bind(value.type)} AND a.entity_id = {wanted}) OR {named}{of_patient})"


def _identified(value: ReferenceValue, terms: Terms) -> str:
    """That the entry names a resource of the record with this identifier."""
    system = "" if value.system is None else f" AND x.system = {terms.bind(value.system)}"
    of_type = f" AND x.resource_type = {terms.bind(value.type)}" if value.type else ""
    named = _has(f"'\"{ENTITY}' || x.resource_type || '/' || x.resource_id || '\"'")
    return (
        "EXISTS (SELECT 1 FROM search_token x WHERE x.record_id = :record AND x.parameter = 'identifier'"
        f" AND {terms.is_code('x', value.system, value.value)}{system}{of_type}"
        " AND ((x.resource_type = a.entity_type AND x.resource_id = a.entity_id)"
        f" OR (x.resource_type = 'Patient' AND x.resource_id = a.record_id) OR {named}))"
    )
