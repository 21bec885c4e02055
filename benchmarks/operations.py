"""What is asked: one stream of ready-made requests per operation."""

from __future__ import annotations

import itertools
import json
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.world import AUTHORISED, DOCUMENTS_PER_PATIENT, INS, TREATING, Lots, Patient
from dmp_fhir.canonicals import EXT_IS_ARCHIVED


@dataclass(frozen=True, slots=True)
class Stored:
    """A document that everybody of the bench may see."""

    ins: str
    document: str
    binary: str


@dataclass(frozen=True, slots=True)
class Index:
    """What is in the registry under test, and the tokens of those who ask."""

    documents: list[Stored]
    tokens: dict[str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """`target` is the requests per second of design.md section 7 (two workers), None when it names none."""

    key: str
    name: str
    status: bytes
    stream: Callable[[Index, random.Random, int], Iterator[bytes]]
    target: int | None = None
    target_p95_ms: float | None = None


def _request(
    method: str, path: str, token: str, body: bytes = b"", content_type: str = "application/fhir+json"
) -> bytes:
    lines = [
        f"{method} /fhir{path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Accept: application/fhir+json",
    ]
    if body:
        lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _reads(index: Index, choice: random.Random, first: int) -> Iterator[bytes]:
    while True:
        yield _request("GET", f"/DocumentReference/{choice.choice(index.documents).document}", index.tokens[TREATING])


def _retrievals(index: Index, choice: random.Random, first: int) -> Iterator[bytes]:
    while True:
        path = f"/Binary/{choice.choice(index.documents).binary}"
        yield _request("GET", path, index.tokens[TREATING]).replace(b"application/fhir+json", b"*/*")


def _searches(index: Index, choice: random.Random, first: int) -> Iterator[bytes]:
    """Half by the treating physician, half by an authorised professional from whom one document in ten is masked."""
    while True:
        query = f"patient.identifier={INS}|{choice.choice(index.documents).ins}&status=current&_count=10"
        yield _request("GET", f"/DocumentReference?{query}", index.tokens[choice.choice((TREATING, AUTHORISED))])


def _lots(index: Index, choice: random.Random, first: int) -> Iterator[bytes]:
    lots = Lots()
    number = first
    while True:
        who = Patient(choice.choice(index.documents).ins, "", "")
        number += 1
        yield _request("POST", "", index.tokens[TREATING], lots.lot(who, number))


def _simple_lots(index: Index, choice: random.Random, first: int) -> Iterator[bytes]:
    lots = Lots()
    number = first + 500_000
    while True:
        who = Patient(choice.choice(index.documents).ins, "", "")
        number += 1
        yield _request("POST", "/DocumentReference", index.tokens[TREATING], lots.simple(who, number))


def _patches(index: Index, choice: random.Random, first: int) -> Iterator[bytes]:
    """Archive a document, then take it out again; generator processes that run together share none."""
    mine = index.documents[first // NUMBERS_PER_STREAM % MOST_CONNECTIONS :: MOST_CONNECTIONS]
    choice.shuffle(mine)
    for stored in itertools.cycle(mine):
        path = f"/DocumentReference/{stored.document}"
        for value in (True, False):
            change = {"op": "replace", "path": f"/extension[url:'{EXT_IS_ARCHIVED}']/valueBoolean", "value": value}
            body = json.dumps([change]).encode()
            yield _request("PATCH", path, index.tokens[TREATING], body, "application/json-patch+json")


# Streams number what they publish from a multiple of this, so that no two of them meet.
NUMBERS_PER_STREAM = 1_000_000
MOST_CONNECTIONS = 16

OPERATIONS = (
    Operation("read", "read DocumentReference", b"200", _reads, 3000),
    Operation("retrieve", "ITI-68 retrieve, 7 kB", b"200", _retrievals, 3000),
    Operation("search", f"ITI-67 search, 10 of {DOCUMENTS_PER_PATIENT}", b"200", _searches, 1500, 15.0),
    Operation("publish", "ITI-65 publish, 17 kB", b"200", _lots, 500),
    Operation("simple", "ITI-105 publish, 3 kB", b"201", _simple_lots, 500),
    Operation("patch", "PATCH isArchived", b"200", _patches),
)


def kind_of(method: str, path: str, query: str) -> str:
    """The key of the operation that a request belongs to."""
    if method == "GET":
        if query:
            return "search"
        return "retrieve" if "/Binary/" in path else "read"
    if method == "PATCH":
        return "patch"
    return "simple" if path.endswith("DocumentReference") else "publish"


@dataclass(frozen=True, slots=True)
class Answers:
    """One answer of the server per operation: status line, headers, body."""

    by_kind: dict[str, tuple[str, list[tuple[str, str]], bytes]]

    def write(self, path: Path) -> None:
        path.write_bytes(pickle.dumps(self.by_kind))

    @classmethod
    def read(cls, path: Path) -> Answers:
        return cls(pickle.loads(path.read_bytes()))
