"""The checks on one value: fixed and pattern values, value sets, references, limits, invariants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from dmp_fhir.profiles.bindings import Codeset
from dmp_fhir.profiles.fhirpath import Environment, compiled, satisfied
from dmp_fhir.profiles.fhirpath_values import compare, same
from dmp_fhir.profiles.rules import Rule
from dmp_fhir.profiles.visit import Check, Visit, best_of
from dmp_fhir.profiles.walk import Way


def shown(value: Any) -> str:
    """A value in a message: short, and texts in quotes."""
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 160 else text[:157] + "…"


def fitting(pattern: Any) -> Callable[[Any], bool]:
    """The test that a value has at least what a pattern has
    (https://hl7.org/fhir/R4/elementdefinition.html#pattern)."""
    if type(pattern) is str:
        return lambda value: bool(value == pattern)
    if type(pattern) is list:
        return _fitting_list([fitting(each) for each in pattern])
    if type(pattern) is dict:
        return _fitting_object(pattern)
    return lambda value: same(value, pattern) is True


def _fitting_list(tests: Sequence[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    """Some item for each of the pattern."""

    def test(value: Any) -> bool:
        if type(value) is not list:
            return False
        for each in tests:
            for item in value:
                if each(item):
                    break
            else:
                return False
        return True

    return test


def _fitting_object(pattern: Mapping[str, Any]) -> Callable[[Any], bool]:
    texts = [(name, each) for name, each in pattern.items() if type(each) is str]
    others = [(name, fitting(each)) for name, each in pattern.items() if type(each) is not str]

    def test(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, text in texts:
            if value.get(name) != text:
                return False
        for name, each in others:  # noqa: SIM110 (a generator costs more than the tests)
            if name not in value or not each(value[name]):
                return False
        return True

    return test


def fixed_check(rule: Rule, wanted: Any) -> Check:
    fits = fitting(wanted)

    def run(visit: Visit, value: Any, way: Way) -> None:
        if value != wanted and not (fits(value) and fitting(value)(wanted)):
            visit.fault(rule, way, f"Trouvé : {shown(value)}.", f"Found: {shown(value)}.")

    return run


def pattern_check(rule: Rule, pattern: Any) -> Check:
    if type(pattern) is str:
        return fixed_check(rule, pattern)
    fits = fitting(pattern)

    def run(visit: Visit, value: Any, way: Way) -> None:
        if not fits(value):
            visit.fault(rule, way, f"Trouvé : {shown(value)}.", f"Found: {shown(value)}.")

    return run


def limit_check(rule: Rule, what: str, limit: Any) -> Check:
    def run(visit: Visit, value: Any, way: Way) -> None:
        if what == "maxLength":
            wrong = type(value) is str and len(value) > limit
        else:
            order = compare(value, limit)
            wrong = order is not None and (order < 0 if what == "minValue" else order > 0)
        if wrong:
            found = str(len(value)) if what == "maxLength" else shown(value)
            visit.fault(rule, way, f"Trouvé : {found}.", f"Found: {found}.")

    return run


def invariant_check(rule: Rule, text: str) -> Check:
    """Raises FhirPathError when the expression isn't understood."""
    expression = compiled(text)

    def run(visit: Visit, value: Any, way: Way) -> None:
        if not satisfied(expression, value, Environment(visit.resource, visit.root, None, visit.resolve)):
            visit.fault(rule, way, f"Règle : {text}", f"Rule: {text}")

    return run


# Value sets -----------------------------------------------------------------------------------------------------------


def binding_check(rule: Rule, codes: Codeset, type_name: str, strength: str) -> Check | None:
    """None when a value of this type can't be bound to a value set."""
    if type_name in ("code", "string", "uri", "url", "canonical", "id", "markdown"):

        def run_code(visit: Visit, value: Any, way: Way) -> None:
            if type(value) is str and not codes.has_code(value):
                _outside(visit, rule, codes, value, "", way)

        return run_code
    if type_name == "Quantity":
        return _coding_check(rule, codes)
    if type_name == "Coding":
        return _coding_check(rule, codes)
    return _concept_check(rule, codes, strength) if type_name == "CodeableConcept" else None


def _coding_check(rule: Rule, codes: Codeset) -> Check:
    def run(visit: Visit, value: Any, way: Way) -> None:
        if type(value) is dict and not codes.has(value.get("system"), value.get("code")):
            _outside(visit, rule, codes, value, value.get("display", ""), way)

    return run


def _concept_check(rule: Rule, codes: Codeset, strength: str) -> Check:
    def run(visit: Visit, value: Any, way: Way) -> None:
        if type(value) is not dict:
            return
        codings = value.get("coding")
        codings = codings if type(codings) is list else ()
        for each in codings:
            if type(each) is dict and codes.has(each.get("system"), each.get("code")):
                return
        if given := [each for each in codings if type(each) is dict]:
            best = next((each for each in given if str(each.get("system")) in codes.codes), given[0])
            _outside(visit, rule, codes, best, best.get("display", ""), way)
        elif strength == "required":
            _outside(visit, rule, codes, "", "", way)

    return run


def _outside(visit: Visit, rule: Rule, codes: Codeset, value: Any, display: Any, way: Way) -> None:
    if visit.severity(rule) == "off":
        return
    code = value.get("code") if type(value) is dict else value
    code = code if type(code) is str else ""
    system = value.get("system") if type(value) is dict else None
    some = "; ".join(codes.nearest(code, display if type(display) is str else ""))
    found = f"{system}#{code}" if type(system) is str else code or "—"
    other = type(system) is str and system not in codes.codes and bool(codes.codes)
    systems = ", ".join(sorted(codes.codes)[:3])
    fr = f"Trouvé : {found[:200]} ; les plus proches : {some}." + (f" Systèmes : {systems}." if other else "")
    en = f"Found: {found[:200]}; nearest: {some}." + (f" Systems: {systems}." if other else "")
    visit.fault(rule, way, fr, en)


# References and resources ---------------------------------------------------------------------------------------------


def target_check(rule: Rule, plans: Mapping[str, Sequence[Any]]) -> Check:
    """The types of resources a reference may lead to, and for each the profiles that one at hand (contained, or in the
    bundle) follows one of; any when none is given."""
    known = {kind: " ".join(plan.url for plan in some) for kind, some in plans.items()}

    def run(visit: Visit, value: Any, way: Way) -> None:
        if type(value) is not dict:
            return
        kind, found = visit.target(value)
        if kind is None:
            return
        wanted = plans.get(kind)
        if wanted is None:
            visit.fault(rule, way, f"Trouvé : {kind}.", f"Found: {kind}.")
        elif wanted and found is not None:
            visit.lead(wanted, known[kind], value["reference"], *found)

    return run


def aggregation_check(rule: Rule, aggregation: frozenset[str]) -> Check:
    """Where the resource referred to stands. A reference with neither address nor identifier (only extensions) says
    nothing about it."""

    def run(visit: Visit, value: Any, way: Way) -> None:
        if type(value) is not dict:
            return
        reference = value.get("reference")
        if type(reference) is not str:
            if "identifier" in value and "referenced" not in aggregation:
                visit.fault(rule, way, "Trouvé : un identifiant.", "Found: an identifier.")
            return
        if reference[:1] == "#":
            where = "contained"
        else:
            where = "bundled" if visit.resolve(reference) is not None else "referenced"
        if where not in aggregation:
            visit.fault(rule, way, f"Trouvé : {reference[:200]}.", f"Found: {reference[:200]}.")

    return run


def resource_type_check(rule: Rule, wanted: Mapping[str, Sequence[Any]]) -> Check:
    """A resource of one of these types, following one of the profiles given for its type."""

    def run(visit: Visit, value: Any, way: Way) -> None:
        if type(value) is not dict:
            return
        kind = value.get("resourceType")
        if type(kind) is not str:
            return
        if kind not in wanted:
            visit.fault(rule, way, f"Trouvé : {kind}.", f"Found: {kind}.")
            return
        plans = wanted[kind]
        if plans:
            outer = visit.resource, visit.root, visit.root_way
            visit.resource, visit.root, visit.root_way = value, value, way
            if len(plans) == 1:
                visit.conform(plans[0], value, way)
            else:
                best_of(plans, visit, value, way)
            visit.resource, visit.root, visit.root_way = outer

    return run
