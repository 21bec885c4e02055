"""Is a tree an R4 resource? The complete list of its structural faults, from the compiled base definitions.

One walk over the tree, table by table; the way to a fault is only written out when there is one. Checked: resource
types, properties, JSON types, cardinalities, choices, primitive formats, required bindings, references, contained
resources, extensions, narratives, and the invariants of base_rules. Unknown extensions are kept; unknown modifier
extensions and implicit rules change the meaning of what carries them, so they are refused (TF-107).
https://hl7.org/fhir/R4/json.html, https://hl7.org/fhir/R4/extensibility.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.base_invariants import Invariant, invariants_of
from dmp_fhir.profiles.base_rules import RULES, Fault
from dmp_fhir.profiles.definitions import Element, Property, Type, resource_types, type_of
from dmp_fhir.profiles.narrative import read_div
from dmp_fhir.profiles.primitive_checks import Check, primitive_check
from dmp_fhir.profiles.reference_checks import reference_check
from dmp_fhir.profiles.references import entry_types, is_absolute
from dmp_fhir.profiles.value_checks import absolute_check, coded_check
from dmp_fhir.profiles.walk import Walk, Way

Tree = dict[str, Any]


def structural_issues(tree: Any, *, expression: str | None = None) -> list[Issue]:
    """The structural errors of a resource, none when it is sound. `expression` is the FHIRPath of the resource when it
    is part of something else (`Bundle.entry[2].resource`)."""
    return [issue for issue in structural_walk(tree, expression=expression).issues if issue.severity == "error"]


def structural_walk(tree: Any, *, expression: str | None = None, known: Container[str] = ()) -> Walk:
    """The walk itself: issues, warnings included, and the extensions met whose urls are `known`. A modifier extension
    that is known is no fault."""
    name = tree.get("resourceType") if type(tree) is dict else None
    named = type(name) is str and name in resource_types()
    walk = Walk(tree, expression or (name if named else "Resource"), known=known)
    _resource(walk, tree, walk.way)
    return walk


def datatype_issues(type_name: str, tree: Any, expression: str) -> list[Issue]:
    """The structural faults of one complex datatype, such as the CodeableConcept of a PATCH."""
    walk = Walk()
    _complex(walk, tree, _plan(type_name), expression)
    return walk.issues


# Resources ------------------------------------------------------------------------------------------------------------


def _resource(walk: Walk, node: Any, way: Way) -> None:
    if type(node) is not dict:
        walk.add("structure", "Une ressource (objet) est attendue.", "A resource (object) is expected.", way, "TF-108")
        return
    name = node.get("resourceType")
    if type(name) is not str or name not in resource_types():
        shown = name[:64] if type(name) is str else "—"
        fr = f"resourceType « {shown} » n'est pas un type de ressource de FHIR R4."
        walk.add("structure", fr, f"resourceType '{shown}' is no resource type of FHIR R4.", way, "TF-108")
        return
    if "implicitRules" in node:
        fr = "Des règles implicites (implicitRules) changeraient le sens de la ressource : enlevez-les."
        en = "Implicit rules (implicitRules) would change the meaning of the resource: remove them."
        walk.add("not-supported", fr, en, (way, "implicitRules", None), "TF-107")
    if walk.inside is not None:
        container = walk.resource, walk.resource_way
        walk.resource, walk.resource_way = node, way
        _complex(walk, node, _plan(name), way)
        walk.resource, walk.resource_way = container
        return
    outer = walk.contained, walk.pointed, walk.pointing_back, walk.resource, walk.resource_way
    if name == "Bundle" and not walk.entries:
        walk.entries = entry_types(node)
        walk.settled = node is walk.tree and node.get("type") != "transaction"
    walk.resource, walk.resource_way = node, way
    walk.contained = _contained_types(walk, node, way) if "contained" in node else {}
    walk.pointed, walk.pointing_back = set(), set()
    _complex(walk, node, _plan(name), way)
    if walk.contained:
        _check_all_referenced(walk, node, way)
    walk.contained, walk.pointed, walk.pointing_back, walk.resource, walk.resource_way = outer


def _contained_types(walk: Walk, node: Tree, way: Way) -> dict[str, str]:
    """Ids of the contained resources and their types; ids are unique among them."""
    found: dict[str, str] = {}
    items = node["contained"]
    for n, item in enumerate(items if type(items) is list else [items]):
        if type(item) is not dict or type(item.get("id")) is not str:
            continue
        if item["id"] in found:
            fr, en = "Deux ressources contenues ont cet id.", "Two contained resources have this id."
            walk.add("invariant", fr, en, ((way, "contained", n), "id", None), "TF-109")
        found[item["id"]] = str(item.get("resourceType"))
    return found


def _contained(walk: Walk, node: Any, way: Way) -> None:
    if type(node) is dict:
        if "contained" in node:
            fr = "Une ressource contenue ne peut pas en contenir d'autres."
            walk.add("invariant", fr, "A contained resource can't contain others.", (way, "contained", None), "dom-2")
            return
        if "id" not in node:
            fr, en = "Une ressource contenue a besoin d'un id.", "A contained resource needs an id."
            walk.add("required", fr, en, (way, "id", None), "dom-3")
        meta = node.get("meta")
        for name, rule in (("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")):
            if type(meta) is dict and name in meta:
                fr = f"Une ressource contenue n'a pas de meta.{name} : enlevez-le."
                en = f"A contained resource has no meta.{name}: remove it."
                walk.add("invariant", fr, en, ((way, "meta", None), name, None), rule)
    walk.inside = str(node.get("id")) if type(node) is dict else ""
    _resource(walk, node, way)
    walk.inside = None


def _check_all_referenced(walk: Walk, node: Tree, way: Way) -> None:
    """dom-3: each contained resource is referred to from the resource, or refers to it (`#`)."""
    for n, item in enumerate(node["contained"]):
        own = item.get("id") if type(item) is dict else None
        if type(own) is str and "#" + own not in walk.pointed and own not in walk.pointing_back:
            fr = f"Rien ne renvoie à cette ressource contenue (#{own[:64]}) : citez-la ou enlevez-la."
            en = f"Nothing refers to this contained resource (#{own[:64]}): refer to it or remove it."
            walk.add("invariant", fr, en, (way, "contained", n), "dom-3")


# Complex types --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the walk needs of a type: check and plurality by property, mandatory elements (when all of `required` are
    there, none lacks), choices, invariants."""

    kind: Type
    checks: dict[str, tuple[Check, bool]]
    mandatory: tuple[tuple[Element, frozenset[str]], ...]
    required: frozenset[str]
    choices: tuple[tuple[Element, frozenset[str]], ...]
    rule: Callable[[Tree, Fault], None] | None
    invariants: tuple[Invariant, ...]


