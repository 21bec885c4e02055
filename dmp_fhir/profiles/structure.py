"""Is a tree an R4 resource? The complete list of its structural faults, from the compiled base definitions.

One walk over the tree, table by table; the way to a fault is only written out when there is one. Checked: resource
types, properties, JSON types, cardinalities, choices, primitive formats, required bindings, references, contained
resources, extensions, narratives, and the invariants of base_rules. Unknown extensions are kept; unknown modifier
extensions and implicit rules change the meaning of what carries them, so they are refused (TF-107).
https://hl7.org/fhir/R4/json.html, https://hl7.org/fhir/R4/extensibility.html
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.base_invariants import Invariant, invariants_of
from dmp_fhir.profiles.base_rules import NEEDED, RULES, Fault
from dmp_fhir.profiles.definitions import Element, Property, Type, resource_types, type_of
from dmp_fhir.profiles.narrative import read_div
from dmp_fhir.profiles.primitive_checks import Check, primitive_check, quick_test
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
    _object_check(type_name)(walk, tree, expression)
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
        _object_check(name)(walk, node, way)
        walk.resource, walk.resource_way = container
        return
    outer = walk.contained, walk.pointed, walk.pointing_back, walk.resource, walk.resource_way
    if name == "Bundle" and not walk.entries:
        walk.entries = entry_types(node)
        walk.settled = node is walk.tree and node.get("type") != "transaction"
    walk.resource, walk.resource_way = node, way
    walk.contained = _contained_types(walk, node, way) if "contained" in node else {}
    walk.pointed, walk.pointing_back = set(), set()
    _object_check(name)(walk, node, way)
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


# What the walk needs of a property: the test that a right text passes at once, whether it is a list, the check of a
# value that has no such test or has not passed it.
_Met = tuple[Callable[[str], object] | None, bool, Check]


@cache
def _object_check(type_name: str) -> Check:
    """The check of an object of this type: its properties one by one, then what stands on it as a whole. The check of a
    property is made when it is first met, for types may hold themselves."""
    kind = type_of(type_name)
    properties: dict[str, _Met] = {}
    is_resource = kind.kind == "resource"
    whole = tuple(_whole(kind))

    def check(walk: Walk, node: Any, way: Way) -> None:
        if type(node) is not dict or not node:
            _no_object(walk, node, way)
            return
        for name, value in node.items():
            if name in properties:
                passes, many, inner = properties[name]
            elif name in kind.properties:
                passes, many, inner = properties[name] = _met(kind, kind.properties[name])
            elif is_resource and name == "resourceType":
                continue
            else:
                _other_property(walk, node, name, value, kind, way)
                continue
            if not many:
                if passes is None or type(value) is not str or not passes(value):
                    inner(walk, value, (way, name, None))
            elif type(value) is list and value:
                for n, item in enumerate(value):
                    if item is None:
                        _check_gap(walk, node, name, n, way)
                    elif passes is None or type(item) is not str or not passes(item):
                        inner(walk, item, (way, name, n))
            else:
                _no_list(walk, value, kind, name, way)
        for check_whole in whole:
            check_whole(walk, node, way)

    return check


def _met(kind: Type, known: Property) -> _Met:
    check = _check_of(known)
    if kind.name in ("Coding", "Identifier") and known.name == "system":
        check = absolute_check(kind.name, check)
    return quick_test(known), known.element.many, check


def _no_object(walk: Walk, node: Any, way: Way) -> None:
    if type(node) is not dict:
        walk.add("structure", "Un objet est attendu ici.", "An object is expected here.", way, "FHIR R4 JSON")
    else:
        walk.add("structure", "Objet vide : enlevez-le.", "Empty object: remove it.", way, "ele-1")


def _no_list(walk: Walk, value: Any, kind: Type, name: str, way: Way) -> None:
    here = (way, name, None)
    if type(value) is list:
        walk.add("structure", "Tableau vide : enlevez-le.", "Empty array: remove it.", here, "FHIR R4 JSON")
        return
    fr, en = "Un tableau est attendu : cet élément est répétable.", "An array is expected: this element repeats."
    walk.add("structure", fr, en, here, _rule(kind, name))


def _rule(kind: Type, name: str) -> str:
    return f"FHIR R4 {kind.name}.{name}"


def _other_property(walk: Walk, node: Tree, name: str, value: Any, kind: Type, way: Way) -> None:
    """`_name`, the id and extensions of a primitive; or a property R4 doesn't have."""
    known = kind.properties.get(name[1:]) if name[:1] == "_" else None
    if known is None or not known.primitive or known.element.attribute:
        near = get_close_matches(name[:64], kind.properties, 1)
        fr = f"Propriété inconnue de FHIR R4 : {kind.name}.{name[:64]}." + (f" Peut-être {near[0]} ?" if near else "")
        en = f"Property unknown to FHIR R4: {kind.name}.{name[:64]}." + (f" Maybe {near[0]}?" if near else "")
        walk.add("structure", fr, en, (way, name[:64], None), "TF-107")
        return
    beside = _object_check("Element")
    if not known.element.many:
        beside(walk, value, (way, name, None))
        return
    values = node.get(known.name)
    if type(value) is not list or not value or (type(values) is list and len(values) != len(value)):
        fr = f"{name[:64]} est un tableau de la même longueur que {known.name}, avec null aux places vides."
        en = f"{name[:64]} is an array as long as {known.name}, with null at empty places."
        walk.add("structure", fr, en, (way, name, None), "FHIR R4 JSON")
        return
    for n, item in enumerate(value):
        if item is not None:
            beside(walk, item, (way, name, n))
        elif type(values) is not list:
            walk.add("structure", "Valeur null.", "Null value.", (way, name, n), "FHIR R4 JSON")


