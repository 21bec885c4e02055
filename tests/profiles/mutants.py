"""The constraints of the PDSm guide (profiles with their MHD parents), each with the ways to break it.

Written from the guide, not from the profiles: a slip there shows here. A mutant names the rule that must refuse it:
the StructureDefinition that states it (C, S, … below), the element and the aspect; or the rule of FHIR R4 itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.profiles.samples import MHD, PDSM, Tree, concept, extension

C, S = PDSM + "pdsm-comprehensive-document-reference", PDSM + "pdsm-simplified-publish"
L, F = PDSM + "pdsm-submissionset-comprehensive", PDSM + "pdsm-folder-comprehensive"
B = PDSM + "pdsm-comprehensive-provide-document-bundle"
FD, FL = PDSM + "pdsm-find-documentreferences-comprehensive-response", PDSM + "pdsm-find-lists-response"
ARCHIVED, RECIPIENT = PDSM + "pdsm-ext-is-archived", PDSM + "pdsm-ext-intended-recipient"
MIN, UN, COMP = (
    MHD + f"IHE.MHD.{name}.DocumentReference" for name in ("Minimal", "UnContained.Comprehensive", "Comprehensive")
)
SIMPLE = MHD + "IHE.MHD.SimplifiedPublish.DocumentReference"
LIST, LMIN, LUN = (
    MHD + "IHE.MHD.List",
    MHD + "IHE.MHD.Minimal.SubmissionSet",
    MHD + "IHE.MHD.UnContained.Comprehensive.SubmissionSet",
)
FMIN, FCOMP = MHD + "IHE.MHD.Minimal.Folder", MHD + "IHE.MHD.Comprehensive.Folder"
UNIQUE, SETID, ENTRY = (
    MHD + f"IHE.MHD.{name}"
    for name in ("UniqueIdIdentifier", "SubmissionSetUniqueIdIdentifier", "EntryUUID.Identifier")
)
BUNDLE, PATCH = MHD + "IHE.MHD.Minimal.ProvideBundle", MHD + "IHE.MHD.Patch.Parameters"
FOUND, LISTS = (
    MHD + "IHE.MHD.FindDocumentReferencesComprehensiveResponseMessage",
    MHD + "IHE.MHD.FindDocumentListsResponseMessage",
)

Change = Callable[[Tree], None]


@dataclass(frozen=True)
class Mutant:
    """`changes` break one constraint; `rule` and `severity` are what the validator must say, and no other error."""

    constraint: str
    way: str
    changes: tuple[Change, ...]
    rule: str
    severity: str = "error"
    level: str = "main"
    # Rules that can't but break with it.
    also: frozenset[str] = frozenset()

    def tree(self, valid: Tree) -> Tree:
        tree = copy.deepcopy(valid)
        for change in self.changes:
            change(tree)
        return tree


def _steps(path: str) -> list[str | int]:
    return [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]


def put(path: str, value: Any) -> Change:
    """Put a value at a path (`content[0].attachment.size`), making the objects above it."""

    def change(tree: Tree) -> None:
        *above, last = _steps(path)
        node: Any = tree
        for step in above:
            node = node[step] if isinstance(step, int) else node.setdefault(step, {})
        node[last] = copy.deepcopy(value)

    return change


def drop(path: str) -> Change:
    def change(tree: Tree) -> None:
        *above, last = _steps(path)
        node: Any = tree
        for step in above:
            node = node[step]
        del node[last]

    return change


def add(path: str, value: Any) -> Change:
    def change(tree: Tree) -> None:
        node: Any = tree
        for step in _steps(path):
            node = node.setdefault(step, []) if isinstance(node, dict) else node[step]
        node.append(copy.deepcopy(value))

    return change


def twice(path: str) -> Change:
    """Repeat the first item of a list."""

    def change(tree: Tree) -> None:
        node: Any = tree
        for step in _steps(path):
            node = node[step]
        node.append(copy.deepcopy(node[0]))

    return change


def unextend(url: str) -> Change:
    def change(tree: Tree) -> None:
        tree["extension"] = [each for each in tree["extension"] if each["url"] != url]

    return change


def contain(resource: Tree, *uses: str) -> Change:
    """Contain another resource and refer to it, so that it is not an orphan."""

    def change(tree: Tree) -> None:
        tree.setdefault("contained", []).append(copy.deepcopy(resource))
        for path in uses:
            put(path, {"reference": f"#{resource['id']}"})(tree)

    return change


def lacks(path: str, rule: str, element: str, root: str = "DocumentReference") -> Mutant:
    return Mutant(f"{element} is required", "removed", (drop(path),), f"{rule}#{root}.{element}/min")


def forbids(path: str, value: Any, rule: str, element: str, root: str = "DocumentReference") -> Mutant:
    # A modifier extension that is not understood is refused wherever it stands, too.
    also = frozenset({"TF-107"} if path == "modifierExtension" else ())
    return Mutant(f"{element} is forbidden", "added", (put(path, value),), f"{rule}#{root}.{element}/max", also=also)


def outside(path: str, rule: str, element: str, severity: str, value: Any, root: str = "DocumentReference") -> Mutant:
    return Mutant(f"{element} binding", "other code", (put(path, value),), f"{rule}#{root}.{element}/binding", severity)


OTHER = concept("http://example.org/codes", "zz")
EVENT = [concept("http://example.org", "1")] * 2
DEVICE = {"resourceType": "Device", "id": "device"}
RELATED = {"resourceType": "RelatedPerson", "id": "related", "patient": {"reference": "Patient/p1"}}
ORGANIZATION = {"resourceType": "Organization", "id": "extra", "name": "Structure"}
PRACTITIONER = {"resourceType": "Practitioner", "id": "extra"}
ODD = [extension("http://example.org/odd", valueBoolean=True)]
A = "content[0].attachment"
R = "DocumentReference"


def refers(path: str, rule: str, element: str, wrong: str, root: str = R) -> Mutant:
    return Mutant(
        f"{element} targets", f"to {wrong}", (put(path, {"reference": wrong}),), f"{rule}#{root}.{element}/target"
    )


def identifiers(unique: str, first: str) -> list[Mutant]:
    """MHD identifiers: the unique id at `first`, the entryUUID at identifier[0]."""
    found = [
        Mutant("uniqueId.system is required", "removed", (drop(f"{first}.system"),), f"{unique}#Identifier.system/min"),
        Mutant("uniqueId.value is required", "removed", (drop(f"{first}.value"),), f"{unique}#Identifier.value/min"),
        Mutant(
            "entryUUID.system is required", "removed", (drop("identifier[0].system"),), f"{ENTRY}#Identifier.system/min"
        ),
        Mutant(
            "entryUUID.system is a URI system",
            "other",
            (put("identifier[0].system", "urn:oid:1.2.250.1.999"),),
            f"{ENTRY}#Identifier.system/fixed",
        ),
        Mutant(
            "entryUUID.value is required", "removed", (drop("identifier[0].value"),), f"{ENTRY}#Identifier.value/min"
        ),
        Mutant(
            "mhd-startswithuuid",
            "an OID",
            (put("identifier[0].value", "urn:oid:1.2.250.1.999"),),
            f"{ENTRY}#mhd-startswithuuid",
        ),
    ]
    return found
