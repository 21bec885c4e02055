"""What the trace costs: python -m benchmarks.trace [--entries 100000]. Writes trace.md.

Processor time, in process, on SQLite in memory: of each act, and the part of it that makes its entries and gives them
their place in the log; of a proof, and of the verification of a log of some size (TF-179).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

from werkzeug.test import create_environ

from dmp_fhir.app import create_app, leave_what_is_built, open_database
from dmp_fhir.audit import keeping, log, placing
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.answers import inclusion_answer
from dmp_fhir.audit.heads import HeadKeys
from dmp_fhir.audit.proofs import inclusion
from dmp_fhir.audit.verification import verify
from dmp_fhir.cli.loading import Loader, world_files
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema
from tests.writing import lots

PAGE = Path(__file__).with_name("trace.md")
WHO = AccessContext("PS", "899700000112", "Dr Anne Moreau", "CPS", profession="10", structure="1990000010")
CLAIRE = f"patient.identifier=urn:oid:1.2.250.1.213.1.4.10|{lots.CLAIRE_INS}"
ROUNDS = 150
RECORDS = 5_000


class Spent:
    """Processor time spent in some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return original(*arguments, **named)
            finally:
                self.seconds += time.process_time() - started

        setattr(owner, name, timed)


def acts(folder: Path) -> list[str]:
    """A line per act: microseconds of the request, of its trace, and the ratio."""
    url = f"sqlite:///{folder}/registry.sqlite"
    schema.upgrade(url)
    app = create_app(Settings(data_folder=folder, database_url=url))
    services = app.extensions["dmp_fhir"]
    Loader(services, None).load(world_files())
    leave_what_is_built()
    spent = Spent()
    for owner, name in ((log, "rows_of"), (log, "append_rows"), (keeping, "append_rows")):
        spent.around(owner, name)
    bearer = {"Authorization": f"Bearer {Sandbox(folder / 'keys').issue('dr-moreau', now_ms=services.clock())}"}

    def request(method: str, path: str, body: bytes = b"", kind: str = "application/fhir+json") -> WSGIEnvironment:
        headers = bearer | ({"Content-Type": kind} if body else {})
        path, _, query = path.partition("?")
        return create_environ("/fhir" + path, method=method, query_string=query, data=body, headers=headers)

    def ask(environ: WSGIEnvironment) -> bytes:
        said: list[str] = []
        answer = b"".join(app.wsgi_app(environ, lambda status, headers: said.append(status)))
        if said[0] >= "3":
            raise RuntimeError(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}: {said[0]}")
        return answer

    found = json.loads(ask(request("GET", f"/DocumentReference?{CLAIRE}&status=current&_count=50")))["entry"]
    document = next(each["resource"] for each in found if "content" in each["resource"])
    address = f"/DocumentReference/{document['id']}"
    binary = document["content"][0]["attachment"]["url"].partition("/fhir")[2]
    patch, ten = "application/json-patch+json", f"/DocumentReference?{CLAIRE}&status=current&_count=10"
    operations: dict[str, Callable[[int], WSGIEnvironment]] = {
        "read": lambda n: request("GET", address),
        "retrieve (ITI-68)": lambda n: request("GET", binary),
        "search of ten (ITI-67)": lambda n: request("GET", ten),
        "publish (ITI-65)": lambda n: request("POST", "", lots.body(lots.lot(f"t{n}", b"x" * 500))),
        "patch": lambda n: request("PATCH", address, json.dumps([lots.archived(n % 2 == 0)]).encode(), patch),
    }
    lines = []
    for name, made in operations.items():
        for n in range(10):
            ask(made(n))
        requests = [made(n) for n in range(10, 10 + ROUNDS)]
        spent.seconds, started = 0.0, time.process_time()
        for each_request in requests:
            ask(each_request)
        whole = time.process_time() - started
        each, trace = whole / ROUNDS * 1e6, spent.seconds / ROUNDS * 1e6
        lines.append(f"| {name} | {each:.0f} | {trace:.0f} | {trace / each:.2f} |")
    services.database.close()
    return lines


def size(folder: Path, entries: int) -> str:
    """A log of `entries`: what it costs to add one, to prove one, to verify all."""
    url = f"sqlite:///{folder}/log.sqlite"
    schema.upgrade(url)
    database = open_database(Settings(data_folder=folder, database_url=url))
    assert database.keys is not None
    database.keys.store.make([f"record-{number}" for number in range(RECORDS)], 1_795_000_000_000)
    read = Act("read", "R", entities=(("DocumentReference", "d", 1),))
    started = time.process_time()
    for first in range(0, entries, 500):
        records = [replace(read, record_id=f"record-{n % RECORDS}") for n in range(first, min(first + 500, entries))]
        rows = log.rows_of(records, WHO, 1_795_000_000_000 + first)
        database.write(lambda tx, rows=rows: placing.append_rows(tx, rows))  # type: ignore[misc]
    added = time.process_time() - started
    database.sealing.seal_now()
    with database.snapshot() as reader:
        ids = [row[0] for row in reader.rows("SELECT id FROM audit_event WHERE position % 997 = 0")]
    started, longest, largest = time.process_time(), 0.0, 0
    for event_id in ids:
        before = time.process_time()
        with database.snapshot() as reader:
            proof = inclusion(reader, event_id)
        assert proof is not None
        longest = max(longest, time.process_time() - before)
        largest = max(largest, len(json.dumps(inclusion_answer(proof, open_place=True))))
    proving = (time.process_time() - started) / len(ids)
    started = time.process_time()
    report = verify(database, HeadKeys(folder / "keys").public(), database.sealing.witness, 1_795_000_000_000)
    verifying = time.process_time() - started
    if not report.proven or report.entries != entries:
        raise RuntimeError(str(report.findings))
    database.close()
    return (
        f"| {entries:,} | {added / entries * 1e6:.0f} | {proving * 1e3:.1f} | {longest * 1e3:.1f} | {largest:,} |"
        f" {entries / verifying:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace", description=__doc__)
    parser.add_argument("--entries", default="10000,100000")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        lines = acts(folder)
        sizes = []
        for n, entries in enumerate(options.entries.split(",")):
            (folder / str(n)).mkdir()
            sizes.append(size(folder / str(n), int(entries)))
    finally:
        shutil.rmtree(folder)
    page = f"""# The cost of the trace

Written by `python -m benchmarks.trace` on {time.strftime("%Y-%m-%d", time.gmtime())}: processor time, in process
(from the WSGI request to the answer), SQLite in memory. *Trace* is making the entries and giving them their place
(rows, hashes, tree), part of *request*; each request alone, that is without shared commits.

| act | request, µs | trace, µs | ratio |
| --- | --- | --- | --- |
{chr(10).join(lines)}

TF-179: a proof under 50 ms and 4 kB, 20,000 entries verified per second.

| entries | to add one (500 together), µs | a proof, ms | the longest | bytes of the largest | verified per second |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(sizes)}
"""
    PAGE.write_text(page, "utf-8")
    print(page)


if __name__ == "__main__":
    main()
