"""Everything that can be asked of a record, in the vocabulary of the rule book (spec access-rules, section 1.3)."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """One act; the value is its name in the rule book, in the trace and in the scenarios."""

    DMP_EXISTS = "dmp.exists"  # TD0.2
    DMP_CLOSE = "dmp.close"  # TD1.4
    DMP_REOPEN = "dmp.reopen"  # TD1.2
    RECORD_CREATE = "dmp.create"  # TD1.1
    RECORD_READ = "record.read"
    RECORD_UPDATE = "record.update"
    AUTH_ADD = "auth.add"  # TD0.3
    AUTH_REMOVE = "auth.remove"  # TD0.3
    AUTH_BLOCK = "auth.block"
    AUTH_UNBLOCK = "auth.unblock"
    MT_DECLARE = "mt.declare"  # TD0.3
    MT_REVOKE = "mt.revoke"
    PREF_EMERGENCY = "pref.emergency"
    PREF_MASK_DEFAULT = "pref.mask_default"
    PREF_FEEDING = "pref.feeding"
    DELEGATE = "delegation"
    CONSENT_READ = "auth.list"  # TD1.6
    CONSENT_WRITE = "consent.write"  # resolved into one of the acts above by the kind of consent
    DOC_LIST = "doc.list"  # TD3.1a, ITI-66, ITI-67
    DOC_FINDID = "doc.findid"  # TD3.1b
    DOC_READ = "doc.read"  # TD3.2, ITI-68
    DOC_CREATE = "doc.create"  # TD2, ITI-65, ITI-105
    DOC_REPLACE = "doc.replace"  # TD2.1
    DOC_MASK = "doc.mask"  # TD3.3a
    DOC_UNMASK = "doc.unmask"  # TD3.3a
    DOC_HIDE_PATIENT = "doc.hide_patient"  # TD3.3b
    DOC_SHOW_PATIENT = "doc.show_patient"  # TD3.3b
    DOC_HIDE_REPS = "doc.hide_reps"  # TD3.3b
    DOC_SHOW_REPS = "doc.show_reps"  # TD3.3b
    DOC_DELETE = "doc.delete"  # TD3.3c
    DOC_ARCHIVE = "doc.archive"  # TD3.3d
    DOC_UNARCHIVE = "doc.unarchive"  # TD3.3d
    FOLDER_WRITE = "folder.write"
    PARTY_READ = "party.read"
    PARTY_WRITE = "party.write"
    AUDIT_READ_FULL = "audit.read_full"  # ITI-81
    AUDIT_READ_OWN = "audit.read_own"  # ITI-81


CONSULTATION = frozenset({Action.DOC_LIST, Action.DOC_READ})
MASKING = frozenset({Action.DOC_MASK, Action.DOC_UNMASK})
INVISIBILITY = frozenset({Action.DOC_HIDE_PATIENT, Action.DOC_SHOW_PATIENT, Action.DOC_HIDE_REPS, Action.DOC_SHOW_REPS})
VISIBILITY = MASKING | INVISIBILITY
DEPOSIT = frozenset({Action.DOC_CREATE, Action.FOLDER_WRITE})
OWN_DOCUMENT = frozenset({Action.DOC_REPLACE, Action.DOC_DELETE, Action.DOC_ARCHIVE, Action.DOC_UNARCHIVE})
FEEDING = DEPOSIT | OWN_DOCUMENT | {Action.DOC_FINDID}
CONSENT_ACTS = frozenset(
    {
        Action.AUTH_ADD,
        Action.AUTH_REMOVE,
        Action.AUTH_BLOCK,
        Action.AUTH_UNBLOCK,
        Action.MT_DECLARE,
        Action.MT_REVOKE,
        Action.PREF_EMERGENCY,
        Action.PREF_MASK_DEFAULT,
        Action.PREF_FEEDING,
        Action.DELEGATE,
        Action.DMP_CLOSE,
        Action.DMP_REOPEN,
    }
)
ABOUT_DOCUMENT = CONSULTATION | VISIBILITY | OWN_DOCUMENT


def consent_action(kind: str, decision: str, *, ended: bool = False) -> Action | None:
    """The act of writing a Consent of this kind and decision; `ended` when its status leaves `active`.

    None for a kind that this registry does not know.
    """
    match kind:
        case "AUTORISATION" | "EQUIPE":
            return Action.AUTH_REMOVE if (decision == "deny") != ended else Action.AUTH_ADD
        case "BLOCAGE":
            return Action.AUTH_UNBLOCK if ended else Action.AUTH_BLOCK
        case "MEDECIN_TRAITANT":
            return Action.MT_REVOKE if (decision == "deny") != ended else Action.MT_DECLARE
        case "URGENCE_BTG" | "URGENCE_SAMU" | "URGENCE_MASQUES":
            return Action.PREF_EMERGENCY
        case "MASQUAGE_DEFAUT":
            return Action.PREF_MASK_DEFAULT
        case "OPPOSITION_ALIMENTATION":
            return Action.PREF_FEEDING
        case "DELEGATION":
            return Action.DELEGATE
        case "OUVERTURE":
            return Action.DMP_CLOSE if (decision == "deny") != ended else Action.DMP_REOPEN
    return None
