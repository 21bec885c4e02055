"""What the rules look at besides the caller: a document, the object of a consent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dmp_fhir.identity.context import AccessContext

DELETED = "entered-in-error"
_PEOPLE = frozenset({"PATIENT", "REPRESENTANT", "AIDANT"})


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """A document as the rules see it.

    `labels` are TRE_A07 codes (MASQUE_PS...); `status` is that of the DocumentReference (`entered-in-error` = deleted);
    authors are national identifiers, as in the rows of `document_author`; `deposited_ms` is the instant of the deposit.
    `type_unknown` when the type is in none of the lists that the habilitation matrix is about (D10).
    """

    type_system: str | None = None
    type_code: str | None = None
    labels: frozenset[str] = frozenset()
    status: str = "current"
    archived: bool = False
    author_persons: frozenset[str] = frozenset()
    author_structures: frozenset[str] = frozenset()
    author_patients: frozenset[str] = frozenset()
    author_systems: frozenset[str] = frozenset()
    deposited_ms: int = 0
    type_unknown: bool = False

    def authors(self, kind: str) -> frozenset[str]:
        """The authors of one kind: person, structure, patient or system."""
        if kind == "person":
            return self.author_persons
        if kind == "structure":
            return self.author_structures
        return self.author_patients if kind == "patient" else self.author_systems


def author_key(authors: Iterable[tuple[str, str]]) -> str:
    """Who counts as author of a document (AR-59) in one text, the column `document.author_key`: the persons, or the
    structures when no person is named. `person:8997...` for one, `|person:8997...|person:8998...|` for several."""
    named = sorted(set(authors))
    counting = [each for each in named if each[0] == "person"] or [each for each in named if each[0] == "structure"]
    keys = [key_of(*each) for each in counting]
    return "".join(keys) if len(keys) < 2 else f"|{'|'.join(keys)}|"


def key_of(kind: str, identifier: str) -> str:
    """One author in `author_key`."""
    return f"{kind}:{identifier.replace('|', '%7C')}"


@dataclass(frozen=True, slots=True)
class ConsentTarget:
    """The consent being written: its kind, decision and actor (national identifier), and whether it is being ended.

    `followed` is, for a DELEGATION, how many other records the helper follows already (AR-85).
    """

    kind: str
    decision: str = "permit"
    actor_kind: str | None = None
    actor_id: str | None = None
    ended: bool = False
    followed: int = 0


def depositor(context: AccessContext) -> tuple[str, str]:
    """Who deposits, as (`depositor_kind`, `depositor_id`): a person, a structure, a patient or a system.

    A staff card (CPE) or a structure account deposits in the name of the structure.
    """
    if context.actor_category in ("PS", "PS_ROLE"):
        return "person", context.actor_id
    if context.actor_category in ("STRUCTURE", "CPE"):
        return "structure", context.structure or context.actor_id
    if context.actor_category in _PEOPLE:
        return "patient", context.actor_id
    return "system", context.actor_id
