"""A ledger of what was sent and what was acknowledged, clients that keep it, and the audit of a registry against it.

Acknowledged means that the client holds a 2xx with its whole body. The ledger is a file of JSON lines, each flushed
before the request leaves or as soon as its answer has come.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from dmp_fhir.registry.payloads import opened
from dmp_fhir.store.database import Reader
from dmp_fhir.store.payloads import PayloadDamaged, PayloadStore
from tests.support.keys import reopened
from tests.writing.api import Answer, Api
from tests.writing.lots import PATIENT, Tree, archived, lot, oid, simple

LARGEST = 60_000
Keys = list[str]


@dataclass
class Entry:
    """One submission: the contents of its documents, and once acknowledged the ids of its documents in order."""

    name: str
    kind: str  # "lot" (ITI-65) or "simple" (ITI-105)
    contents: list[bytes]
    documents: list[str] | None = None
    refused: bool = False

    def body(self) -> Tree:
        return simple(self.name, self.contents[0]) if self.kind == "simple" else lot(self.name, *self.contents)

    @property
    def document_keys(self) -> Keys:
        return (
            [oid(self.name)] if self.kind == "simple" else [oid(f"{self.name}/{n}") for n in range(len(self.contents))]
        )

    @property
    def keys(self) -> Keys:
        """All uniqueIds of the submission: they are stored together or not at all."""
        return self.document_keys if self.kind == "simple" else [*self.document_keys, oid(self.name)]


@dataclass
class Change:
    """An acknowledged PATCH: the version it made and the resource it answered."""

    document: str
    version: int
    tree: Tree


class Ledger:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        self.changes: list[Change] = []
        self.tally: Counter[str] = Counter()

    def _write(self, line: Tree) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def sent(self, entry: Entry) -> None:
        with self._lock:
            self.tally["resent" if entry.name in self.entries else "sent"] += 1
            self.entries[entry.name] = entry
            digests = [hashlib.sha256(each).hexdigest() for each in entry.contents]
            self._write({"sent": entry.name, "kind": entry.kind, "sha256": digests})

    def acknowledged(self, entry: Entry, documents: list[str]) -> None:
        with self._lock:
            self.tally["acknowledged"] += 1
            entry.documents = documents
            self._write({"acknowledged": entry.name, "documents": documents})

    def changed(self, change: Change) -> None:
        with self._lock:
            self.tally["changes acknowledged"] += 1
            self.changes.append(change)
            self._write({"changed": change.document, "version": change.version})

    def note(self, what: str) -> None:
        with self._lock:
            self.tally[what] += 1

    def pending(self) -> list[Entry]:
        with self._lock:
            return [each for each in self.entries.values() if each.documents is None]

    def acknowledged_documents(self) -> list[str]:
        with self._lock:
            return [each for entry in self.entries.values() for each in entry.documents or []]

    def close(self) -> None:
        self._file.close()


class Client(threading.Thread):
    """Sends lots, publications and patches one after the other until the server is gone or `enough` is set."""

    def __init__(self, api: Api, ledger: Ledger, prefix: str, seed: str, retries: list[Entry]) -> None:
        super().__init__(daemon=True)
        self.api = api
        self.ledger = ledger
        self.prefix = prefix
        self.random = random.Random(seed)
        self.retries = retries
        self.enough = threading.Event()
        self.surprises: list[str] = []

    def run(self) -> None:
        try:
            for entry in self.retries:
                self.submit(entry)
            number = 0
            while not self.enough.is_set():
                number += 1
                known = self.ledger.acknowledged_documents()
                if known and self.random.random() < 0.25:
                    self.change(self.random.choice(known))
                else:
                    self.submit(self.another(number))
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
            # Killed: whatever was under way stays unacknowledged.
            return

    def another(self, number: int) -> Entry:
        kind = "simple" if self.random.random() < 0.3 else "lot"
        count = 1 if kind == "simple" else self.random.randint(1, 4)
        contents = [self.random.randbytes(self.random.randint(1, LARGEST)) for _ in range(count)]
        return Entry(f"{self.prefix}-{number}", kind, contents)

    def submit(self, entry: Entry) -> None:
        if self.enough.is_set():
            return
        self.ledger.sent(entry)
        body = entry.body()
        answer = self.api.publish(body) if entry.kind == "simple" else self.api.provide(body)
        if answer.status == 503:
            self.ledger.note("answered 503")
        elif answer.status not in (200, 201):
            self.surprises.append(f"{entry.name}: {answer.status} {answer.content[:300]!r}")
        else:
            self.ledger.acknowledged(entry, _documents(entry, answer))

    def change(self, document: str) -> None:
        answer = self.api.patch(document, archived(self.random.random() < 0.5))
        if answer.status == 200:
            self.ledger.changed(Change(document, answer.version, answer.tree))
        elif answer.status != 503:
            self.surprises.append(f"patch of {document}: {answer.status} {answer.content[:300]!r}")


def _documents(entry: Entry, answer: Answer) -> list[str]:
    if entry.kind == "simple":
        return [answer.tree["id"]]
    if len(set(answer.statuses)) != 1:
        raise AssertionError(f"half of {entry.name} was here already: {answer.statuses}")
    ids = [each.removeprefix("DocumentReference/") for each in answer.locations]
    return [each for each in ids if "/" not in each]


# --- the audit --------------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """What is wrong; all lists are empty when nothing is."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half_written: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.half_written or self.untraced)


