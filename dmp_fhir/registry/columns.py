"""The typed columns of a resource's own table (store/tables.py) that come from its tree.

Dates become intervals `[low, high)` of milliseconds. What a table cannot hold is refused (422), never stored by halves.
"""

from __future__ import annotations

from typing import Any, NoReturn

from dmp_fhir.canonicals import (
    CONSENT_KIND_SYSTEM,
    EXT_CLOSURE,
    EXT_IS_ARCHIVED,
    HIDE_PATIENT,
    HIDE_REPRESENTATIVES,
    MASK_PROFESSIONALS,
    MHD_LIST_TYPES,
)
from dmp_fhir.identity.identifiers import professional_id, structure_id
from dmp_fhir.outcome import refuse
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.profiles.terminology import type_is_known
from dmp_fhir.registry.search.values import literal

Tree = dict[str, Any]


def _interval(prefix: str, text: str | None) -> dict[str, int | None]:
    low, high = date_interval(text) if text else (None, None)
    return {f"{prefix}_low": low, f"{prefix}_high": high}


def _is_archived(tree: Tree) -> bool:
    return any(
        each.get("url") == EXT_IS_ARCHIVED and each.get("valueBoolean") is True for each in tree.get("extension", ())
    )


def document_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `document`. A mask counts whatever the code system it was written with: the codes belong to TRE_A07
    only, and a mask that is overlooked would show what was hidden."""
    labels = {coding.get("code") for label in tree.get("securityLabel", ()) for coding in label.get("coding", ())}
    coding: Tree = next(iter(tree.get("type", {}).get("coding", ())), {})
    content: Tree = next(iter(tree.get("content", ())), {})
    attachment = content.get("attachment", {})
    period = tree.get("context", {}).get("period", {})
    return {
        "status": tree["status"],
        "archived": _is_archived(tree),
        "masked_professionals": MASK_PROFESSIONALS in labels,
        "hidden_patient": HIDE_PATIENT in labels,
        "hidden_representatives": HIDE_REPRESENTATIVES in labels,
        "type_system": coding.get("system"),
        "type_code": coding["code"][:64] if "code" in coding else None,
        "type_unknown": not type_is_known(coding.get("system", ""), coding.get("code", "")),
        "title": None,  # sealed in the body; a change of an old document empties the column
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
    """Columns of `consent`: one row is one line of the standing, so one kind, one decision, at most one actor, and
    the actor by its national identifier (a team by its id). Refused (422) otherwise: a block that names nobody must
    not be stored."""
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
        "Désigner l'acteur par son identifiant national (PS_IdNat, RPPS, Struct_IdNat, FINESS) : reference.identifier.",
        "Name the actor by its national identifier (PS_IdNat, RPPS, Struct_IdNat, FINESS) in reference.identifier.",
        "Consent.provision.actor[0].reference",
    )


def _refuse_consent(fr: str, en: str, expression: str) -> NoReturn:
    refuse(422, "required", fr, en, expression=expression, rule="PCF")


def party_columns(tree: Tree) -> dict[str, Any]:
    """Columns of `party`. `active` unless said otherwise; a care team grants rights, so it must say that it is
    active."""
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
    """Columns of `record` (TD0.2): `Patient.active` says whether the DMP is open; silent, the closing extension
    does."""
    closed = any(each.get("url") == EXT_CLOSURE for each in tree.get("extension", ()))
    return {
        "status": "open" if tree.get("active", not closed) else "closed",
        "birth_date": tree.get("birthDate"),
        "gender": tree.get("gender"),
    }
