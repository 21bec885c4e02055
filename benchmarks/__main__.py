"""Runs the benchmark and writes results.md: python -m benchmarks --help"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import apsw
import psycopg

from benchmarks import raw_sql
from benchmarks.fill import Place, fill, index_of
from benchmarks.load import Client, Measure, measure
from benchmarks.machine import describe, sync_cost
from benchmarks.operations import NUMBERS_PER_STREAM, OPERATIONS, Answers, Index
from benchmarks.postgres import analyse, durability, hurried, postgres_server
from benchmarks.report import Ceiling, Result, Run, report
from benchmarks.servers import Server, bare, registry
from dmp_fhir.store import schema
from tests.support.postgres import PostgresServer

HERE = Path(__file__).parent
WORKERS = 2


def main() -> None:
    options = _options()
    run = Run(describe(), sync_cost(options.folder), options.seconds, options.connections, " ".join(sys.argv[1:]))
    for database in options.databases:
        with _server_of(database) as server, tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as folder:
            _measure_database(run, database, server, Path(folder), options)
    print(report(run))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--documents", default="10000,100000", help="sizes of the registry")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--operations", default=",".join(each.key for each in OPERATIONS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measure")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument(
        "--quick", action="store_true", help="1,000 documents, 1 second each; results.md stays as it is"
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to be measured")
    options = parser.parse_args()
    options.documents = [1_000] if options.quick else [int(each) for each in options.documents.split(",")]
    options.seconds = 1.0 if options.quick else options.seconds
    options.databases = options.databases.split(",")
    options.operations = [each for each in OPERATIONS if each.key in options.operations.split(",")]
    return options


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@contextmanager
def _server_of(database: str) -> Iterator[PostgresServer | None]:
    if database == "sqlite":
        yield None
    else:
        with postgres_server() as server:
            yield server


def _measure_database(
    run: Run, database: str, server: PostgresServer | None, folder: Path, options: argparse.Namespace
) -> None:
    there = 0
    for documents in options.documents:
        place = _filled(run, database, server, folder, there, documents)
        there = documents
        index = index_of(place)
        for workers in (WORKERS, 1) if documents == options.documents[0] else (WORKERS,):
            _measure_place(run, place, server, index, documents, workers, options)
        read = next(each for each in OPERATIONS if each.key == "read")
        run.traces[database, documents] = raw_sql.trace_share(place, read, index, 300)
        if not options.quick:
            # After each size: a run that is stopped keeps what it measured.
            (HERE / "results.md").write_text(report(run), "utf-8")


def _filled(run: Run, database: str, server: PostgresServer | None, folder: Path, first: int, last: int) -> Place:
    """The registry with `last` documents: filled in memory where there is room, then moved to the disk."""
    _say(f"{database}: filling to {last} documents")
    url = server.url("postgres") if server else f"sqlite:///{folder / 'registry.sqlite'}"
    place = Place(database, folder, url)
    room = "/dev/shm" if Path("/dev/shm").is_dir() else folder.parent
    with tempfile.TemporaryDirectory(dir=room, prefix="bench-") as memory:
        working = Place(database, Path(memory), url if server else f"sqlite:///{Path(memory) / 'registry.sqlite'}")
        shutil.copytree(folder, memory, dirs_exist_ok=True)
        if not first:
            schema.upgrade(working.url)
        with hurried(server) if server else nullcontext():
            seconds = fill(working, first, last)
        shutil.copytree(memory, folder, dirs_exist_ok=True)
    if server:
        analyse(url)
        run.databases[database] = durability(url)
    else:
        run.databases[database] = f"SQLite {apsw.sqlite_lib_version()}, WAL, synchronous FULL"
    os.sync()
    run.fills[database, last] = (last - first, seconds)
    run.sizes[database, last] = _bytes_of(place, server)
    return place


def _measure_place(
    run: Run,
    place: Place,
    server: PostgresServer | None,
    index: Index,
    documents: int,
    workers: int,
    options: argparse.Namespace,
) -> None:
    with registry(place, workers) as running:
        run.starts[place.database, documents, workers] = running.seconds_to_first_answer
        answers = _answers(running, index, options)
        results = {}
        for operation in options.operations:
            beside = server.process if server else None
            results[operation.key] = measure(running, operation, index, options.seconds, options.connections, beside)
            _say(f"{place.database} {documents} {workers}w {operation.name}: {results[operation.key].per_second:.0f}/s")
        run.memory[place.database, documents, workers] = running.worker_memory()
    ceilings = _bare_ceilings(run, answers, index, workers, options)
    for operation in options.operations:
        noted = raw_sql.note(place, operation, index, 100 if options.quick else 400)
        raw = raw_sql.replay(place, noted, workers)
        ceiling = Ceiling(ceilings[operation.key].per_second, raw)
        run.results.append(Result(place.database, documents, workers, operation, results[operation.key], ceiling))


def _answers(running: Server, index: Index, options: argparse.Namespace) -> Answers:
    """One answer per operation, as the server gives it."""
    client = Client(running.port)
    found = {}
    for number, operation in enumerate(options.operations):
        stream = operation.stream(index, random.Random(3), (9000 + number + running.port * 10) * NUMBERS_PER_STREAM)
        head, body = client.ask(next(stream))
        lines = head.decode("latin-1").split("\r\n")
        if operation.key == "search" and body.count(b'"mode":"match"') != 10:
            raise RuntimeError(f"the search found {body.count(b'match')} documents, not 10")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:] if not line.lower().startswith(("date", "server"))]
        found[operation.key] = (lines[0].partition(" ")[2], headers, body)
    return Answers(found)  # type: ignore[arg-type]


def _bare_ceilings(
    run: Run, answers: Answers, index: Index, workers: int, options: argparse.Namespace
) -> dict[str, Measure]:
    """Measured once per number of workers: neither the database nor the size of the registry has a part in it."""
    if workers not in run.bare:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "answers"
            answers.write(path)
            with bare(path, workers) as running:
                run.bare[workers] = {
                    operation.key: measure(running, operation, index, min(options.seconds, 3.0), options.connections)
                    for operation in options.operations
                }
    return run.bare[workers]


def _bytes_of(place: Place, server: PostgresServer | None) -> int:
    """Bytes of the database, without payloads."""
    if server is None:
        return sum(path.stat().st_size for path in place.folder.glob("registry.sqlite*"))
    with psycopg.connect(place.url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    main()
