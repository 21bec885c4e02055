"""FHIRPath expressions compiled once to closures over resource trees.

The subset is that of the invariants of R4 and of profiles; anything else raises FhirPathError when it is compiled,
never when it is run. A closure takes the focus (a list of items) and an `Environment`, and gives a list.
http://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from dmp_fhir.profiles.definitions import is_choice_name, is_choice_property, is_element_name, resource_types
from dmp_fhir.profiles.fhirpath_functions import FUNCTIONS, LAMBDAS
from dmp_fhir.profiles.fhirpath_parser import FhirPathError, Node, parse
from dmp_fhir.profiles.fhirpath_values import (
    Primitive,
    arithmetic,
    compare,
    equal,
    holds,
    is_number,
    plain,
    text_of,
    truth,
)
from dmp_fhir.profiles.fhirpath_values import distinct as distinct_of

Items = list[Any]
_CONSTANTS = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_SYSTEM_TYPES = {"Boolean": bool, "boolean": bool, "Integer": int, "integer": int}
_ABSTRACT = frozenset({"Resource", "DomainResource"})


@dataclass(slots=True)
class Environment:
    """What an expression may refer to: the resource it is about (`%resource`), the outermost one it is contained in
    (`%rootResource`), the element the invariant stands on (`%context`), and how a reference is resolved."""

    resource: Any
    root: Any
    context: Any = None
    resolve: Callable[[str], Any] | None = None


Expression = Callable[[Items, Environment], Items]


@cache
def compiled(text: str) -> Expression:
    """The closure of an expression. Raises FhirPathError."""
    return _build(parse(text))


def satisfied(expression: Expression, item: Any, environment: Environment) -> bool:
    """Whether an invariant holds for an item; an empty result does (https://hl7.org/fhir/R4/fhirpath.html)."""
    environment.context = item
    return truth(expression([item], environment)) is not False


def _build(node: Node) -> Expression:
    return _BUILDERS[node[0]](node)


def _literal(node: Node) -> Expression:
    value = [node[1]]
    return lambda focus, env: value


def _empty(node: Node) -> Expression:
    return lambda focus, env: []


def _this(node: Node) -> Expression:
    return lambda focus, env: focus


def _variable(node: Node) -> Expression:
    name = node[1]
    if name in _CONSTANTS:
        constant = [_CONSTANTS[name]]
        return lambda focus, env: constant
    if name == "resource":
        return lambda focus, env: [env.resource]
    if name == "rootResource":
        return lambda focus, env: [env.root]
    if name == "context":
        return lambda focus, env: [env.context]
    raise FhirPathError(f"variable %{name} is not understood")


# Navigation -----------------------------------------------------------------------------------------------------------


def _member(node: Node) -> Expression:
    _, target, name = node
    if target is None and name in resource_types():
        return lambda focus, env: [item for item in focus if type(item) is dict and item.get("resourceType") == name]
    if not is_element_name(name):
        raise FhirPathError(f"no element of R4 is called {name}")
    return _stepped(target, name)


def _stepped(target: Node | None, name: str) -> Expression:
    step = _step(name)
    if target is None:
        return lambda focus, env: step(focus)
    inner = _build(target)
    return lambda focus, env: step(inner(focus, env))


@cache
def _step(name: str) -> Callable[[Items], Items]:
    beside, choice = "_" + name, is_choice_name(name)

    def step(focus: Items) -> Items:
        found: Items = []
        for item in focus:
            if type(item) is dict:
                if name in item or beside in item:
                    collect(item, name, beside, found)
                elif choice:
                    _collect_choice(item, name, found)
            elif type(item) is Primitive and name in item.beside:
                collect(item.beside, name, beside, found)
        return found

    return step


def _collect_choice(item: dict[str, Any], name: str, found: Items) -> None:
    for key in item:
        bare = key.removeprefix("_")
        if bare.startswith(name) and is_choice_property(bare) and (bare == key or bare not in item):
            collect(item, bare, "_" + bare, found)


def collect(item: dict[str, Any], name: str, beside: str, found: Items) -> None:
    """Append the values of one property, each with what stands beside it."""
    value = item.get(name)
    if beside not in item:
        if type(value) is list:
            found += value if None not in value else [each for each in value if each is not None]
        elif value is not None:
            found.append(value)
        return
    extra = item[beside]
    if type(value) is list or type(extra) is list:
        values = value if type(value) is list else []
        extras = extra if type(extra) is list else []
        for n in range(max(len(values), len(extras))):
            one = values[n] if n < len(values) else None
            other = extras[n] if n < len(extras) else None
            if type(other) is dict:
                found.append(Primitive(one, other))
            elif one is not None:
                found.append(one)
    elif type(extra) is dict:
        found.append(Primitive(value, extra))
    elif value is not None:
        found.append(value)


def _index(node: Node) -> Expression:
    inner, index = _build(node[1]), _build(node[2])

    def run(focus: Items, env: Environment) -> Items:
        place = plain((index(focus, env) or [None])[0])
        items = inner(focus, env)
        return [items[int(place)]] if is_number(place) and 0 <= place < len(items) else []

    return run


# Types ----------------------------------------------------------------------------------------------------------------


def _type(node: Node) -> Expression:
    _, operator, operand, name = node
    kept = _of_type(operand, name)
    if operator == "as":
        return kept
    inner = _build(operand)
    return lambda focus, env: [bool(kept(focus, env))] if inner(focus, env) else []


def _of_type(operand: Node | None, name: str) -> Expression:
    """The items of an operand that are of a type. Resources say theirs, a choice has it in its property's name; of any
    other value the type isn't known here."""
    if name in resource_types() or name in _ABSTRACT:
        inner = _build(operand) if operand else _this(("this",))
        without = frozenset() if name == "Resource" else frozenset({"Bundle", "Binary", "Parameters"})
        if name in _ABSTRACT:
            return lambda focus, env: [
                each
                for each in inner(focus, env)
                if type(each) is dict and "resourceType" in each and str(each["resourceType"]) not in without
            ]
        return lambda focus, env: [
            each for each in inner(focus, env) if type(each) is dict and each.get("resourceType") == name
        ]
    if operand is not None and operand[0] == "member" and is_choice_property(operand[2] + _capital(name)):
        return _stepped(operand[1], operand[2] + _capital(name))
    if name in _SYSTEM_TYPES:
        inner, kind = _build(operand) if operand else _this(("this",)), _SYSTEM_TYPES[name]
        return lambda focus, env: [each for each in inner(focus, env) if type(plain(each)) is kind]
    raise FhirPathError(f"type {name} can't be told from the value here")


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


# Operators ------------------------------------------------------------------------------------------------------------


def _negate(node: Node) -> Expression:
    inner = _build(node[1])
    return lambda focus, env: [-plain(item) for item in inner(focus, env)[:1] if is_number(plain(item))]


def _binary(node: Node) -> Expression:
    _, operator, left_node, right_node = node
    left, right = _build(left_node), _build(right_node)
    if operator in _LOGIC:
        logic = _LOGIC[operator]
        return lambda focus, env: logic(left, right, focus, env)
    if operator == "|":
        return lambda focus, env: distinct_of([*left(focus, env), *right(focus, env)])
    if operator == "=":
        return lambda focus, env: equal(left(focus, env), right(focus, env))
    if operator == "!=":
        return lambda focus, env: [not answer for answer in equal(left(focus, env), right(focus, env))]
    if operator in _ORDER:
        return _order(_ORDER[operator], left, right)
    if operator == "in":
        return _inside(left, right)
    if operator == "contains":
        return _inside(right, left)
    if operator in ("~", "!~"):
        raise FhirPathError(f"operator {operator} is not understood")
    if operator == "&":
        return lambda focus, env: ["".join(text_of(s[0]) or "" for s in (left(focus, env), right(focus, env)) if s)]

    def calculate(focus: Items, env: Environment) -> Items:
        one, other = left(focus, env), right(focus, env)
        return arithmetic(operator, one[0], other[0]) if one and other else []

    return calculate


def _order(accepts: Callable[[int], bool], left: Expression, right: Expression) -> Expression:
    def run(focus: Items, env: Environment) -> Items:
        one, other = left(focus, env), right(focus, env)
        answer = compare(one[0], other[0]) if one and other else None
        return [] if answer is None else [accepts(answer)]

    return run


def _inside(wanted: Expression, among: Expression) -> Expression:
    def run(focus: Items, env: Environment) -> Items:
        value = wanted(focus, env)
        return [holds(among(focus, env), value[0])] if value else []

    return run


def _and(left: Expression, right: Expression, focus: Items, env: Environment) -> Items:
    one = truth(left(focus, env))
    if one is False:
        return [False]
    other = truth(right(focus, env))
    if other is False:
        return [False]
    return [True] if one and other else []


def _or(left: Expression, right: Expression, focus: Items, env: Environment) -> Items:
    one = truth(left(focus, env))
    if one:
        return [True]
    other = truth(right(focus, env))
    if other:
        return [True]
    return [False] if one is False and other is False else []


def _xor(left: Expression, right: Expression, focus: Items, env: Environment) -> Items:
    one, other = truth(left(focus, env)), truth(right(focus, env))
    return [] if one is None or other is None else [one is not other]


def _implies(left: Expression, right: Expression, focus: Items, env: Environment) -> Items:
    one = truth(left(focus, env))
    if one is False:
        return [True]
    other = truth(right(focus, env))
    if other:
        return [True]
    return [other] if one and other is not None else []


_LOGIC = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}
_ORDER: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "<=": lambda order: order <= 0,
    ">=": lambda order: order >= 0,
}