def _check_gap(walk: Walk, node: Tree, name: str, n: int, way: Way) -> None:
    """null stands in a list only beside the extensions of a primitive that has no value."""
    beside = node.get("_" + name)
    if type(beside) is not list or n >= len(beside) or beside[n] is None:
        fr, en = "null n'est pas une valeur : enlevez-le.", "null is no value: remove it."
        walk.add("structure", fr, en, (way, name, n), "FHIR R4 JSON")


# Checks of an object as a whole ---------------------------------------------------------------------------------------


def _whole(kind: Type) -> Iterator[Check]:
    """Mandatory elements, choices, invariants; codings and identifiers are noted for those who judge them later."""
    if any(each.least for each in kind.elements):
        yield _mandatory_check(kind)
    for element in kind.elements:
        if element.choice:
            yield _choice_check(kind, element)
    if kind.name in RULES:
        yield _rule_check(RULES[kind.name], NEEDED.get(kind.name))
    for invariant in invariants_of(kind.name):
        yield _invariant_check(invariant)
    if kind.name == "Coding":
        yield lambda walk, node, way: walk.codings.append((node, way))
    if kind.name == "Identifier":
        yield lambda walk, node, way: walk.identifiers.append((node, way))


def _names(kind: Type, element: Element) -> frozenset[str]:
    """The properties that give an element: `status` and `_status`; `valueString`, `_valueString`, `valueCode`…"""
    names = {known.name for known in kind.properties.values() if known.element is element}
    return frozenset(names | {"_" + name for name in names})


def _mandatory_check(kind: Type) -> Check:
    mandatory = [(each.name, each, _names(kind, each)) for each in kind.elements if each.least]

    def check(walk: Walk, node: Tree, way: Way) -> None:
        for name, element, names in mandatory:
            if name not in node and names.isdisjoint(node):
                name = element.name + ("[x]" if element.choice else "")
                fr = f"Élément obligatoire absent : {kind.name}.{name}."
                en = f"Missing mandatory element: {kind.name}.{name}."
                walk.add("required", fr, en, (way, element.name, None), _rule(kind, name))

    return check


