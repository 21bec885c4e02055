"""The ceiling of the database: the very statements of each operation, run by the bare driver.

The statements are noted while the interactions run in this process and take them back at their commit; then separate
processes run them, each with one connection of apsw or psycopg, with the same settings of durability, and commit them.
Payload files are written and read again as they were.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import apsw
import psycopg
from psycopg.types.numeric import Int8Dumper

from benchmarks.fill import Caller, Place
from benchmarks.operations import MOST_CONNECTIONS, NUMBERS_PER_STREAM, Index, Operation
from benchmarks.world import AUTHORISED, TREATING
from dmp_fhir.app import build_services
from dmp_fhir.interactions.messages import Request
from dmp_fhir.store.payloads import PayloadStore
from dmp_fhir.store.sqlite import _PRAGMAS, path_of
from dmp_fhir.store.statements import for_psycopg, insert_into
from dmp_fhir.wire.json import parse_json

Step = tuple[str, str, Any]


class _Notebook:
    """Stands in the place of a connection of the store: notes what goes through, and commits nothing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.steps: list[Step] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def begin(self, write: bool) -> None:
        self.steps.append(("begin", "write" if write else "read", None))
        self._connection.begin(write)

    def commit(self) -> None:
        self.steps.append(("commit", "", None))
        self._connection.rollback()

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        self.steps.append(("one", sql, dict(params or {})))
        return self._connection.rows(sql, params)

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        self.steps.append(("one", sql, dict(params or {})))
        return self._connection.execute(sql, params)

    def insert(self, table: str, values: Mapping[str, Any]) -> None:
        self.steps.append(("one", insert_into(table, tuple(values)), dict(values)))
        self._connection.insert(table, values)

    def insert_many(self, table: str, rows: list[Mapping[str, Any]]) -> None:
        self.steps.append(("many", insert_into(table, tuple(rows[0])), [dict(row) for row in rows]))
        self._connection.insert_many(table, rows)


class _NotedPayloads:
    def __init__(self, store: PayloadStore, notebook: _Notebook) -> None:
        self._store = store
        self._notebook = notebook

    def put(self, content: bytes) -> bytes:
        self._notebook.steps.append(("put", "", content))
        return self._store.put(content)

    def put_pieces(self, pieces: Iterable[bytes]) -> bytes:
        return self.put(b"".join(pieces))

    def get(self, digest: bytes) -> bytes:
        self._notebook.steps.append(("get", "", digest))
        return self._store.get(digest)


