"""Resources that conform to a profile, drawn from its constraint tree: a second reading of profiles, apart from the
compiler's, to look for false alarms."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from dmp_fhir.profiles.definitions import Element, Type, is_primitive, type_of
from dmp_fhir.profiles.snapshot import BASE, Node, TypeUse
from dmp_fhir.profiles.validator import Validator

Tree = dict[str, Any]
_VALUES: dict[str, list[Any]] = {
    "base64Binary": ["QQ==", "QUJD"],
    "boolean": [True, False],
    "canonical": ["http://example.org/a|1"],
    "code": ["a", "fr-FR"],
    "date": ["2020", "2021-02", "1974-03-12"],
    "dateTime": ["2026-01-01T10:00:00+01:00", "2026"],
    "decimal": [1, 12],
    "id": ["a-1"],
    "instant": ["2026-01-01T10:00:00.123Z"],
    "integer": [0, -5],
    "markdown": ["a *b*"],
    "oid": ["urn:oid:1.2.250.1"],
    "positiveInt": [1],
    "string": ["a", "é'\"", "0"],
    "time": ["10:00:00"],
    "unsignedInt": [0, 7],
    "uri": ["http://example.org/é", "urn:oid:1.2.250.1.999"],
    "url": ["https://example.org/a"],
    "uuid": ["urn:uuid:01234567-89ab-cdef-0123-456789abcdef"],
    "xhtml": ['<div xmlns="http://www.w3.org/1999/xhtml">a</div>'],
}
_STARTS = {
    "mhd-startswithuuid": "urn:uuid:01234567-89ab-cdef-0123-4567890000",
    "mhd-startswithoid": "urn:oid:1.2.250.1.",
}
# What other elements decide of, by invariants of R4: only where a profile asks for it.
_LEFT_OUT = frozenset(
    [
        "implicitRules",
        "modifierExtension",
        "contained",
        "emptyReason",
        "total",
        "deleted",
        "query",
        "contact",
        "search",
        "response",
        "link",
        "use",
        "outcome",
        "ifNoneMatch",
        "ifModifiedSince",
        "ifMatch",
        "ifNoneExist",
        "meta",
        "text",
        "id",
        "language",
    ]
)
_ONLY_ASKED = frozenset(
    [
        "Attachment",
        "Period",
        "Quantity",
        "ContactPoint",
        "Age",
        "Count",
        "Distance",
        "Duration",
        "Range",
        "Ratio",
        "Timing",
        "Timing.repeat",
        "Extension",
        "Parameters",
        "Parameters.parameter",
        "Bundle",
        "Bundle.entry",
        "List.entry",
        "Expression",
        "DataRequirement",
        "TriggerDefinition",
        "SampledData",
        "Signature",
    ]
)


class Conforming:
    """Builds resources from one seed."""

    def __init__(self, validator: Validator, seed: int) -> None:
        self.library, self.terminology = validator.library, validator.terminology
        self.chance = random.Random(seed)
        self.contained: list[list[Tree]] = []
        self.bundle = self.kind = ""
        self.number = 0

    def resource(self, url: str) -> Tree:
        kind = self.library.type_of(url)
        outer = self.bundle, self.kind
        self.kind = kind
        self.contained.append([])
        nodes = [self.library.tree(url)]
        tree = self.object(nodes, kind, 3)
        contained = self.contained.pop()
        self.bundle, self.kind = outer
        if "contained" in nodes[0].children and not contained and nodes[0].children["contained"].least:
            contained.append({"resourceType": "Organization", "id": "o", "name": "a", "partOf": {"reference": "#"}})
        if contained:
            tree["contained"] = contained
        self.settle(tree, nodes[0])
        return tree

    def settle(self, tree: Tree, node: Node) -> None:
        """What invariants ask of several elements together."""
        if tree["resourceType"] == "Consent" and "policy" not in tree:
            tree.setdefault("policyRule", {"text": "a"})
        if tree["resourceType"] == "Organization":
            tree.setdefault("name", "a")
        if tree["resourceType"] == "AuditEvent":
            settle_trace(tree, node)
        if "dmp-record-1" in node.invariants:
            tree["active"] = True
        if "fr-core-1" in node.invariants:
            for extension in tree.get("extension", ()):
                for part in extension.get("extension", ()):
                    if part.get("valueCoding", {}).get("code") == "VALI":
                        part["valueCoding"]["code"] = "PROV"

    def object(self, nodes: Sequence[Node], type_name: str, depth: int) -> Tree:
        kind = type_of(type_name)
        tree: Tree = {"resourceType": type_name} if kind.kind == "resource" else {}
        for element in kind.elements:
            if (
                type_name == "Extension"
                and element.name == "extension"
                and not any("extension" in node.children for node in nodes)
            ):
                continue
            self.element(tree, kind, element, nodes, depth)
            if type_name == "Bundle" and element.name == "type":
                self.bundle = tree["type"]
        for node in nodes:
            for stated in node.patterns:
                _overlay(tree, stated.what)
        return tree

    def element(self, tree: Tree, kind: Type, element: Element, nodes: Sequence[Node], depth: int) -> None:
        names = {element.name, element.name + "[x]"} if element.choice else {element.name}
        below = [node.children[name] for node in nodes for name in names if name in node.children]
        least = max([element.least, *(node.least.what for node in below if node.least)])
        least = max(
            least, *(each.least.what if each.least else 0 for node in below for each in node.slices.values()), 0
        )
        most = min([3 if element.many else 1, *(node.most.what for node in below if node.most)])
        if element.name == "request" and kind.name == "Bundle.entry":
            least = int(self.bundle in ("transaction", "batch"))
        if element.name == "response" and kind.name == "Bundle.entry":
            least = int(self.bundle == "transaction-response")
        if kind.name == "Extension" and element.name == "value" and most and "extension" not in tree:
            least = 1
        if kind.name == "Extension" and element.name == "extension":
            least = max(least, int(any(_forbids_value(node) for node in nodes)))
        if not least and (most == 0 or not self.wanted(kind, element, below, depth)):
            return
        types = [use.code for node in below if node.types for use in node.types.what] or list(element.types)
        types = [each for each in types if each in element.types] or list(element.types)
        type_name = self.chance.choice(types)
        if element.many:
            values = self.items(element, below, type_name, least, most, depth)
            if values:
                tree[element.name] = values
            return
        name = element.name + type_name[0].upper() + type_name[1:] if element.choice else element.name
        tree[name] = self.value(element, below, type_name, depth)

    def wanted(self, kind: Type, element: Element, below: Sequence[Node], depth: int) -> bool:
        if element.name in _LEFT_OUT or (kind.name in _ONLY_ASKED and not any(node.slices for node in below)):
            return False
        return depth > 0 and self.chance.random() < (0.5 if below else 0.2)

    def items(
        self, element: Element, below: Sequence[Node], type_name: str, least: int, most: int, depth: int
    ) -> list[Any]:
        values: list[Any] = []
        slices: dict[str, list[Node]] = {}
        for node in below:
            for name, each in node.slices.items():
                slices.setdefault(name, []).append(each)
        used = dict.fromkeys(slices, 0)

        def add(name: str) -> None:
            used[name] += 1
            values.append(self.value(element, [*below, *slices[name]], type_name, depth))

        for name, nodes in slices.items():
            count = max(each.least.what if each.least else 0 for each in nodes)
            if not count and _most(nodes) and len(values) < most and self.chance.random() < 0.3:
                count = 1
            for _ in range(count):
                add(name)
        while len(values) < least or (not slices and not values):
            free = [name for name, nodes in slices.items() if used[name] < _most(nodes)]
            if free:
                add(self.chance.choice(free))
            else:
                values.append(self.value(element, below, type_name, depth))
        return values

    def value(self, element: Element, below: Sequence[Node], type_name: str, depth: int) -> Any:
        nodes = list(below)
        for node in below:
            for use in node.types.what if node.types else ():
                if use.code == type_name and use.profiles and type_name not in ("Resource", "DomainResource"):
                    nodes.append(self.library.tree(self.chance.choice(use.profiles)))
        for node in nodes:
            for stated in node.fixed:
                return copy.deepcopy(stated.what)
        if type_name == "canonical" and element.name == "profile":
            return BASE + self.kind
        if type_name in ("Resource", "DomainResource"):
            return self.embedded(nodes)
        if type_name == "Reference":
            return self.reference(element, nodes)
        coded = self.coded(element, nodes, type_name)
        if coded is not None:
            for node in nodes:
                for stated in node.patterns:
                    coded = copy.deepcopy(stated.what) if type(coded) is str else _overlay(coded, stated.what)
            return coded
        if is_primitive(type_name):
            return self.primitive(nodes, type_name)
        if type_name == "Extension" and not any("url" in node.children for node in nodes):
            return {"url": "http://example.org/x", "valueCode": "y"}
        tree = self.object(nodes, type_name, depth - 1)
        if not tree:
            tree = {"extension": [{"url": "http://example.org/x", "valueBoolean": True}]}
        if type_name == "Bundle.entry":
            self.number += 1
            tree["fullUrl"] = f"urn:uuid:01234567-89ab-cdef-0123-{self.number:012x}"
        return tree

    def primitive(self, nodes: Sequence[Node], type_name: str) -> Any:
        for node in nodes:
            for stated in node.patterns:
                return stated.what
            for key, start in _STARTS.items():
                if key in node.invariants:
                    return start + str(self.chance.randint(10, 99))
        return self.chance.choice(_VALUES[type_name])

    def coded(self, element: Element, nodes: Sequence[Node], type_name: str) -> Any:
        if type_name not in ("code", "Coding", "CodeableConcept"):
            return None
        sets = [self.terminology.find(stated.what[1]) for node in nodes for stated in node.bindings]
        choices: list[tuple[str, str]] = []
        if sets and sets[-1] is not None:
            choices = [(system, code) for system, codes in sets[-1].codes.items() for code in codes]
        elif element.codes is not None:
            choices = [(system, code) for system, codes in element.codes.items() for code in sorted(codes)]
        if not choices and type_name != "code" and any(node.children for node in nodes):
            return None
        if not choices:
            return None if type_name == "code" else ({"text": "a"} if type_name == "CodeableConcept" else {"code": "a"})
        system, code = self.chance.choice(choices)
        if type_name == "code":
            return code
        return (
            {"coding": [{"system": system, "code": code}]}
            if type_name == "CodeableConcept"
            else {
                "system": system,
                "code": code,
            }
        )

    def reference(self, element: Element, nodes: Sequence[Node]) -> Tree:
        uses: list[TypeUse] = [use for node in nodes if node.types for use in node.types.what if use.targets]
        types = sorted({self.library.type_of(url) for use in uses[-1:] for url in use.targets} - {"Resource"})
        types = types or sorted(element.targets) or ["Patient"]
        if any(key.startswith("pdsm-311") for node in nodes for key in node.invariants):
            types = [each for each in types if each != "Practitioner"]
        kind = self.chance.choice(types)
        inside = any("contained" in use.aggregation for node in nodes if node.types for use in node.types.what)
        if inside and kind in (
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "Organization",
            "Device",
            "RelatedPerson",
        ):
            name = f"c{len(self.contained[-1])}"
            resource: Tree = {"resourceType": kind, "id": name}
            needed = {"Organization": {"name": "a"}, "RelatedPerson": {"patient": {"display": "a"}}}
            self.contained[-1].append(resource | needed.get(kind, {}))
            return {"reference": "#" + name}
        if self.chance.random() < 0.3:
            return {"type": kind, "identifier": {"system": "urn:oid:1.2.250.1.999", "value": "a"}}
        return {"reference": f"{kind}/a", "display": "a"}

    def embedded(self, nodes: Sequence[Node]) -> Tree:
        uses = [use for node in nodes if node.types for use in node.types.what]
        use = uses[-1] if uses else TypeUse("Basic")
        if use.profiles:
            return self.resource(self.chance.choice(use.profiles))
        outer, self.bundle = self.bundle, ""
        tree = self.object([], use.code if use.code != "Resource" else "Basic", 0)
        self.bundle = outer
        return tree if tree["resourceType"] != "Bundle" else {"resourceType": "Bundle", "type": "collection"}


def _most(nodes: Sequence[Node]) -> int:
    return min([3, *(each.most.what for each in nodes if each.most)])


def _forbids_value(node: Node) -> bool:
    value = node.children.get("value[x]")
    return value is not None and value.most is not None and value.most.what == 0


def _overlay(tree: Tree, pattern: Tree) -> Tree:
    for name, value in pattern.items():
        if type(value) is dict and type(tree.get(name)) is dict:
            _overlay(tree[name], value)
        else:
            tree[name] = copy.deepcopy(value)
    return tree


def settle_trace(tree: Tree, node: Node) -> None:
    """What the patterns of the trace ask of several elements together."""
    for entity in tree.get("entity", ()):
        if "query" in entity:
            entity.pop("name", None)  # sev-1
        if entity.get("type", {}).get("code") in ("UserOauthAgent", "XrequestId"):
            entity["what"] = {"identifier": {"value": "a"}}
    for agent in tree["agent"]:
        agent["who"] = tree["source"]["observer"]  # val-audit-source
        if "policy" in agent:
            agent["policy"] = ["urn:ietf:params:oauth:jti:a"]
    if "dmp-audit-1" not in node.invariants:
        return
    for n, agent in enumerate(tree["agent"]):
        agent["requestor"] = n == 0
        agent["who"] = {"display": "a"}
        agent["network"] = {"address": "a"}
    for purpose in tree.get("purposeOfEvent", ()):
        purpose["text"] = "a"
    for entity in tree["entity"]:
        if entity.get("role", {}).get("code") == "1":
            del entity["role"]
    if "dmp-refusal-1" in node.invariants:
        tree["outcome"] = "4"
        tree["entity"][0]["detail"] = [{"type": "reason", "valueString": "a"}]
    if "dmp-decision-1" in node.invariants:
        tree["entity"][0]["detail"] = [{"type": "rule", "valueString": "a"}]
    if tree["outcome"] != "0":
        tree["outcomeDesc"] = "a"
