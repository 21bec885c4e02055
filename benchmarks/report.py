"""The table."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from benchmarks.load import Measure
from benchmarks.operations import Operation


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Requests per second of a WSGI function that only answers, and of the bare driver doing the same SQL."""

    bare: float
    raw: float

    @property
    def together(self) -> float:
        """Both, one after the other."""
        return 1 / (1 / self.bare + 1 / self.raw)


@dataclass(frozen=True, slots=True)
class Result:
    database: str
    documents: int
    workers: int
    operation: Operation
    measure: Measure
    ceiling: Ceiling

    @property
    def place(self) -> tuple[str, int, int]:
        return self.database, self.workers, self.documents


@dataclass(slots=True)
class Run:
    machine: list[str]
    sync: tuple[float, float]
    seconds: float
    connections: int
    options: str
    databases: dict[str, str] = field(default_factory=dict)
    fills: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    starts: dict[tuple[str, int, int], float] = field(default_factory=dict)
    memory: dict[tuple[str, int, int], int] = field(default_factory=dict)
    sizes: dict[tuple[str, int], int] = field(default_factory=dict)
    traces: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    bare: dict[int, dict[str, Measure]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)


def report(run: Run) -> str:
    parts = ["# Results", _head(run)]
    for database in run.databases:
        for workers in sorted({each.workers for each in run.results}, reverse=True):
            for documents in sorted({each.documents for each in run.results}):
                if found := [
                    r for r in run.results if (r.database, r.workers, r.documents) == (database, workers, documents)
                ]:
                    plural = "workers" if workers > 1 else "worker"
                    parts += [f"## {database}, {documents:,} documents, {workers} {plural}", _table(found)]
    parts += [
        "## Under target",
        _under(run),
        "## Growth",
        _growth(run),
        "## Start, memory, trace",
        _rest(run),
        _READING,
    ]
    return "\n\n".join(parts) + "\n"


def _head(run: Run) -> str:
    lines = [
        *run.machine,
        *run.databases.values(),
        f"the disk keeps 4 kB in {run.sync[0] * 1e6:.0f} µs (median), {run.sync[1] * 1e6:.0f} µs (95th percentile)",
        f"{run.connections} keep-alive connections, {run.seconds:g} s per measure, generator on the same cores",
        "validation, policy and trace on; every read waits until its trace is on the disk",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _rows(header: str, rows: list[list[str]], words: int = 1) -> str:
    """A Markdown table; the first `words` columns are text, the others numbers."""
    names = header.split(" | ")
    rule = ["---"] * words + ["---:"] * (len(names) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rule, *rows])


def _table(results: list[Result]) -> str:
    header = (
        "operation | req/s | p50 ms | p95 ms | p99 ms | CPU µs | bare WSGI/s | ratio | same SQL, driver alone/s | ratio"
        " | both in a row/s | ratio | target/s | met"
    )
    rows = []
    for each in results:
        m, c = each.measure, each.ceiling
        target = each.operation.target if each.workers > 1 else None
        numbers = [f"{m.per_second:,.0f}", *(f"{m.quantile(share) * 1e3:.1f}" for share in (0.5, 0.95, 0.99))]
        numbers.append(f"{m.cpu * 1e6:.0f}")
        for ceiling in (c.bare, c.raw, c.together):
            numbers += [f"{ceiling:,.0f}", f"{m.per_second / ceiling:.2f}"]
        met = "" if target is None else ("yes" if _met(each) else "**no**")
        rows.append([each.operation.name, *numbers, f"{target:,}" if target else "", met])
    return _rows(header, rows)


def _met(result: Result) -> bool:
    target, p95 = result.operation.target or 0, result.operation.target_p95_ms
    return result.measure.per_second >= target and (p95 is None or result.measure.quantile(0.95) * 1e3 <= p95)


def _growth(run: Run) -> str:
    sizes = sorted({each.documents for each in run.results})
    if len(sizes) < 2:
        return "One size only."
    workers = max(each.workers for each in run.results)
    compared = [each for each in run.results if each.workers == workers]
    large = {(each.database, each.operation.key): each.measure for each in compared if each.documents == sizes[-1]}
    rows = []
    for each in compared:
        if each.documents == sizes[0] and (each.database, each.operation.key) in large:
            a, b = each.measure, large[each.database, each.operation.key]
            spans = [f"{a.quantile(0.5) * 1e3:.2f}", f"{b.quantile(0.5) * 1e3:.2f}"]
            factors = [f"{b.quantile(0.5) / a.quantile(0.5):.2f}", f"{b.cpu / a.cpu:.2f}"]
            rows.append([each.database, each.operation.name, *spans, *factors])
    header = f"database | operation | p50 ms at {sizes[0]:,} | p50 ms at {sizes[-1]:,} | factor | factor of CPU"
    return _rows(header, rows, 2) + "\n\nTarget for searches and reads: below 1.5."


def _rest(run: Run) -> str:
    header = (
        "database | documents | start to first answer, s | memory per worker, MB | database, MB | loading, documents/s"
        " | read inside the interactions, µs | of which trace"
    )
    rows = []
    for database, documents in run.traces:
        size = run.sizes[database, documents]
        count, seconds = run.fills[database, documents]
        whole, trace = run.traces[database, documents]
        start = max(value for key, value in run.starts.items() if key[:2] == (database, documents))
        memory = max(value for key, value in run.memory.items() if key[:2] == (database, documents))
        rows.append(
            [
                database,
                f"{documents:,}",
                f"{start:.2f}",
                f"{memory / 1e6:.0f}",
                f"{size / 1e6:,.0f}",
                f"{count / seconds:,.0f}",
                f"{whole * 1e6:.0f}",
                f"{trace / whole:.0%}",
            ]
        )
    return _rows(header, rows) + "\n\nTargets: start 1.5 s, memory 250 MB per worker. Payload files are not counted."


_READING = """\
## Reading these tables

- *CPU µs* is the processor time of the server, and of PostgreSQL, per request: two cores can't do better than 2,000,000
  divided by it, less what the generator takes. It is the figure that changes least when the machine is busy.
- *bare WSGI*: a function that reads the request and answers the same bytes, on the same Granian. *same SQL*: the very
  statements of the operation, payload files included, run and committed by apsw or psycopg alone, in as many processes
  as there are workers. *both in a row*: 1 / (1/bare + 1/SQL), what a program would reach that did nothing else.
- Every operation ends with a commit that is on the disk, reads too: their trace is (design decision 5). When the disk
  takes long to keep 4 kB (above), that is what is measured, and the column *same SQL* falls with it.
- Documents are loaded in process through the interactions, with validation, policy and trace, without waiting for the
  disk; then they are put on the disk that is measured."""


def _under(run: Run) -> str:
    """Each target that is missed, with what it would take."""
    lines = []
    for each in run.results:
        if each.workers > 1 and each.operation.target and not _met(each):
            m = each.measure
            bound = "processor" if m.cpu * m.per_second > 1.2 else "disk and locks"
            lines.append(
                f"- {each.database}, {each.documents:,} documents, {each.operation.name}: {m.per_second:,.0f}/s of"
                f" {each.operation.target:,}/s, p95 {m.quantile(0.95) * 1e3:.1f} ms; {m.cpu * m.per_second:.1f} of"
                f" {os.cpu_count()} cores busy with it, so bound by the {bound}; the same SQL alone does"
                f" {each.ceiling.raw:,.0f}/s"
            )
    return "\n".join(lines) or "Nothing."