def _choice_check(kind: Type, element: Element) -> Check:
    names = _names(kind, element)

    def check(walk: Walk, node: Tree, way: Way) -> None:
        if names.isdisjoint(node):
            return
        given = {name.removeprefix("_") for name in node if name in names}
        if len(given) > 1:
            some = ", ".join(sorted(given))
            fr = f"Une seule forme de {element.name}[x] est permise ; données : {some}."
            en = f"Only one form of {element.name}[x] is allowed; given: {some}."
            walk.add("structure", fr, en, (way, element.name, None), _rule(kind, element.name + "[x]"))

    return check


def _rule_check(rule: Callable[[Tree, Fault], None], needed: str | None) -> Check:
    def check(walk: Walk, node: Tree, way: Way) -> None:
        if needed is not None and needed not in node:
            return

        def fault(key: str, name: str | None, fr: str, en: str, severity: str = "error") -> None:
            walk.add("invariant", fr, en, (way, name, None) if name else way, key, severity)

        rule(node, fault)

    return check


def _invariant_check(invariant: Invariant) -> Check:
    def check(walk: Walk, node: Tree, way: Way) -> None:
        if invariant.shown(node):
            return
        for place in invariant.broken(node, walk.resource):
            step = way if place is None else (way, *place)
            walk.add("invariant", invariant.fr, invariant.en, step, invariant.key, invariant.severity)

    return check


# Checks of one property -----------------------------------------------------------------------------------------------


def _check_of(known: Property) -> Check:
    if known.name == "modifierExtension":
        return _modifier
    if known.name == "contained" and known.resource:
        return _contained
    if known.resource:
        return _resource  # one that stands on its own inside another: an entry of a Bundle, a parameter
    if known.type == "xhtml":
        return _narrative
    if known.primitive:
        return primitive_check(known)
    if known.type == "Reference":
        return reference_check(known, _object_check("Reference"))
    if known.type == "Extension":
        return _extension
    if known.type in ("Coding", "CodeableConcept") and known.element.codes is not None:
        return coded_check(known, _object_check(known.type))
    return _object_check(known.type)


def _extension(walk: Walk, value: Any, way: Way) -> None:
    _object_check("Extension")(walk, value, way)
    url = value.get("url") if type(value) is dict else None
    if type(url) is not str or url.split() != [url]:
        return  # told already
    if url in walk.known:
        walk.met.append((url, value, way, walk.resource, walk.resource_way))
    elif not is_absolute(url) and not (type(way[0]) is tuple and way[0][1] in ("extension", "modifierExtension")):
        # Only the parts of an extension have names relative to it.
        fr = f"L'url d'une extension est un URI absolu, celui de sa définition ; trouvé : {url[:100]}."
        en = f"The url of an extension is an absolute URI, that of its definition; found: {url[:100]}."
        walk.add("value", fr, en, (way, "url", None), "FHIR R4 Extension.url")


def _modifier(walk: Walk, value: Any, way: Way) -> None:
    url = value.get("url") if type(value) is dict else None
    if type(url) is str and url in walk.known:
        _extension(walk, value, way)
        return
    shown = url[:200] if type(url) is str else "—"
    fr = f"Extension modificatrice inconnue ({shown}) : elle changerait le sens, la ressource est refusée."
    en = f"Unknown modifier extension ({shown}): it would change the meaning, the resource is refused."
    walk.add("extension", fr, en, way, "TF-107")


def _narrative(walk: Walk, value: Any, way: Way) -> None:
    try:
        read_div(value if type(value) is str else "")
    except ValueError as fault:
        fr = f"Texte narratif refusé : du XHTML simple, sans script ni lien actif, est attendu ({fault})."
        walk.add("invariant", fr, f"Narrative refused: {fault}.", way, "txt-1")