@cache
def _plan(name: str) -> _Plan:
    kind = type_of(name)
    names = {each.name: _names(kind, each) for each in kind.elements}
    checks = {key: (_check_of(known), known.element.many) for key, known in kind.properties.items()}
    if name in ("Coding", "Identifier"):
        checks["system"] = absolute_check(name, checks["system"][0]), False
    return _Plan(
        kind,
        checks,
        tuple((element, names[element.name]) for element in kind.elements if element.least),
        frozenset(element.name for element in kind.elements if element.least),
        tuple((element, names[element.name]) for element in kind.elements if element.choice),
        RULES.get(name),
        invariants_of(name),
    )


def _names(kind: Type, element: Element) -> frozenset[str]:
    """The properties that give an element: `status` and `_status`; `valueString`, `_valueString`, `valueCode`…"""
    names = {known.name for known in kind.properties.values() if known.element is element}
    return frozenset(names | {"_" + name for name in names})


def _complex(walk: Walk, node: Any, plan: _Plan, way: Way) -> None:
    if type(node) is not dict:
        walk.add("structure", "Un objet est attendu ici.", "An object is expected here.", way, "FHIR R4 JSON")
        return
    if not node:
        walk.add("structure", "Objet vide : enlevez-le.", "Empty object: remove it.", way, "ele-1")
        return
    checks = plan.checks
    for name, value in node.items():
        found = checks.get(name)
        if found is None:
            if name != "resourceType" or plan.kind.kind != "resource":
                _other_property(walk, node, name, value, plan, way)
        elif not found[1]:
            found[0](walk, value, way, name, None)
        elif type(value) is not list:
            fr, en = (
                "Un tableau est attendu : cet élément est répétable.",
                "An array is expected: this element repeats.",
            )
            walk.add("structure", fr, en, (way, name, None), _rule(plan, name))
        elif not value:
            walk.add(
                "structure", "Tableau vide : enlevez-le.", "Empty array: remove it.", (way, name, None), "FHIR R4 JSON"
            )
        else:
            check = found[0]
            for n, item in enumerate(value):
                if item is None:
                    _check_gap(walk, node, name, n, way)
                else:
                    check(walk, item, way, name, n)
    if not plan.required <= node.keys():
        for element, names in plan.mandatory:
            if names.isdisjoint(node):
                _missing(walk, plan, element, way)
    for element, names in plan.choices:
        given = names & node.keys()
        if len(given) > 1 and len({name.removeprefix("_") for name in given}) > 1:
            _two_choices(walk, plan, element, given, way)
    if plan.rule is not None:
        plan.rule(node, _reporter(walk, way))
    for invariant in plan.invariants:
        for place in invariant.broken(node, walk.resource):
            step = way if place is None else (way, *place)
            walk.add("invariant", invariant.fr, invariant.en, step, invariant.key, invariant.severity)


