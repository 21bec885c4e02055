"""What each profile requires of an element, as data: path, cardinality, and the edition of the guides that asks for
it (D1).

Rows marked MHD come from IHE MHD 4.2 Comprehensive, RELEASED from PDSm 3.1.1, MAIN from the unreleased branch of
PDSm. At the default level the rows of MAIN are warnings; at level `mhd` those of PDSm are information.
https://interop.esante.gouv.fr/ig/fhir/pdsm/ and https://profiles.ihe.net/ITI/MHD/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dmp_fhir.canonicals import (
    EXT_DESIGNATION_TYPE,
    EXT_SOURCE_ID,
    PROFILE_COMPREHENSIVE,
    PROFILE_FOLDER,
    PROFILE_SIMPLIFIED,
    PROFILE_SUBMISSION_SET,
)
from dmp_fhir.outcome import Issue

Tree = dict[str, Any]
MANY = 1_000_000

MHD = "mhd"
RELEASED = "released"
MAIN = "main"
RELEASED_ONLY = "released only"

_SEVERITY = {
    "released": {MHD: "error", RELEASED: "error", RELEASED_ONLY: "error", MAIN: "warning"},
    "main": {MHD: "error", RELEASED: "error", MAIN: "error"},
    "mhd": {MHD: "error", RELEASED: "information", MAIN: "information"},
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """`path` is relative to the resource; `contained` asks that every reference there be to a contained resource."""

    path: str
    low: int
    high: int
    edition: str
    contained: bool = False


def _need(path: str, edition: str = MHD, high: int = 1, *, contained: bool = False) -> Requirement:
    return Requirement(path, 1, high, edition, contained)


def _no(path: str, edition: str = MHD) -> Requirement:
    return Requirement(path, 0, 0, edition)


_ATTACHMENT = "content.attachment"

COMPREHENSIVE = (
    _need("contained", RELEASED, MANY),
    _no("modifierExtension"),
    _need("masterIdentifier"),
    _need("masterIdentifier.system"),
    _need("masterIdentifier.value"),
    _need("masterIdentifier.use", MAIN),
    _no("docStatus"),
    _need("type"),
    _need("category"),
    _need("subject"),
    _need("date", MAIN),
    _need("author", RELEASED, MANY, contained=True),
    _need("authenticator", RELEASED_ONLY),
    Requirement("authenticator", 0, 1, RELEASED, contained=True),
    _need("custodian", MAIN),
    _need("securityLabel", high=MANY),
    Requirement("securityLabel", 1, 4, RELEASED),
    _need("content"),
    _need(f"{_ATTACHMENT}.contentType"),
    _need(f"{_ATTACHMENT}.language"),
    _no(f"{_ATTACHMENT}.data"),
    _need(f"{_ATTACHMENT}.url"),
    _need(f"{_ATTACHMENT}.size", RELEASED),
    _need(f"{_ATTACHMENT}.hash", RELEASED),
    _need(f"{_ATTACHMENT}.title"),
    _need(f"{_ATTACHMENT}.creation"),
    _need("content.format"),
    _need("context"),
    _need("context.period", RELEASED),
    _need("context.period.start", RELEASED),
    _need("context.facilityType"),
    _need("context.practiceSetting"),
    _need("context.sourcePatientInfo", contained=True),
)

SIMPLIFIED = (
    _no("modifierExtension"),
    _need("masterIdentifier"),
    _need("masterIdentifier.value"),
    _no("identifier"),
    _no("docStatus"),
    _need("subject"),
    _need("date", MAIN),
    _need("author", RELEASED, MANY),
    _need("custodian", MAIN),
    Requirement("category", 0, 1, MHD),
    Requirement("securityLabel", 0, 4, RELEASED),
    _need("content"),
    _need(f"{_ATTACHMENT}.contentType"),
    _need(f"{_ATTACHMENT}.data"),
    _no(f"{_ATTACHMENT}.url"),
    _need(f"{_ATTACHMENT}.title"),
    Requirement("context.event", 0, 1, MHD),
)

SUBMISSION_SET = (
    _need("contained", RELEASED, MANY),
    _no("modifierExtension"),
    _need(f"extension[{EXT_DESIGNATION_TYPE}]"),
    _need(f"extension[{EXT_SOURCE_ID}]"),
    _need("subject"),
    _need("date"),
    _need("source", RELEASED, contained=True),
    _no("encounter"),
    _no("orderedBy"),
    _no("emptyReason"),
    Requirement("note", 0, 1, MHD),
    _no("entry.flag"),
    _no("entry.deleted"),
    _no("entry.date"),
)

FOLDER = (
    _no("modifierExtension"),
    _need(f"extension[{EXT_DESIGNATION_TYPE}]"),
    _need("title"),
    _need("subject"),
    _need("date"),
    _no("encounter"),
    _no("orderedBy"),
    _no("source"),
    _no("emptyReason"),
    Requirement("note", 0, 1, MHD),
    _need("entry", high=MANY),
    _no("entry.flag"),
    _no("entry.deleted"),
    _no("entry.date"),
)

PROFILES: dict[str, tuple[Requirement, ...]] = {
    PROFILE_COMPREHENSIVE: COMPREHENSIVE,
    PROFILE_SIMPLIFIED: SIMPLIFIED,
    PROFILE_SUBMISSION_SET: SUBMISSION_SET,
    PROFILE_FOLDER: FOLDER,
}


def requirement_issues(tree: Tree, profile: str, level: str, expression: str) -> list[Issue]:
    """Every requirement of `profile` that `tree` does not meet; `expression` is the FHIRPath of the resource."""
    issues = []
    for each in PROFILES[profile]:
        severity = _SEVERITY[level].get(each.edition)
        if severity is None:
            continue
        for parent, values in _values(tree, each.path, expression):
            issue = _issue(each, severity, profile, parent, values)
            if issue:
                issues.append(issue)
    return issues


def _issue(each: Requirement, severity: str, profile: str, where: str, values: list[Any]) -> Issue | None:
    rule = f"{profile}#{each.path}"
    if len(values) < each.low:
        fr, en = f"{where} est obligatoire.", f"{where} is required."
        return Issue(severity, "required", fr, en, where, rule)
    if len(values) > each.high:
        if each.high == 0:
            fr, en = f"{where} n'est pas admis dans ce profil : retirez-le.", f"{where} is not allowed here: remove it."
        else:
            fr = f"{where} : {each.high} au plus, {len(values)} trouvés."
            en = f"{where}: at most {each.high}, {len(values)} found."
        return Issue(severity, "structure", fr, en, where, rule)
    if each.contained and not all(str(value.get("reference", "")).startswith("#") for value in values):
        fr = f"{where} doit désigner une ressource contenue (contained), par exemple #auteur."
        en = f"{where} must name a contained resource, for example #author."
        return Issue(severity, "structure", fr, en, where, rule)
    return None


def _values(tree: Tree, path: str, expression: str) -> Iterator[tuple[str, list[Any]]]:
    """For each parent of the last step of `path`: the FHIRPath of the element and its values there. An absent
    parent has its own requirement, if any."""
    *parents, last = path.split(".")
    nodes: list[tuple[str, Any]] = [(expression, tree)]
    for step in parents:
        nodes = [
            (f"{where}.{step}[{n}]" if isinstance(node.get(step), list) else f"{where}.{step}", value)
            for where, node in nodes
            for n, value in enumerate(_as_list(node.get(step)))
            if isinstance(value, dict)
        ]
    for where, node in nodes:
        if last.startswith("extension["):
            url = last[len("extension[") : -1]
            found = [value for value in _as_list(node.get("extension")) if value.get("url") == url]
            yield f"{where}.extension('{url}')", found
        else:
            yield f"{where}.{last}", _as_list(node.get(last))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
