"""An entry of the trace as people read it: who, when, what, how, why; one sentence in French or English.

What a sentence says of a document is what its reader may know of it: a title when the document is visible to them, else
neutral words (AR-99). The labels are those of the national patient portal's history of accesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dmp_fhir.canonicals import HIDE_REPRESENTATIVES, TRE_G15, TRE_R38
from dmp_fhir.profiles.terminology import profession_display, specialty_display, type_display

Tree = dict[str, Any]


class Text(NamedTuple):
    fr: str
    en: str


class Title(NamedTuple):
    """What a reader may know of a document: its title, the name of its type, the day it was written (ISO 8601)."""

    title: str
    kind: str
    day: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history. `actor_type` is a code of ACTOR_TYPES, `access_mode` normal, bris_de_glace, centre_15 or
    secret, `outcome` done, refused or error; `reason` the motive of an emergency, or the code of a refusal."""

    event_id: str
    date: str
    actor_type: str
    actor_name: str
    actor_profession: str
    structure_name: str
    access_mode: str
    action: Text
    document_title: str | None
    outcome: str
    reason: str
    sentence: Text


ACTOR_TYPES: Mapping[str, tuple[str, ...]] = {
    "professional": ("PS", "PS_ROLE"),
    "facility": ("STRUCTURE", "CPE"),
    "patient": ("PATIENT",),
    "representative": ("REPRESENTANT",),
    "helper": ("AIDANT",),
    "support": ("SUPPORT",),
    "third-party": ("AM_SYSTEM", "SERVICE", "TIERS_EXCLU"),
    "unknown": ("",),
}
"""Kinds of actors of the history, and the categories of callers that each stands for."""
_TYPE_OF = {category: kind for kind, categories in ACTOR_TYPES.items() for category in categories}

