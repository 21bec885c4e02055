"""What a resource is found by: its tree -> the values of the search tables, and the typed columns of its own table.

What is indexed per parameter is the FHIRPath expression of its definition
(https://hl7.org/fhir/R4/searchparameter-registry.html, IHE MHD and PDSm for theirs). Chains into contained resources
are indexed under the name of the chain, `author:Practitioner.family`, since nothing else can reach a contained
resource. A resource named by a literal reference is indexed by that reference alone: its own values are looked up
when the search is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dmp_fhir.canonicals import EXT_AUTHOR_ORG, EXT_DESIGNATION_TYPE, EXT_SOURCE_ID, URI
from dmp_fhir.registry.search.values import LONGEST_TEXT, bounded, fold, literal

Tree = dict[str, Any]

GENDER_SYSTEM = "http://hl7.org/fhir/administrative-gender"
CARE_TEAM_STATUS_SYSTEM = "http://hl7.org/fhir/care-team-status"


@dataclass(frozen=True, slots=True)
class Extracted:
    """Rows of the search tables without their owner; absent parts are empty strings.

    `tokens`: (parameter, system, code). `texts`: (parameter, folded, exact). `references`: (parameter, target type,
    target id, identifier system, identifier value).
    """

    tokens: list[tuple[str, str, str]] = field(default_factory=list)
    texts: list[tuple[str, str, str]] = field(default_factory=list)
    references: list[tuple[str, str, str, str, str]] = field(default_factory=list)


def extract(tree: Tree) -> Extracted:
    """The values `tree` is found by; nothing for a type that is not searched."""
    found = Extracted()
    if extractor := _EXTRACTORS.get(tree["resourceType"]):
        extractor(tree, found)
    return Extracted(
        list(dict.fromkeys(found.tokens)), list(dict.fromkeys(found.texts)), list(dict.fromkeys(found.references))
    )


# --- values ---------------------------------------------------------------------------------------


def _token(found: Extracted, parameter: str, system: str, code: str) -> None:
    if code:
        found.tokens.append((parameter, bounded(system), bounded(code)))


def _concepts(found: Extracted, parameter: str, concepts: Iterable[Tree]) -> None:
    for concept in concepts:
        for coding in concept.get("coding", ()):
            _token(found, parameter, coding.get("system", ""), coding.get("code", ""))


def _identifiers(found: Extracted, parameter: str, identifiers: Iterable[Tree]) -> None:
    for identifier in identifiers:
        _token(found, parameter, identifier.get("system", ""), identifier.get("value", ""))


def _text(found: Extracted, parameter: str, text: str | None) -> None:
    if text and (folded := fold(text)[:LONGEST_TEXT]):
        found.texts.append((parameter, folded, text[:LONGEST_TEXT]))


def _words(found: Extracted, parameter: str, text: str | None) -> None:
    """A text whose parts are not told apart (`Reference.display`): found by any of its words."""
    if text:
        for part in (text, *text.split()):
            _text(found, parameter, part)


def _names(found: Extracted, prefix: str, resource: Tree) -> bool:
    """The names of a person, or the name of an organisation, under `<prefix>family`, `<prefix>given`,
    `<prefix>name`."""
    names = resource.get("name")
    if isinstance(names, str):
        for text in (names, *resource.get("alias", ())):
            _text(found, prefix + "name", text)
        return True
    for name in names or ():
        family, given = name.get("family"), [each for each in name.get("given", ()) if each]
        _text(found, prefix + "family", family)
        for each in given:
            _text(found, prefix + "given", each)
        whole = " ".join([*given, family or ""])
        for each in (family, *given, name.get("text"), whole):
            _text(found, prefix + "name", each)
        if not family and not given:
            for part in ("family", "given", "name"):
                _words(found, prefix + part, name.get("text"))
    return bool(names)


def _reference(found: Extracted, parameter: str, reference: Tree) -> None:
    """One row per reference: by literal target, by identifier or both. An address elsewhere counts as an identifier."""
    address = reference.get("reference", "")
    target = literal(address)
    identifier = reference.get("identifier", {})
    target_type, target_id = target or (reference.get("type", "")[:32], "")
    system, value = identifier.get("system", ""), identifier.get("value", "")
    if target_id or value:
        found.references.append((parameter, target_type, target_id, bounded(system), bounded(value)))
    if address and not target and not address.startswith("#"):
        found.references.append((parameter, target_type, "", URI, bounded(address)))


def _person(found: Extracted, parameter: str, reference: Tree, container: Tree) -> None:
    """An author or a source: the reference, and what is known of who it designates when that is contained."""
    _reference(found, parameter, reference)
    resource = _contained(container, reference)
    if resource is None:
        kind = reference.get("type", "")
        prefix = f"{parameter}:{kind}." if kind in _PERSONS else f"{parameter}."
        for part in ("family", "given", "name"):
            _words(found, prefix + part, reference.get("display"))
        return
    kind = resource["resourceType"]
    prefix = f"{parameter}:{kind}."
    for identifier in resource.get("identifier", ()):
        if value := identifier.get("value"):
            found.references.append((parameter, kind, "", bounded(identifier.get("system", "")), bounded(value)))
    named = _names(found, prefix, resource)
    practitioner = resource.get("practitioner")
    if practitioner:
        person = _contained(container, practitioner)
        _reference(found, parameter, practitioner)
        if person is not None:
            for identifier in person.get("identifier", ()):
                if value := identifier.get("value"):
                    found.references.append(
                        (parameter, person["resourceType"], "", bounded(identifier.get("system", "")), bounded(value))
                    )
            named = _names(found, prefix, person) or named
        if not named:
            named = bool(practitioner.get("display"))
            for part in ("family", "given", "name"):
                _words(found, prefix + part, practitioner.get("display"))
    if not named:
        for part in ("family", "given", "name"):
            _words(found, prefix + part, reference.get("display"))


_PERSONS = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Organization", "Device")


def _contained(container: Tree, reference: Tree) -> Tree | None:
    address = reference.get("reference", "")
    if not address.startswith("#"):
        return None
    return next((each for each in container.get("contained", ()) if each.get("id") == address[1:]), None)


def _extensions(element: Tree, url: str) -> Iterator[Tree]:
    return (each for each in element.get("extension", ()) if each.get("url") == url)


# --- one extractor per type -----------------------------------------------------------------------


def _document_reference(tree: Tree, found: Extracted) -> None:
    context = tree.get("context", {})
    _identifiers(found, "identifier", [tree.get("masterIdentifier", {}), *tree.get("identifier", ())])
    _concepts(found, "type", [tree.get("type", {})])
    _concepts(found, "category", tree.get("category", ()))
    _concepts(found, "event", context.get("event", ()))
    _concepts(found, "facility", [context.get("facilityType", {})])
    _concepts(found, "setting", [context.get("practiceSetting", {})])
    _concepts(found, "security-label", tree.get("securityLabel", ()))
    for content in tree.get("content", ()):
        _concepts(found, "format", [{"coding": [content.get("format", {})]}])
    for author in tree.get("author", ()):
        _person(found, "author", author, tree)
    for related in context.get("related", ()):
        _reference(found, "related", related)
    for relation in tree.get("relatesTo", ()):
        _reference(found, "relatesto", relation.get("target", {}))


def _list(tree: Tree, found: Extracted) -> None:
    source = tree.get("source", {})
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _concepts(found, "code", [tree.get("code", {})])
    _concepts(
        found, "designationType", [e.get("valueCodeableConcept", {}) for e in _extensions(tree, EXT_DESIGNATION_TYPE)]
    )
    _identifiers(found, "sourceId", [e.get("valueIdentifier", {}) for e in _extensions(tree, EXT_SOURCE_ID)])
    _text(found, "title", tree.get("title"))
    if source:
        _person(found, "source", source, tree)
    # D15: the extension belongs to List.source, the published expression looks at List.
    for extension in (*_extensions(source, EXT_AUTHOR_ORG), *_extensions(tree, EXT_AUTHOR_ORG)):
        organization = extension.get("valueReference", {})
        _reference(found, "authorOrg", organization)
        for identifier in (_contained(tree, organization) or {}).get("identifier", ()):
            if value := identifier.get("value"):
                system = bounded(identifier.get("system", ""))
                found.references.append(("authorOrg", "Organization", "", system, bounded(value)))


def _patient(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _names(found, "", tree)
    _token(found, "gender", GENDER_SYSTEM, tree.get("gender", ""))


def _practitioner(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _names(found, "", tree)


def _practitioner_role(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _reference(found, "practitioner", tree.get("practitioner", {}))
    _reference(found, "organization", tree.get("organization", {}))
    _words(found, "name", tree.get("practitioner", {}).get("display"))
    _concepts(found, "role", tree.get("code", ()))
    _concepts(found, "specialty", tree.get("specialty", ()))


def _organization(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _names(found, "", tree)
    _concepts(found, "type", tree.get("type", ()))


def _related_person(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _names(found, "", tree)
    _concepts(found, "relationship", tree.get("relationship", ()))


def _device(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _concepts(found, "type", [tree.get("type", {})])


def _care_team(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _token(found, "status", CARE_TEAM_STATUS_SYSTEM, tree.get("status", ""))
    for participant in tree.get("participant", ()):
        _reference(found, "participant", participant.get("member", {}))


def _consent(tree: Tree, found: Extracted) -> None:
    _identifiers(found, "identifier", tree.get("identifier", ()))
    _concepts(found, "category", tree.get("category", ()))
    for actor in tree.get("provision", {}).get("actor", ()):
        _reference(found, "actor", actor.get("reference", {}))


_EXTRACTORS: dict[str, Callable[[Tree, Extracted], None]] = {
    "DocumentReference": _document_reference,
    "List": _list,
    "Patient": _patient,
    "Practitioner": _practitioner,
    "PractitionerRole": _practitioner_role,
    "Organization": _organization,
    "RelatedPerson": _related_person,
    "Device": _device,
    "CareTeam": _care_team,
    "Consent": _consent,
}
