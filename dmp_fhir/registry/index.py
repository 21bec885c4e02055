"""What a resource is found by: its tree -> the values of the search tables, and the typed columns of its own table.

What is indexed per parameter is the FHIRPath expression of its definition (https://hl7.org/fhir/R4/searchparameter-registry.html,
IHE MHD and PDSm for theirs). Chains into contained resources are indexed under the name of the chain, `author:Practitioner.family`,
since nothing else can reach a contained resource. A resource named by a literal reference is indexed by that reference alone:
its own values are looked up when the search is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dmp_fhir.canonicals import (
    CONSENT_KIND_SYSTEM,
    EXT_AUTHOR_ORG,
    EXT_CLOSURE,
    EXT_DESIGNATION_TYPE,
    EXT_IS_ARCHIVED,
    EXT_SOURCE_ID,
    HIDE_PATIENT,
    HIDE_REPRESENTATIVES,
    MASK_PROFESSIONALS,
    MHD_LIST_TYPES,
    URI,
)
from dmp_fhir.identity.identifiers import professional_id, structure_id
from dmp_fhir.outcome import refuse
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.registry.search.values import LONGEST_TEXT, bounded, fold, literal

Tree = dict[str, Any]

GENDER_SYSTEM = "http://hl7.org/fhir/administrative-gender"
CARE_TEAM_STATUS_SYSTEM = "http://hl7.org/fhir/care-team-status"


@dataclass(frozen=True, slots=True)
class Extracted:
    """Rows of the search tables without their owner; absent parts are empty strings.

    `tokens`: (parameter, system, code). `texts`: (parameter, folded, exact). `references`: (parameter, target type, target
    id, identifier system, identifier value).
    """

    tokens: list[tuple[str, str, str]] = field(default_factory=list)
    texts: list[tuple[str, str, str]] = field(default_factory=list)
    references: list[tuple[str, str, str, str, str]] = field(default_factory=list)


def extract(tree: Tree) -> Extracted:
    """The values `tree` is found by; nothing for a type that is not searched."""
    found = Extracted()
    if extractor := _EXTRACTORS.get(tree["resourceType"]):
        extractor(tree, found)
    return Extracted(*(list(dict.fromkeys(each)) for each in (found.tokens, found.texts, found.references)))


# --- values ------------------------------------------------------------------------------------------------------------


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
    """The names of a person, or the name of an organisation, under `<prefix>family`, `<prefix>given`, `<prefix>name`."""
    names = resource.get("name")
    if isinstance(names, str):
        for text in (names, *resource.get("alias", ())):
            _text(found, prefix + "name", text)
        return True
    for name in names or ():
        family, given = name.get("family"), name.get("given", [])
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


# --- one extractor per type --------------------------------------------------------------------------------------------


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


# --- typed columns (store/tables.py) -----------------------------------------------------------------------------------


def _interval(prefix: str, text: str | None) -> dict[str, int | None]:
    low, high = date_interval(text) if text else (None, None)
    return {f"{prefix}_low": low, f"{prefix}_high": high}


def _is_archived(tree: Tree) -> bool:
    return any(each.get("valueBoolean") is True for each in _extensions(tree, EXT_IS_ARCHIVED))


def document_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `document`. A mask counts whatever the code system it was written with: the codes belong to TRE_A07 only,
    and a mask that is overlooked would show what was hidden."""
    labels = {coding.get("code") for label in tree.get("securityLabel", ()) for coding in label.get("coding", ())}
    coding = next(iter(tree.get("type", {}).get("coding", ())), {})
    attachment: Tree = next(iter(tree.get("content", ())), {}).get("attachment", {})
    period = tree.get("context", {}).get("period", {})
    return {
        "status": tree["status"],
        "archived": _is_archived(tree),
        "masked_professionals": MASK_PROFESSIONALS in labels,
        "hidden_patient": HIDE_PATIENT in labels,
        "hidden_representatives": HIDE_REPRESENTATIVES in labels,
        "type_system": coding.get("system"),
        "type_code": coding["code"][:64] if "code" in coding else None,
        "title": attachment.get("title"),
        **_interval("date", tree.get("date")),
        **_interval("creation", attachment.get("creation")),
        **_interval("start", period.get("start")),
        **_interval("end", period.get("end")),
    }