# Functions ------------------------------------------------------------------------------------------------------------


def _call(node: Node) -> Expression:
    _, target, name, arguments = node
    if name in ("ofType", "as", "is"):
        if len(arguments) != 1 or arguments[0][0] != "member":
            raise FhirPathError(f"{name}() takes one type")
        return _type(("type", "as" if name == "ofType" else name, target or ("this",), arguments[0][2]))
    inner = _build(target) if target else _this(("this",))
    if name == "resolve" and not arguments:
        return lambda focus, env: _resolved(inner(focus, env), env)
    if name == "iif" and len(arguments) in (2, 3):
        return _iif(inner, [_build(each) for each in arguments])
    if name in LAMBDAS and len(arguments) in LAMBDAS[name][1]:
        function = LAMBDAS[name][0]
        criterion = _build(arguments[0]) if arguments else None
        return lambda focus, env: function(inner(focus, env), criterion, env)
    if name in FUNCTIONS and len(arguments) in FUNCTIONS[name][1]:
        plain_function, given = FUNCTIONS[name][0], [_build(each) for each in arguments]
        if not given:
            return lambda focus, env: plain_function(inner(focus, env))
        return lambda focus, env: plain_function(inner(focus, env), *(each(focus, env) for each in given))
    raise FhirPathError(f"function {name}() with {len(arguments)} arguments is not understood")


def _iif(inner: Expression, arguments: list[Expression]) -> Expression:
    def run(focus: Items, env: Environment) -> Items:
        items = inner(focus, env)
        if truth(arguments[0](items, env)):
            return arguments[1](items, env)
        return arguments[2](items, env) if len(arguments) == 3 else []

    return run


def _resolved(items: Items, env: Environment) -> Items:
    found: Items = []
    for item in items:
        reference = item.get("reference") if type(item) is dict else plain(item)
        resource = env.resolve(reference) if env.resolve is not None and type(reference) is str else None
        if resource is not None:
            found.append(resource)
    return found


_BUILDERS: dict[str, Callable[[Node], Expression]] = {
    "literal": _literal,
    "empty": _empty,
    "this": _this,
    "variable": _variable,
    "member": _member,
    "index": _index,
    "type": _type,
    "negate": _negate,
    "binary": _binary,
    "call": _call,
}