def note(place: Place, operation: Operation, index: Index, count: int) -> list[list[Step]]:
    """The steps of at most `count` requests of an operation, no two of which write to the same document."""
    services = build_services(place.settings())
    holder = services.database._free[-1]
    notebook = _Notebook(holder.connection)
    holder.connection = notebook  # type: ignore[assignment]
    caller = Caller(replace(services, payloads=_NotedPayloads(services.payloads, notebook)))  # type: ignore[arg-type]
    contexts = {who: caller.context(who) for who in (TREATING, AUTHORISED)}
    stream = operation.stream(index, random.Random(1), _next_numbers() * NUMBERS_PER_STREAM)
    noted: list[list[Step]] = []
    patched: set[str | None] = set()
    for _ in range(count if operation.key != "patch" else min(2 * count, len(index.documents) // MOST_CONNECTIONS * 2)):
        who, request = _read_back(next(stream), index)
        if request.method == "PATCH":
            if request.id in patched:
                continue
            patched.add(request.id)
        notebook.steps = []
        caller.ask(contexts[who], request)
        noted.append(notebook.steps)
    services.database.close()
    return noted


_numbers = 1000


def _next_numbers() -> int:
    global _numbers
    _numbers += 1
    return _numbers


def _read_back(raw: bytes, index: Index) -> tuple[str, Request]:
    """The request that these bytes are, and who asks."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, address, _ = lines[0].split(" ")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    who = next(who for who, token in index.tokens.items() if headers["Authorization"].endswith(token))
    path, _, query = address.removeprefix("/fhir").partition("?")
    steps = path.split("/")[1:]
    if method == "POST":
        tree = parse_json(body)
        if steps:
            return who, Request("POST", resource_type=steps[0], tree=tree)
        return who, Request("POST", operation="bundle", tree=tree)
    return who, Request(
        method,
        resource_type=steps[0],
        id=steps[1] if len(steps) > 1 else None,
        parameters=tuple(parse_qsl(query)),
        accept=headers["Accept"],
        body=body,
        content_type=headers.get("Content-Type", ""),
        query=query.encode(),
    )


# --- running them again ---------------------------------------------------------------------------


def replay(place: Place, noted: list[list[Step]], workers: int) -> float:
    """Requests per second of `workers` processes that do nothing but these steps."""
    gate = multiprocessing.Barrier(workers + 1)
    times: Any = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=_replay, args=(place, noted[n::workers], gate, times)) for n in range(workers)
    ]
    for process in processes:
        process.start()
    gate.wait(60)
    spans = [times.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return len(noted) / (max(end for _, end in spans) - min(begun for begun, _ in spans))


def _replay(place: Place, noted: list[list[Step]], gate: Any, times: Any) -> None:
    run = _WithoutTrace(_on_sqlite(place.url) if place.database == "sqlite" else _on_postgresql(place.url))
    scratch = Path(tempfile.mkdtemp(dir=place.folder))
    payloads, stored = PayloadStore(scratch), PayloadStore(place.folder / "documents")
    acts: dict[str, Callable[[Any], Any]] = {"put": payloads.put, "get": stored.get}
    plan = [
        [partial(acts[kind], value) if kind in acts else partial(run, kind, sql, value) for kind, sql, value in steps]
        for steps in noted
    ]
    gate.wait(60)
    begun = time.monotonic()
    for steps in plan:
        for step in steps:
            step()
    times.put((begun, time.monotonic()))
    shutil.rmtree(scratch)


class _WithoutTrace:
    """Leaves out the rows of the trace: each entry has one place in its tree, and those noted were rolled back."""

    def __init__(self, run: Callable[[str, str, Any], Any]) -> None:
        self._run = run

    def __call__(self, kind: str, sql: str, params: Any) -> None:
        if "audit_" not in sql:
            self._run(kind, sql, params)


def _on_sqlite(url: str) -> Callable[[str, str, Any], Any]:
    connection = apsw.Connection(path_of(url), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=512)
    connection.set_busy_timeout(10_000)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    cursor = connection.cursor()
    begins = {"read": "BEGIN", "write": "BEGIN IMMEDIATE"}

    def run(kind: str, sql: str, params: Any) -> Any:
        if kind == "one":
            return cursor.execute(sql, params).fetchall()
        if kind == "many":
            cursor.executemany(sql, params)
        else:
            cursor.execute(begins[sql] if kind == "begin" else "COMMIT")

    return run


def _on_postgresql(url: str) -> Callable[[str, str, Any], Any]:
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=2)
    connection.adapters.register_dumper(int, Int8Dumper)
    cursor = connection.cursor(binary=True)
    begins = {
        "read": b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "write": b"BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
    }

    def run(kind: str, sql: str, params: Any) -> Any:
        if kind == "one":
            cursor.execute(for_psycopg(sql), params)
            return cursor.fetchall() if cursor.description else []
        if kind == "many":
            cursor.executemany(for_psycopg(sql), params)
        else:
            connection.pgconn.exec_(begins[sql] if kind == "begin" else b"COMMIT")

    return run


# --- the trace ------------------------------------------------------------------------------------


def trace_share(place: Place, operation: Operation, index: Index, count: int) -> tuple[float, float]:
    """Seconds of one request inside the interactions, and those spent in the transaction of the trace (a read)."""
    services = build_services(place.settings())
    caller = Caller(services)
    contexts = {who: caller.context(who) for who in (TREATING, AUTHORISED)}
    stream = operation.stream(index, random.Random(2), 0)
    requests = [_read_back(next(stream), index) for _ in range(count)]
    spent = 0.0
    write = services.database.write

    def timed(work: Any) -> Any:
        nonlocal spent
        begun = time.perf_counter()
        result = write(work)
        spent += time.perf_counter() - begun
        return result

    services.database.write = timed  # type: ignore[method-assign]
    begun = time.perf_counter()
    for who, request in requests:
        caller.ask(contexts[who], request)
    total = time.perf_counter() - begun
    services.database.close()
    return total / count, spent / count
