"""The second look: a document that the database let through is decided again before it leaves.

The predicate chose the row; the decision, on the facts of that very row, must agree. When it does not, nothing leaves:
an alert is logged and the request fails (500), so that a fault in one face of the rules is neither served nor hidden
by dropping a line (engineering decision 2).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Protocol

from dmp_fhir.canonicals import HIDE_PATIENT, HIDE_REPRESENTATIVES, MASK_PROFESSIONALS
from dmp_fhir.policy.algebra import Condition
from dmp_fhir.policy.facts import DELETED, DocumentFacts
from dmp_fhir.policy.relation import Caller
from dmp_fhir.policy.rules.base import DocumentRule
from dmp_fhir.policy.rules.masks import AUTHORED_BY_CALLER, DOCUMENTS

logger = logging.getLogger("dmp_fhir.alert")

_COLUMNS = (
    "status",
    "archived",
    "type_system",
    "type_code",
    "type_unknown",
    "created",
    "masked_professionals",
    "hidden_patient",
    "hidden_representatives",
)
WIDTH = len(_COLUMNS)
_LABELS = (MASK_PROFESSIONALS, HIDE_PATIENT, HIDE_REPRESENTATIVES)


class Rows(Protocol):
    """The part of `store.database.Reader` that is needed here."""

    def rows(self, sql: str, params: dict[str, Any] | None = None) -> list[tuple]: ...


class FacesDisagree(Exception):
    """SQL showed a document that the decision refuses: a fault of ours, never answered with data."""


@cache
def columns(alias: str) -> str:
    """The columns of the table `document` that the second look needs, for a SELECT."""
    return ", ".join(f"{alias}.{name}" for name in _COLUMNS)


def facts_of(values: Sequence[Any]) -> DocumentFacts:
    """The facts in the values of `columns`, without authors."""
    status, archived, type_system, type_code, type_unknown, created, *flags = values
    return DocumentFacts(
        type_system=type_system,
        type_code=type_code,
        labels=frozenset(label for label, is_set in zip(_LABELS, flags, strict=True) if is_set),
        status=status,
        archived=bool(archived),
        deposited_ms=created,
        type_unknown=bool(type_unknown),
    )


@dataclass(frozen=True)
class SecondLook:
    """What was decided about the record: `may_look` into it, or `may_find` the caller's own deposits (TD3.1b)."""

    caller: Caller
    may_look: bool
    may_find: bool = False

    @cached_property
    def _hiding(self) -> tuple[tuple[DocumentRule, Condition | bool], ...]:
        """The rules that can hide a document from this caller, and what is left to ask of the document."""
        left = ((rule, rule.when.given(self.caller)) for rule in DOCUMENTS)
        return tuple((rule, when) for rule, when in left if when is not False)

    def hidden_by(self, document: DocumentFacts) -> DocumentRule | None:
        """The first rule that hides the document."""
        for rule, when in self._hiding:
            if (when is True or (when is not False and when.holds(self.caller, document))) and not (
                rule.unless and rule.unless.holds(self.caller, document)
            ):
                return rule
        return None

    def shows(self, document: DocumentFacts) -> bool:
        if self.may_look and self.hidden_by(document) is None:
            return True
        return self.may_find and document.status != DELETED and AUTHORED_BY_CALLER.holds(self.caller, document)

    def check(self, reader: Rows, record_id: str, document_id: str, values: Sequence[Any]) -> None:
        """Raise FacesDisagree unless the decision shows the document; `values` are those of `columns`."""
        document = facts_of(values)
        if self.shows(document):
            return
        # Authorship only ever opens a document, so authors are read when the rest refuses, which is rare.
        if self.shows(_with_authors(reader, record_id, document_id, document)):
            return
        rule = self.hidden_by(document)
        logger.critical(
            "policy alert: SQL shows DocumentReference %s to %s, the decision refuses it (%s)",
            document_id,
            self.caller.context.actor_category,
            ", ".join(rule.ids) if rule else "no right on the record",
        )
        raise FacesDisagree(document_id)


def _with_authors(reader: Rows, record_id: str, document_id: str, document: DocumentFacts) -> DocumentFacts:
    names: dict[str, set[str]] = {"person": set(), "structure": set(), "patient": set(), "system": set()}
    for kind, identifier in reader.rows(
        "SELECT kind, identifier FROM document_author WHERE record_id = :record_id AND document_id = :document_id",
        {"record_id": record_id, "document_id": document_id},
    ):
        names[kind].add(identifier)
    return replace(
        document,
        author_persons=frozenset(names["person"]),
        author_structures=frozenset(names["structure"]),
        author_patients=frozenset(names["patient"]),
        author_systems=frozenset(names["system"]),
    )