def _reporter(walk: Walk, way: Way) -> Fault:
    def report(key: str, name: str | None, fr: str, en: str, severity: str = "error") -> None:
        walk.add("invariant", fr, en, (way, name, None) if name else way, key, severity)

    return report


def _rule(plan: _Plan, name: str) -> str:
    return f"FHIR R4 {plan.kind.name}.{name}"


def _missing(walk: Walk, plan: _Plan, element: Element, way: Way) -> None:
    name = element.name + ("[x]" if element.choice else "")
    fr = f"Élément obligatoire absent : {plan.kind.name}.{name}."
    walk.add(
        "required",
        fr,
        f"Missing mandatory element: {plan.kind.name}.{name}.",
        (way, element.name, None),
        _rule(plan, name),
    )


def _two_choices(walk: Walk, plan: _Plan, element: Element, given: Collection[str], way: Way) -> None:
    names = ", ".join(sorted({name.removeprefix("_") for name in given}))
    fr = f"Une seule forme de {element.name}[x] est permise ; données : {names}."
    en = f"Only one form of {element.name}[x] is allowed; given: {names}."
    walk.add("structure", fr, en, (way, element.name, None), _rule(plan, element.name + "[x]"))


def _other_property(walk: Walk, node: Tree, name: str, value: Any, plan: _Plan, way: Way) -> None:
    """`_name`, the id and extensions of a primitive; or a property R4 doesn't have."""
    known = plan.kind.properties.get(name[1:]) if name[:1] == "_" else None
    if known is None or not known.primitive or known.element.attribute:
        near = get_close_matches(name[:64], plan.kind.properties, 1)
        fr = f"Propriété inconnue de FHIR R4 : {plan.kind.name}.{name[:64]}." + (
            f" Peut-être {near[0]} ?" if near else ""
        )
        en = f"Property unknown to FHIR R4: {plan.kind.name}.{name[:64]}." + (f" Maybe {near[0]}?" if near else "")
        walk.add("structure", fr, en, (way, name[:64], None), "TF-107")
        return
    beside = _plan("Element")
    if not known.element.many:
        _complex(walk, value, beside, (way, name, None))
        return
    values = node.get(known.name)
    if type(value) is not list or not value or (type(values) is list and len(values) != len(value)):
        fr = f"{name[:64]} est un tableau de la même longueur que {known.name}, avec null aux places vides."
        en = f"{name[:64]} is an array as long as {known.name}, with null at empty places."
        walk.add("structure", fr, en, (way, name, None), "FHIR R4 JSON")
        return
    for n, item in enumerate(value):
        if item is not None:
            _complex(walk, item, beside, (way, name, n))
        elif type(values) is not list:
            walk.add("structure", "Valeur null.", "Null value.", (way, name, n), "FHIR R4 JSON")


