"""What a record's documents go through, as the specification says and nothing else: what a server is compared with.

Written from the rule book (AR-59 to AR-73, D3, D9, D13, D17) for one open record with a treating physician (MT), an
authorised professional, a blocked one, one without any link, and the patient. No code of the server is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MASKED, HIDDEN = "MASQUE_PS", "INVISIBLE_PATIENT"
TREATING, AUTHORISED, BLOCKED, STRANGER, PATIENT = "treating", "authorised", "blocked", "stranger", "patient"
PROFESSIONALS = (TREATING, AUTHORISED, BLOCKED, STRANGER)
READERS = (TREATING, AUTHORISED, PATIENT)
EVERYBODY = (*PROFESSIONALS, PATIENT)

# Statuses that the server may answer; a refusal by right is 403 for the record or the act, 404 for a document.
DONE, CREATED, AGAIN = {200}, {201}, {200}
REFUSED, ABSENT, CONFLICT, UNKNOWN_TARGET = {403, 404}, {404}, {409}, {422}


@dataclass
class Document:
    name: str
    author: str
    content: bytes
    labels: set[str]
    replaces: str | None
    status: str = "current"
    archived: bool = False
    version: int = 1


@dataclass
class Model:
    """The documents by name, in the order of their deposit. Each act answers the statuses that are right."""

    documents: dict[str, Document] = field(default_factory=dict)

    # --- rights ---------------------------------------------------------------------------------------

    def sees(self, who: str, name: str) -> bool:
        """AR-35, AR-59, AR-60, AR-63, AR-70: may `who` read this document?"""
        document = self.documents[name]
        if document.status == "entered-in-error" or who not in READERS:
            return False
        if who == PATIENT:
            return HIDDEN not in document.labels
        return MASKED not in document.labels or who in (TREATING, document.author)

    def listed(self, who: str, *, archives: bool) -> dict[str, int] | None:
        """TD3.1a: names and versions, what is archived only when asked for (D13); None when the record is refused."""
        if who not in READERS:
            return None
        return {
            each.name: each.version
            for each in self.documents.values()
            if self.sees(who, each.name) and (archives or not each.archived)
        }

    def found_by_id(self, who: str, name: str) -> bool:
        """TD3.1b: also an author's own documents, without any right on the record (AR-93)."""
        document = self.documents[name]
        own = document.author == who and document.status != "entered-in-error"
        return self.sees(who, name) or own

    # --- deposits -------------------------------------------------------------------------------------

    def publish(self, document: Document) -> set[int]:
        """TD2, TD2.1. Anybody identified may feed (AR-93); only the author replaces (AR-71), what is current (D9)."""
        known = self.documents.get(document.name)
        if known:
            return CONFLICT if known.status == "entered-in-error" else AGAIN
        if document.replaces is not None:
            old = self.documents[document.replaces]
            if old.status == "entered-in-error" or old.author != document.author:
                return UNKNOWN_TARGET
            if old.status == "superseded":
                return CONFLICT
            # A mask stays on the next version of the document (AR-71).
            document.labels |= old.labels
            self._change(old, status="superseded")
        self.documents[document.name] = document
        return CREATED

    # --- changes --------------------------------------------------------------------------------------

    def archive(self, who: str, name: str, flag: bool) -> set[int]:
        """TD3.3d: by the author (AR-69)."""
        document = self.documents[name]
        return self._by_author(who, document, document.archived != flag, archived=flag)

    def withdraw(self, who: str, name: str) -> set[int]:
        """PATCH status superseded by the author (D3)."""
        document = self.documents[name]
        return self._by_author(who, document, document.status != "superseded", status="superseded")

    def delete(self, who: str, name: str) -> set[int]:
        """TD3.3c: by the author, for everybody and for good (AR-70, D3)."""
        return self._by_author(who, self.documents[name], True, status="entered-in-error")

    def mask(self, who: str, name: str, flag: bool) -> set[int]:
        """TD3.3a: masking belongs to the patient (AR-61)."""
        document = self.documents[name]
        if not self.sees(who, name):
            return REFUSED
        if (MASKED in document.labels) == flag:
            return DONE
        if who != PATIENT:
            return REFUSED
        return self._relabelled(document, MASKED, flag)

    def show(self, who: str, name: str) -> set[int]:
        """TD3.3b: a professional who reads the document makes it visible to the patient (AR-64)."""
        document = self.documents[name]
        if not self.sees(who, name):
            return REFUSED
        if HIDDEN not in document.labels:
            return DONE
        return self._relabelled(document, HIDDEN, False)

    def hide(self, who: str, name: str) -> set[int]:
        """Never once the document is there and visible (AR-65)."""
        seen = self.sees(who, name)
        return DONE if seen and HIDDEN in self.documents[name].labels else REFUSED

    def _by_author(self, who: str, document: Document, differs: bool, **changes: object) -> set[int]:
        if document.status == "entered-in-error":
            return ABSENT
        if not differs:
            # A patch that changes nothing is a read.
            return DONE if self.sees(who, document.name) else REFUSED
        if who != document.author:
            return REFUSED
        self._change(document, **changes)
        return DONE

    def _relabelled(self, document: Document, label: str, flag: bool) -> set[int]:
        self._change(document, labels=document.labels | {label} if flag else document.labels - {label})
        return DONE

    @staticmethod
    def _change(document: Document, **changes: object) -> None:
        for name, value in changes.items():
            setattr(document, name, value)
        document.version += 1
