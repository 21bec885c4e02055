"""What the access rules cost: python -m benchmarks.policy [--documents 5000] [--databases sqlite,postgresql]

The pure decision, the standing, the compiling of the predicate, the second look; then ITI-67 (a search of ten, in
process, trace included) beside the same search with every document allowed and no second look. Two records, the
documents of each signed by forty professionals: one with a tenth of its documents masked, one with nine tenths. The
caller is one of them, or none. What matters are the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from benchmarks.fill import Caller, Place, as_patient
from benchmarks.machine import describe
from benchmarks.postgres import analyse, postgres_server
from benchmarks.world import AUTHORISED, INS, TREATING, Lots, choices, opening, patient
from dmp_fhir.app import build_services
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.interactions import gate
from dmp_fhir.interactions.messages import Request
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import DocumentFacts, author_key
from dmp_fhir.policy.predicate import Predicate, document_predicate
from dmp_fhir.policy.second_look import SecondLook
from dmp_fhir.policy.standing import Permit, Standing, load_standing
from dmp_fhir.store import schema
from dmp_fhir.store.identifiers import keys_of

HERE = Path(__file__).parent
NOW = 1_790_000_000_000
ME, OTHER = "899700000146", "899700000112"
COLLEAGUE = "899700008007"
EVERYTHING = Predicate("1 = 1")


def microseconds(work: Callable[[], object], *, rounds: int = 25, each: int = 200) -> float:
    """The median processor time of one call of pure work."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(each):
            work()
        times.append((time.process_time() - started) / each)
    return statistics.median(times) * 1e6