# What was done, by the act of the rule book (policy/actions.py): the label, and the sentence about {what}.
_ACTS = {
    "doc.create": Text("Ajout", "Added"),
    "doc.replace": Text("Remplacement", "Replaced"),
    "doc.delete": Text("Suppression", "Deleted"),
    "doc.archive": Text("Archivage", "Archived"),
    "doc.unarchive": Text("Désarchivage", "Taken out of the archive"),
    "doc.mask": Text("Masquage aux professionnels", "Masked to professionals"),
    "doc.unmask": Text("Démasquage", "Unmasked"),
    "doc.hide_patient": Text("Document rendu invisible au patient", "Hidden from the patient"),
    "doc.show_patient": Text("Document rendu visible au patient", "Made visible to the patient"),
    "doc.hide_reps": Text("Document rendu invisible aux représentants", "Hidden from the representatives"),
    "doc.show_reps": Text("Document rendu visible aux représentants", "Made visible to the representatives"),
    "folder.write": Text("Classeur modifié", "Folder changed"),
    "auth.add": Text("Autorisation ajoutée", "Authorisation added"),
    "auth.remove": Text("Autorisation supprimée", "Authorisation removed"),
    "auth.block": Text("Professionnel bloqué", "Professional blocked"),
    "auth.unblock": Text("Professionnel débloqué", "Professional unblocked"),
    "mt.declare": Text("Statut de médecin traitant ajouté", "Treating physician declared"),
    "mt.revoke": Text("Statut de médecin traitant retiré", "Treating physician revoked"),
    "pref.emergency": Text("Préférences d'urgence modifiées", "Emergency preferences changed"),
    "pref.mask_default": Text("Masquage par défaut modifié", "Default masking changed"),
    "pref.feeding": Text("Opposition à l'alimentation modifiée", "Opposition to feeding changed"),
    "delegation": Text("Délégation à un aidant modifiée", "Delegation to a helper changed"),
    "dmp.create": Text("Ouverture du dossier", "Record opened"),
    "dmp.close": Text("Fermeture du dossier", "Record closed"),
    "dmp.reopen": Text("Réouverture du dossier", "Record reopened"),
    "record.update": Text("Modification de l'identité du dossier", "Identity of the record changed"),
    "party.write": Text("Modification de l'entourage", "People around the patient changed"),
}
_READS = {
    "DocumentReference": Text("Consultation de la fiche du document", "Document description read"),
    "Binary": Text("Consultation du document", "Document read"),
    "Bundle": Text("Consultation du document", "Document read"),
    "List": Text("Consultation d'un lot ou d'un classeur", "Submission set or folder read"),
    "Consent": Text("Consultation d'une autorisation", "Consent read"),
    "AuditEvent": Text("Consultation d'une trace", "Trace entry read"),
    "Patient": Text("Consultation de l'identité du dossier", "Identity of the record read"),
    "RelatedPerson": Text("Consultation de l'entourage", "People around the patient read"),
}
_SEARCHES = {
    "DocumentReference": Text("Consultation de la liste des documents", "List of documents read"),
    "List": Text("Consultation de la liste des lots et classeurs", "List of submission sets and folders read"),
    "Consent": Text("Consultation des autorisations", "Consents read"),
    "AuditEvent": Text("Consultation de l'historique", "History read"),
    "Patient": Text("Vérification de l'accès au dossier", "Access to the record checked"),
    "RelatedPerson": Text("Consultation de l'entourage", "People around the patient read"),
}
_OPERATIONS = {
    "$access-history": Text("Consultation de l'historique", "History read"),
    "$explain-access": Text("Consultation des règles d'accès", "Access rules read"),
    "$validate": Text("Vérification de conformité", "Conformity checked"),
}
_SUBMISSION = Text("Dépôt d'un lot de documents", "Documents submitted")
_PROOF = Text("Preuve d'une trace", "Proof of a trace entry")
_COMMANDS = {
    "review-list": Text("Revue des accès d'urgence", "Review of emergency accesses"),
    "account-review": Text("Revue des accès d'un professionnel", "Review of a professional's accesses"),
    "audit-read": Text("Lecture de la trace par l'exploitant", "Trace read by the operator"),
}
_REASONS = {
    "SUSPENSION": Text("Suspension du dossier", "Record suspended"),
    "FIN_DE_SUSPENSION": Text("Fin de la suspension", "End of the suspension"),
    "SUSPENSION_SANS_OPPOSITION": Text("Fermeture après suspension", "Closed after a suspension"),
    "EFFACEMENT_DEMANDE": Text("Effacement du dossier demandé", "Erasure of the record asked for"),
    "CONSERVATION_IMPOSEE": Text("Conservation du dossier imposée", "Record kept from erasure"),
    "FIN_DE_CONSERVATION_IMPOSEE": Text("Fin de la conservation imposée", "Record no longer kept from erasure"),
    "FIN_DE_CONSERVATION": Text("Effacement du dossier", "Record erased"),
    "REVUE_FAITE": Text("Revue d'un accès d'urgence", "Emergency access reviewed"),
    "MESSAGE_ENVOYE": Text("Message envoyé", "Message sent"),
}
_OTHERS = {
    "C": Text("Ajout au dossier", "Added to the record"),
    "R": Text("Consultation du dossier", "Record read"),
    "U": Text("Modification du dossier", "Record changed"),
    "D": Text("Suppression dans le dossier", "Deleted in the record"),
    "E": Text("Interrogation du dossier", "Record searched"),
}
_MODES = {
    "bris_de_glace": Text("bris de glace", "break-glass"),
    "centre_15": Text("centre 15", "emergency call centre"),
    "secret": Text("connexion secrète", "secret connection"),
}
_OUTCOMES = {"0": "done", "4": "refused", "8": "error", "12": "error"}
_PURPOSES = {"BTG": "bris_de_glace", "ETREAT": "centre_15"}
_ENDS = {"refused": Text(" (refusé)", " (refused)"), "error": Text(" (erreur)", " (error)")}
_TARGET = re.compile(r"(DocumentReference)/([A-Za-z0-9.-]{1,64})")


def document_of(event: Tree) -> str | None:
    """The id of the document that an entry is about."""
    for entity in event["entity"]:
        if found := _TARGET.match(entity.get("what", {}).get("reference", "")):
            return found[2]
    return None


