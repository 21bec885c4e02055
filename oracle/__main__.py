"""Compare our validator with HAPI's: python -m oracle (see oracle/README.md; `make oracle` prepares the Java side).

Prints agreement, differences by cause, times. Exit code 1 when a difference is neither mended nor explained.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dmp_fhir.profiles import active
from oracle.answers import Answer, as_written, of_hapi, of_models, of_ours
from oracle.cases import Case, cases
from oracle.compare import Difference, differences
from oracle.explained import Explanation, explain, explanations

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
TARGET = HERE / "target"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m oracle", description=__doc__)
    parser.add_argument("--count", type=int, default=10000, help="number of cases, those written by hand included")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="keep the figures in oracle/results.json")
    parser.add_argument("--reuse", action="store_true", help="HAPI's last answers, when the cases are the same")
    parser.add_argument("--show", type=int, default=3, help="examples of each unexplained difference")
    options = parser.parse_args()
    validator = as_written()
    every = cases(validator, options.count, options.seed)
    answers = TARGET / "answers.ndjson"
    if not options.reuse:
        _ask_hapi(every, answers)
    hapi, ours, models = list(of_hapi(answers, every)), list(of_ours(validator, every)), list(of_models(every))
    rows = [(case, mine, its) for case, mine, its in zip(every, ours, hapi, strict=True) if its.crash is None]
    found = [each for case, mine, its in rows for each in differences(case.id, mine.errors, its.errors)]
    known = explanations()
    why = [(each, explain(each, known)) for each in found]
    figures = _figures(every, ours, hapi, models, why) | {"seed": options.seed, "HAPI": _version()}
    _print(figures)
    unexplained = [each for each, reason in why if reason is None]
    _print_unexplained(unexplained, options.show)
    if options.record:
        RESULTS.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return 1 if unexplained else 0


def _ask_hapi(every: Sequence[Case], answers: Path) -> None:
    file = TARGET / "cases.ndjson"
    with file.open("wb") as lines:
        lines.writelines(case.line() for case in every)
    classes = f"{TARGET / 'classes'}:{(TARGET / 'classpath').read_text('utf-8').strip()}"
    subprocess.run(["java", "-Xmx3g", "-cp", classes, "Oracle", str(active.SHIPPED), file, answers], check=True)


def _version() -> str:
    """The version of HAPI that pom.xml pins."""
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    found = ElementTree.parse(HERE / "pom.xml").find("m:properties/m:hapi.version", space)  # noqa: S314 (our own file)
    return str(found.text) if found is not None else ""


Why = Sequence[tuple[Difference, Explanation | None]]


def _figures(
    every: Sequence[Case], ours: Sequence[Answer], hapi: Sequence[Answer], models: Sequence[Answer], why: Why
) -> dict[str, Any]:
    differing: dict[str, list[Explanation | None]] = defaultdict(list)
    for each, reason in why:
        differing[each.case].append(reason)
    judged = [n for n, its in enumerate(hapi) if its.crash is None]
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for n in judged:
        group = groups[every[n].group]
        group["cases"] += 1
        group["refused by both"] += bool(ours[n].errors) and bool(hapi[n].errors)
        group["refused by HAPI alone"] += bool(hapi[n].errors) and not ours[n].errors
        group["refused by us alone"] += bool(ours[n].errors) and not hapi[n].errors
        group["same verdict"] += bool(ours[n].errors) == bool(hapi[n].errors)
        group["same elements"] += every[n].id not in differing
        group["models: same verdict"] += bool(models[n].errors) == bool(hapi[n].errors)
        group["models: refused"] += bool(models[n].errors)
    causes: dict[str, dict[str, Any]] = {}
    for each, reason in why:
        name = reason.cause if reason else "unexplained"
        row = causes.setdefault(
            name,
            {"side": each.side, "cases": set(), "example": each.case},
        )
        row["cases"].add(each.case)
        row.setdefault("verdict", set()).update({each.case} if each.verdict else ())
    for row in causes.values():
        row["cases"], row["verdict"] = len(row["cases"]), len(row["verdict"])
    return {
        "cases": len(every),
        "crashes of HAPI": len(every) - len(judged),
        "groups": groups,
        "causes": dict(sorted(causes.items(), key=lambda each: -each[1]["cases"])),
        "times": {name: _times(every, judged, ours, hapi, models, name) for name in ("all", *groups)},
    }


def _times(
    every: Sequence[Case],
    judged: Sequence[int],
    ours: Sequence[Answer],
    hapi: Sequence[Answer],
    models: Sequence[Answer],
    group: str,
) -> dict[str, float]:
    """Medians in ms of processor time, and the median of the ratios case by case."""
    some = [n for n in judged if group in ("all", every[n].group)]

    def median(answers: Sequence[Answer]) -> float:
        return round(statistics.median(answers[n].seconds for n in some) * 1000, 4)

    ratio = statistics.median(hapi[n].seconds / max(ours[n].seconds, 1e-7) for n in some)
    return {"ours": median(ours), "HAPI": median(hapi), "models": median(models), "ratio": round(ratio)}


def _print(figures: dict[str, Any]) -> None:
    total: Counter[str] = Counter()
    for group in figures["groups"].values():
        total.update(group)
    print(f"{figures['cases']} cases, HAPI {figures['HAPI']}; HAPI threw on {figures['crashes of HAPI']}\n")
    names = list(total)
    print("| cases | " + " | ".join(names[1:]) + " | HAPI / ours |\n" + "| --- " * (len(names) + 1) + "|")
    for name, group in [*figures["groups"].items(), ("all", total)]:
        row = [f"{name} {group['cases']}", *(str(group[each]) for each in names[1:])]
        print("| " + " | ".join([*row, f"{figures['times'][name]['ratio']:.0f}"]) + " |")
    share = total["same verdict"] / total["cases"], total["same elements"] / total["cases"]
    print(f"\nsame verdict {share[0]:.2%}, same elements {share[1]:.2%}; fhir.resources: same verdict "
          f"{total['models: same verdict'] / total['cases']:.2%}")  # fmt: skip
    print(f"median times in ms: {figures['times']['all']}\n\ndifferences by cause (cases, of them verdicts):")
    for name, row in figures["causes"].items():
        print(f"  {row['cases']:5} {row['verdict']:5}  {row['side']:4}  {name}")


def _print_unexplained(unexplained: Sequence[Difference], most: int) -> None:
    by_rule: dict[tuple[str, bool, str], list[Difference]] = defaultdict(list)
    for each in unexplained:
        by_rule[each.side, each.verdict, each.error.rule].append(each)
    for (side, verdict, rule), some in sorted(by_rule.items(), key=lambda each: (-each[0][1], each[0][0])):
        print(f"\nunexplained, {side} alone{', verdict' if verdict else ''}: {rule or '(reader)'} ({len(some)})")
        for each in some[:most]:
            print(f"    {each.case[:120]} | {each.error.path} | {each.error.text[:220]}")


if __name__ == "__main__":
    sys.exit(main())