def interleaved(first: Callable[[], object], second: Callable[[], object], *, rounds: int = 800) -> tuple[float, float]:
    """The lower quartiles of two pieces of work done in turn: whatever else the machine does weighs on both, least
    there."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, taken in zip((first, second), times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    quartiles = [statistics.quantiles(taken)[0] * 1e6 for taken in times]
    return quartiles[0], quartiles[1]


# --- without a database ---------------------------------------------------------------------------


def pure() -> Iterator[str]:
    doctor = AccessContext("PS", ME, "Dr", "CPS", profession="10", structure="1990000010")
    glass = replace(doctor, purpose="bris_de_glace", reason="patient inconscient aux urgences", token_id="one")
    holder = AccessContext("PATIENT", "1", "P", "PORTAIL", purpose="patient", person_id="x|1")
    permits = tuple(Permit("Practitioner", name) for name in (*(f"8997000009{n:02}" for n in range(10)), ME))
    record = Standing("record", "open", ins=frozenset({"x|1"}), permits=permits)
    document = DocumentFacts("http://loinc.org", "11488-4", author_persons=frozenset({OTHER}), deposited_ms=1)
    masked = replace(document, labels=frozenset({"MASQUE_PS"}))
    cases = (
        ("authorised professional (11 authorisations in the record), document", doctor, record, document),
        ("authorised professional, masked document", doctor, record, masked),
        ("treating physician", doctor, replace(record, treating_physicians=frozenset({ME})), document),
        ("patient", holder, record, document),
        ("break-glass", glass, replace(record, permits=()), document),
        ("stranger", doctor, replace(record, permits=()), document),
        ("blocked", doctor, replace(record, blocked=frozenset({ME})), document),
    )
    yield "| decision (`decide`, DOC_READ) | µs |"
    yield "| --- | --- |"
    for name, context, standing, paper in cases:
        taken = microseconds(lambda c=context, s=standing, d=paper: decide(c, Action.DOC_READ, s, d, NOW))
        yield f"| {name} | {taken:.1f} |"
    predicate = document_predicate(doctor, record, NOW)
    again: SecondLook | None = predicate.again
    assert again is not None
    yield f"| compiling the predicate | {microseconds(lambda: document_predicate(doctor, record, NOW)):.1f} |"
    yield f"| second look at one document | {microseconds(lambda: again.shows(document)):.2f} |"
    yield ""


# --- with one ------------------------------------------------------------------------------------


def on(database: str, folder: Path, url: str, documents: int) -> Iterator[str]:
    place = Place(database, folder, url)
    schema.upgrade(url)
    services = build_services(place.settings())
    caller, lots = Caller(services), Lots()
    records = {}
    for number, (count, hidden) in enumerate(((200, 10), (documents, 90))):
        who = patient(number)
        caller.ask(caller.context("exploitant"), Request("POST", operation="bundle", tree=opening(who)))
        caller.ask(caller.context(as_patient(who)), Request("POST", operation="bundle", tree=choices(who)))
        physician = caller.context(TREATING)
        for n in range(count):
            caller.post(physician, lots.lot(who, number * 1_000_000 + n))
        records[hidden] = (who, _spread(services, who.ins, hidden))
    if database == "postgresql":
        analyse(url)
    readers = {"author of none": caller.context(AUTHORISED)}
    readers["author of a fortieth"] = replace(readers["author of none"], actor_id=COLLEAGUE)
    record = records[10][1]
    with services.database.snapshot() as reader:
        author = (AUTHORISED, None)
        taken = microseconds(lambda: load_standing(reader, record, services.clock(), author=author), each=50)
    yield f"| {database}: standing | {taken:.0f} | | |"
    for hidden, (who, _) in records.items():
        request = Request(
            "GET",
            "DocumentReference",
            parameters=(("patient.identifier", f"{INS}|{who.ins}"), ("status", "current"), ("_count", "10")),
        )
        for role, context in readers.items():
            with_policy, without = interleaved(
                lambda ask=request, who=context: caller.ask(who, ask),
                lambda ask=request, who=context: _without(caller, who, ask),
            )
            size = 200 if hidden == 10 else documents
            yield (
                f"| {database}: ITI-67, ten of {size} documents, {hidden} % hidden, {role} |"
                f" {with_policy:.0f} | {without:.0f} | {with_policy / without:.2f} |"
            )
    services.database.close()


def _spread(services: object, ins: str, percent: int) -> str:
    """Masks so many documents of a hundred and gives them forty authors; the record. The columns are enough: bodies are
    not read by rules."""
    with services.database.transaction() as tx:  # type: ignore[attr-defined]
        record = tx.rows("SELECT record_id FROM ins WHERE value = :ins", {"ins": keys_of(tx).hidden(ins)})[0][0]
        names = [row[0] for row in tx.rows("SELECT id FROM document WHERE record_id = :record", {"record": record})]
        for n, name in enumerate(names):
            author = f"8997000080{n % 40:02}"
            values = {"record": record, "name": name, "author": author, "key": author_key([("person", author)])}
            tx.execute(
                f"UPDATE document SET masked_professionals = {'TRUE' if n % 100 < percent else 'FALSE'},"
                " author_key = :key WHERE record_id = :record AND id = :name",
                values,
            )
            tx.execute(
                "UPDATE document_author SET identifier = :author"
                " WHERE record_id = :record AND document_id = :name AND kind = 'person'",
                values,
            )
    return str(record)


def _without(caller: Caller, context: AccessContext, request: Request) -> None:
    """The same request with every document allowed."""
    with patch.object(gate, "document_predicate", lambda *_, **__: EVERYTHING):
        caller.ask(context, request)


@contextmanager
def _place(database: str) -> Iterator[tuple[Path, str]]:
    server_of = postgres_server() if database == "postgresql" else nullcontext()
    with tempfile.TemporaryDirectory(prefix="bench-policy-") as folder, server_of as server:
        url = f"sqlite:///{folder}/registry.sqlite" if server is None else server.create_database("policy")
        yield Path(folder), url


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description=__doc__)
    parser.add_argument("--documents", type=int, default=5_000, help="of the large record")
    parser.add_argument("--databases", default="sqlite,postgresql")
    options = parser.parse_args()
    lines = ["# What the access rules cost", "", *(f"- {line}" for line in describe()), "", *pure()]
    lines += ["| in process, trace included | µs with the rules | µs without | ratio |", "| --- | --- | --- | --- |"]
    for database in options.databases.split(","):
        with _place(database) as (folder, url):
            lines += on(database, folder, url, options.documents)
    text = "\n".join([*lines, "", "Targets: decision 20 µs, ratio 1.15.", ""])
    print(text)
    (HERE / "policy.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