def _check_gap(walk: Walk, node: Tree, name: str, n: int, way: Way) -> None:
    """null stands in a list only beside the extensions of a primitive that has no value."""
    beside = node.get("_" + name)
    if type(beside) is not list or n >= len(beside) or beside[n] is None:
        fr, en = "null n'est pas une valeur : enlevez-le.", "null is no value: remove it."
        walk.add("structure", fr, en, (way, name, n), "FHIR R4 JSON")


# Checks of one property -----------------------------------------------------------------------------------------------


def _check_of(known: Property) -> Check:
    if known.name == "modifierExtension":
        return _modifier
    if known.name == "contained" and known.resource:
        return lambda walk, value, way, name, n: _contained(walk, value, (way, name, n))
    if known.resource:
        return _embedded
    if known.type == "xhtml":
        return _narrative
    if known.primitive:
        return primitive_check(known)
    if known.type == "Reference":
        return reference_check(known, _complex_check("Reference"))
    if known.type == "Extension":
        return _extension_check()
    if known.type == "Identifier":
        return _identifier_check()
    if known.type in ("Coding", "CodeableConcept"):
        inner = _coding_check() if known.type == "Coding" else _complex_check(known.type)
        return inner if known.element.codes is None else coded_check(known, inner)
    return _complex_check(known.type)


def _complex_check(type_name: str) -> Check:
    plans: list[_Plan] = []

    def check(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        if not plans:  # built on first use: types may hold themselves
            plans.append(_plan(type_name))
        _complex(walk, value, plans[0], (way, name, n))

    return check


def _extension_check() -> Check:
    inner = _complex_check("Extension")

    def check(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        inner(walk, value, way, name, n)
        url = value.get("url") if type(value) is dict else None
        if type(url) is not str or url.split() != [url]:
            return  # told already
        if url in walk.known:
            walk.met.append((url, value, (way, name, n), walk.resource, walk.resource_way))
        elif not is_absolute(url) and not (type(way) is tuple and way[1] in ("extension", "modifierExtension")):
            # Only the parts of an extension have names relative to it.
            fr = f"L'url d'une extension est un URI absolu, celui de sa définition ; trouvé : {url[:100]}."
            en = f"The url of an extension is an absolute URI, that of its definition; found: {url[:100]}."
            walk.add("value", fr, en, ((way, name, n), "url", None), "FHIR R4 Extension.url")

    return check


def _coding_check() -> Check:
    plans: list[_Plan] = []

    def check(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        if not plans:
            plans.append(_plan("Coding"))
        here = (way, name, n)
        _complex(walk, value, plans[0], here)
        walk.codings.append((value, here))

    return check


def _identifier_check() -> Check:
    inner = _complex_check("Identifier")

    def check(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
        inner(walk, value, way, name, n)
        walk.identifiers.append((value, (way, name, n)))

    return check


def _modifier(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
    url = value.get("url") if type(value) is dict else None
    if type(url) is str and url in walk.known:
        _extension_check()(walk, value, way, name, n)
        return
    shown = url[:200] if type(url) is str else "—"
    fr = f"Extension modificatrice inconnue ({shown}) : elle changerait le sens, la ressource est refusée."
    en = f"Unknown modifier extension ({shown}): it would change the meaning, the resource is refused."
    walk.add("extension", fr, en, (way, name, n), "TF-107")


def _embedded(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
    """A resource that stands on its own inside another: an entry of a Bundle, a parameter."""
    _resource(walk, value, (way, name, n))


def _narrative(walk: Walk, value: Any, way: Way, name: str, n: int | None) -> None:
    try:
        read_div(value if type(value) is str else "")
    except ValueError as fault:
        fr = f"Texte narratif refusé : du XHTML simple, sans script ni lien actif, est attendu ({fault})."
        walk.add("invariant", fr, f"Narrative refused: {fault}.", (way, name, n), "txt-1")