def list_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `document_list`; refused (422) when `code` does not say submission set or folder (MHD)."""
    systems = (MHD_LIST_TYPES, MHD_LIST_TYPES.replace("https:", "http:"))
    codes = [c.get("code") for c in tree.get("code", {}).get("coding", ()) if c.get("system") in systems]
    kind = next((code for code in codes if code in ("submissionset", "folder")), None)
    if kind is None:
        refuse(
            422,
            "required",
            f"Indiquer dans List.code le code submissionset ou folder du système {MHD_LIST_TYPES}.",
            f"Put the code submissionset or folder of the system {MHD_LIST_TYPES} in List.code.",
            expression="List.code",
            rule="MHD",
        )
    return {
        "kind": kind,
        "status": tree["status"],
        "archived": _is_archived(tree),
        "title": tree.get("title"),
        **_interval("date", tree.get("date")),
    }


def consent_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `consent`: one row is one line of the standing, so one kind, one decision, at most one actor, and the actor
    by its national identifier (a team by its id). Refused (422) otherwise: a block that names nobody must not be stored."""
    codes = [
        coding.get("code")
        for category in tree.get("category", ())
        for coding in category.get("coding", ())
        if coding.get("system") == CONSENT_KIND_SYSTEM
    ]
    provision = tree.get("provision", {})
    actors = provision.get("actor", ())
    if len(codes) != 1:
        _refuse_consent(
            f"Indiquer dans Consent.category un code, et un seul, du système {CONSENT_KIND_SYSTEM}.",
            f"Put one code, and only one, of the system {CONSENT_KIND_SYSTEM} in Consent.category.",
            "Consent.category",
        )
    if provision.get("type") not in ("permit", "deny"):
        _refuse_consent(
            "Indiquer dans Consent.provision.type permit ou deny.",
            "Say permit or deny in Consent.provision.type.",
            "Consent.provision.type",
        )
    if "dateTime" not in tree:
        _refuse_consent(
            "Indiquer dans Consent.dateTime la date de la décision.",
            "Put the date of the decision in Consent.dateTime.",
            "Consent.dateTime",
        )
    if len(actors) > 1:
        _refuse_consent(
            "Créer un Consent par acteur : celui-ci en nomme plusieurs.",
            "Create one Consent per actor: this one names several.",
            "Consent.provision.actor",
        )
    actor_kind, actor_id = _actor(actors[0].get("reference", {})) if actors else (None, None)
    period = provision.get("period", {})
    return {
        "status": tree["status"],
        "kind": codes[0],
        "decision": provision["type"],
        "actor_kind": actor_kind,
        "actor_id": actor_id,
        "decided": date_interval(tree["dateTime"])[0],
        "period_low": date_interval(period["start"])[0] if "start" in period else None,
        "period_high": date_interval(period["end"])[1] if "end" in period else None,
    }


def _actor(reference: Tree) -> tuple[str, str]:
    target = literal(reference.get("reference", ""))
    if target and target[0] in ("CareTeam", "RelatedPerson"):
        return target
    kind = reference.get("type") or (target[0] if target else "")
    identifier = reference.get("identifier", {})
    system, value = identifier.get("system", ""), identifier.get("value", "")
    if kind in ("Practitioner", "PractitionerRole", ""):
        number = professional_id(system, value)
        if number:
            return "Practitioner", number
    if kind in ("Organization", ""):
        number = structure_id(system, value)
        if number:
            return "Organization", number
    if kind in ("RelatedPerson", "Patient") and 0 < len(value) <= 64:
        return "RelatedPerson", value
    _refuse_consent(
        "Désigner l'acteur par son identifiant national (PS_IdNat, RPPS, Struct_IdNat ou FINESS) dans reference.identifier.",
        "Name the actor by its national identifier (PS_IdNat, RPPS, Struct_IdNat or FINESS) in reference.identifier.",
        "Consent.provision.actor[0].reference",
    )
    raise AssertionError("refused")


def _refuse_consent(fr: str, en: str, expression: str) -> None:
    refuse(422, "required", fr, en, expression=expression, rule="PCF")


def party_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `party`. `active` unless said otherwise; a care team grants rights, so it must say that it is active."""
    status = tree.get("status")
    if tree["resourceType"] == "CareTeam":
        active = status == "active"
    else:
        active = tree.get("active", True) and status in (None, "active")
    period = tree.get("period", {})
    return {
        "active": active,
        "deleted": False,
        "period_low": date_interval(period["start"])[0] if "start" in period else None,
        "period_high": date_interval(period["end"])[1] if "end" in period else None,
    }


def record_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `record` (TD0.2): `Patient.active` says whether the DMP is open; silent, the closing extension does."""
    closed = any(_extensions(tree, EXT_CLOSURE))
    return {
        "status": "open" if tree.get("active", not closed) else "closed",
        "birth_date": tree.get("birthDate"),
        "gender": tree.get("gender"),
    }
