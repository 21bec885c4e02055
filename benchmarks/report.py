"""The table."""

from __future__ import annotations

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
    parts += ["## Growth", _growth(run), "## Start, memory, trace", _rest(run)]
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


def _table(results: list[Result]) -> str:
    rows = [
        "| operation | req/s | p50 ms | p95 ms | p99 ms | CPU µs | bare WSGI/s | ratio | same SQL, driver alone/s | ratio |"
        " both/s | ratio | target/s | met |",
        "| --- |" + " ---: |" * 12 + " --- |",
    ]
    for each in results:
        m, c = each.measure, each.ceiling
        target = each.operation.target if each.workers > 1 else None
        met = "" if target is None else ("yes" if _met(each) else "**no**")
        rows.append(
            f"| {each.operation.name} | {m.per_second:,.0f} | {m.quantile(0.5) * 1e3:.1f} | {m.quantile(0.95) * 1e3:.1f}"
            f" | {m.quantile(0.99) * 1e3:.1f} | {m.cpu * 1e6:.0f} | {c.bare:,.0f} | {m.per_second / c.bare:.2f}"
            f" | {c.raw:,.0f} | {m.per_second / c.raw:.2f} | {c.together:,.0f} | {m.per_second / c.together:.2f}"
            f" | {f'{target:,}' if target else ''} | {met} |"
        )
    return "\n".join(rows)


def _met(result: Result) -> bool:
    target, p95 = result.operation.target or 0, result.operation.target_p95_ms
    return result.measure.per_second >= target and (p95 is None or result.measure.quantile(0.95) * 1e3 <= p95)


def _growth(run: Run) -> str:
    sizes = sorted({each.documents for each in run.results})
    if len(sizes) < 2:
        return "One size only."
    rows = [
        f"| database | operation | p50 ms at {sizes[0]:,} | p50 ms at {sizes[-1]:,} | factor | CPU factor |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    by_key = {(r.database, r.operation.key, r.documents, r.workers): r for r in run.results}
    workers = max(r.workers for r in run.results)
    for (database, key, documents, count), small in by_key.items():
        large = by_key.get((database, key, sizes[-1], workers))
        if documents == sizes[0] and count == workers and large:
            a, b = small.measure, large.measure
            rows.append(
                f"| {database} | {small.operation.name} | {a.quantile(0.5) * 1e3:.2f} | {b.quantile(0.5) * 1e3:.2f}"
                f" | {b.quantile(0.5) / a.quantile(0.5):.2f} | {b.cpu / a.cpu:.2f} |"
            )
    return "\n".join(rows) + "\n\nTarget: below 1.5."


def _rest(run: Run) -> str:
    rows = [
        "| database | documents | start to first answer, s | memory per worker, MB | database, MB | loading, documents/s |"
        " read in the interactions, µs | of which trace |",
        "| --- |" + " ---: |" * 7,
    ]
    for (database, documents), size in run.sizes.items():
        count, seconds = run.fills[database, documents]
        whole, trace = run.traces[database, documents]
        starts = [value for key, value in run.starts.items() if key[:2] == (database, documents)]
        memory = [value for key, value in run.memory.items() if key[:2] == (database, documents)]
        rows.append(
            f"| {database} | {documents:,} | {max(starts):.2f} | {max(memory) / 1e6:.0f} | {size / 1e6:,.0f}"
            f" | {count / seconds:,.0f} | {whole * 1e6:.0f} | {trace / whole:.0%} |"
        )
    return "\n".join(rows) + "\n\nTargets: start 1.5 s, memory 250 MB per worker."