def audit(
    api: Api, database_url: str, data_folder: Path, ledger: Ledger, names: Iterable[str] | None = None
) -> Verdict:
    """The registry behind an API against the ledger (all entries, or those of `names`): through its API what
    was acknowledged, by its tables what was not."""
    verdict = Verdict()
    chosen = set(ledger.entries) if names is None else set(names)
    entries = [each for each in ledger.entries.values() if each.name in chosen]
    for entry in entries:
        if entry.documents is not None:
            _audit_acknowledged(api, entry, verdict)
    documents = {each for entry in entries for each in entry.documents or []}
    for change in ledger.changes:
        if change.document in documents:
            kept = api.get(f"/DocumentReference/{change.document}/_history/{change.version}", persona=PATIENT)
            if kept.status != 200 or kept.tree["meta"] != change.tree["meta"]:
                verdict.lost.append(f"version {change.version} of {change.document}")
    database, payloads = reopened(database_url, data_folder), PayloadStore(data_folder / "documents")
    try:
        with database.snapshot() as reader:
            for entry in entries:
                _audit_rows(reader, payloads, entry, verdict)
            _audit_trace(reader, verdict)
    finally:
        database.close()
    return verdict


def _audit_acknowledged(api: Api, entry: Entry, verdict: Verdict) -> None:
    for document_id, content in zip(entry.documents or [], entry.contents, strict=True):
        document = api.get(f"/DocumentReference/{document_id}", persona=PATIENT)
        if document.status == 200:
            url = document.tree["content"][0]["attachment"]["url"]
            payload = api.get(url[url.index("/fhir/") + 5 :], persona=PATIENT)
            if payload.status == 200 and payload.content == content:
                continue
        verdict.lost.append(f"{entry.name}: {document_id}")


def _audit_rows(reader: Reader, payloads: PayloadStore, entry: Entry, verdict: Verdict) -> None:
    owners: dict[str, Any] = {}
    for key in entry.keys:
        rows = reader.rows("SELECT resource_id FROM unique_identifier WHERE value = :key", {"key": key})
        owners |= {key: row[0] for row in rows}
    if len(owners) not in (0, len(entry.keys)):
        verdict.half_written.append(entry.name)
    for key, content in zip(entry.document_keys, entry.contents, strict=True):
        copies = reader.rows(
            "SELECT COUNT(*) FROM search_token t WHERE t.code = :key AND t.parameter = 'identifier'"
            " AND t.resource_type = 'DocumentReference'",
            {"key": key},
        )
        if copies[0][0] != (key in owners):
            verdict.doubled.append(f"{entry.name}: {copies[0][0]} documents with {key}")
        if key in owners and _stored(reader, payloads, owners[key]) != [content]:
            verdict.half_written.append(f"{entry.name}: payload of {owners[key]}")


def _stored(reader: Reader, payloads: PayloadStore, document_id: str) -> list[bytes | None]:
    """What the files of a document hold, None for one that is missing or does not open."""
    found: list[bytes | None] = []
    for record_id, kind, number, digest, sealed in reader.rows(
        "SELECT record_id, resource_type, id, sha256, sealed FROM payload WHERE document_id = :id", {"id": document_id}
    ):
        try:
            found.append(opened(reader, record_id, kind, number, digest, payloads.get(digest), sealed=bool(sealed)))
        except PayloadDamaged:
            found.append(None)
    return found


def _audit_trace(reader: Reader, verdict: Verdict) -> None:
    """Every document has the trace of its creation and of each change; no trace tells of what does not exist."""
    traced: Counter[tuple[str, str]] = Counter()
    events = "SELECT entity_type, entity_id, action FROM audit_event WHERE outcome = '0' AND entity_id <> ''"
    for kind, entity, action in reader.rows(f"{events} AND action IN ('C', 'U', 'D')"):
        traced[f"{kind}/{entity}", action] += 1
    homes = {f"{row[0]}/{row[1]}" for row in reader.rows("SELECT resource_type, id FROM resource_home")}
    verdict.untraced += [f"trace of {entity}, which does not exist" for entity, _ in traced if entity not in homes]
    for document, version in reader.rows("SELECT id, version FROM document"):
        address = f"DocumentReference/{document}"
        if not traced[address, "C"]:
            verdict.untraced.append(f"{address} without trace")
        if traced[address, "U"] + traced[address, "D"] < version - 1:
            verdict.untraced.append(f"a version of {address} without trace")