def entry_of(event: Tree, category: str, titles: Mapping[str, Title]) -> Entry:
    """The line of an AuditEvent made here, for a reader who may know `titles` (by id of the document)."""
    user: Tree = next((each for each in event["agent"] if each["requestor"]), {"who": {"display": "?"}})
    name = user.get("name") or user["who"].get("display", "")
    structure = next((each["who"].get("display", "") for each in event["agent"] if _is_structure(each)), "")
    purpose = (event.get("purposeOfEvent") or [{}])[0]
    mode = _PURPOSES.get((purpose.get("coding") or [{}])[0].get("code", ""), "normal")
    if mode == "normal" and any(each.get("code") == HIDE_REPRESENTATIVES for each in event["meta"].get("security", ())):
        mode = "secret"
    outcome = _OUTCOMES.get(event["outcome"], "error")
    action = _action(event)
    document = document_of(event)
    title = titles.get(document) if document else None
    motive = purpose.get("text", "") if mode in ("bris_de_glace", "centre_15") else ""
    reason = event.get("outcomeDesc", "") if outcome != "done" else motive
    profession = _profession(user)
    return Entry(
        event_id=event["id"],
        date=event["recorded"],
        actor_type=_TYPE_OF.get(category, "unknown"),
        actor_name=name,
        actor_profession=profession,
        structure_name=structure,
        access_mode=mode,
        action=action,
        document_title=title.title if title else None,
        outcome=outcome,
        reason=reason,
        sentence=_sentence(name, profession, structure, action, document, title, mode, motive, outcome),
    )


def _is_structure(agent: Tree) -> bool:
    return any(each.get("code") == "PROV" for each in agent.get("type", {}).get("coding", ()))


def _profession(user: Tree) -> str:
    codes = [each for role in user.get("role", ()) for each in role.get("coding", ())]
    profession = next((profession_display(each["code"]) for each in codes if each["system"] == TRE_G15), None)
    specialty = next((specialty_display(each["code"]) for each in codes if each["system"] == TRE_R38), None)
    if not profession:
        return ""
    return f"{profession.lower()} ({specialty})" if specialty else profession.lower()


def _details(event: Tree, kind: str) -> list[str]:
    return [
        each["valueString"] for entity in event["entity"] for each in entity.get("detail", ()) if each["type"] == kind
    ]


def _action(event: Tree) -> Text:
    interaction = event["subtype"][-1]["code"]
    acts = [_ACTS[act] for act in _details(event, "act") if act in _ACTS]
    if acts and event["action"] in ("C", "U", "D"):
        return Text(" ; ".join(each.fr for each in acts), "; ".join(each.en for each in acts))
    for reason in _details(event, "reason"):
        if reason in _REASONS:
            return _REASONS[reason]
    if interaction in _COMMANDS:
        return _COMMANDS[interaction]
    asked = next((each.get("description", "") for each in event["entity"] if "query" in each), "")
    if interaction == "operation":
        names = [each.get("what", {}).get("reference", "") for each in event["entity"]]
        other = _PROOF if any(name.startswith("AuditEvent/") for name in names) else _OTHERS["E"]
        return next((text for name, text in _OPERATIONS.items() if name in asked), other)
    if interaction == "search-type":
        return _SEARCHES.get(asked.partition("?")[0], _OTHERS["E"])
    references = (each.get("what", {}).get("reference", "") for each in event["entity"])
    kind = next(references, "").partition("/")[0]
    if event["action"] == "R":
        return _READS.get(kind, _OTHERS["R"])
    if event["action"] == "C" and kind == "List":
        return _SUBMISSION
    return _OTHERS[event["action"]]


def _sentence(
    name: str,
    profession: str,
    structure: str,
    action: Text,
    document: str | None,
    title: Title | None,
    mode: str,
    motive: str,
    outcome: str,
) -> Text:
    who = ", ".join(each for each in (name, profession, structure) if each)
    if title:
        what = Text(
            f" : {title.kind} du {_french_day(title.day)} « {title.title} »",
            f": {title.kind}, {title.day}, “{title.title}”",
        )
    elif document:
        what = Text(" : un document", ": a document")
    else:
        what = Text("", "")
    how = Text("", "")
    if mode != "normal":
        names = _MODES[mode]
        said = Text(f" : {motive}", f": {motive}") if motive else Text("", "")
        how = Text(f" — {names.fr}{said.fr}", f" — {names.en}{said.en}")
    end = {"refused": Text(" (refusé)", " (refused)"), "error": Text(" (erreur)", " (error)")}.get(
        outcome, Text("", "")
    )
    return Text(
        f"{who} — {action.fr}{what.fr}{how.fr}{end.fr}",
        f"{who} — {action.en}{what.en}{how.en}{end.en}",
    )


def _french_day(day: str) -> str:
    return "/".join(reversed(day.split("-")))


def kind_of_document(system: str | None, code: str | None) -> str:
    """The French name of a type of document."""
    return (type_display(system, code) if system and code else None) or "document"
