"""What a client did, for people: the live page, the report in one HTML file (the same), and the terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dmp_fhir.conformance.client import shown
from dmp_fhir.conformance.clients.expectations import (
    MISSING,
    SEEN,
    WRONG,
    Judged,
    Result,
    Verdict,
    request_text,
)
from dmp_fhir.conformance.clients.recording import media_type_of

WORDS = {
    "fr": {SEEN: "juste", WRONG: "faux", MISSING: "pas vu"},
    "en": {SEEN: "right", WRONG: "wrong", MISSING: "not seen"},
}
_COLOURS = {SEEN: "green", WRONG: "red", MISSING: "yellow"}
Tree = dict[str, Any]


def write_html(result: Result, language: str, *, live: bool = False, refresh_s: int = 0) -> str:
    """The page; of the `live` one, `refresh_s` makes a browser ask again (0: paused, to read in peace)."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("dmp_fhir.conformance.clients").joinpath("report.html").read_text("utf-8")
    return environment.from_string(source).render(
        fr=language == "fr",
        language=language,
        live=live,
        refresh_s=refresh_s,
        title=result.profile.title.in_language(language),
        conforming=result.conforming,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        verdicts=[_verdict(each, language) for each in result.verdicts],
        exchanges=[_exchange(each, language) for each in reversed(result.judged)],
    )


def write_json(result: Result, language: str) -> str:
    tree = {
        "profile": result.profile.name,
        "conforming": result.conforming,
        "expectations": [
            {name: value for name, value in _verdict(each, language).items() if name != "word"}
            for each in result.verdicts
        ],
        "exchanges": [_exchange(each, language) for each in result.judged],
    }
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def summary(console: Console, result: Result, language: str) -> None:
    """The profile on a terminal, and what was wrong in each request."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for each in result.verdicts:
        word = WORDS[language][each.state]
        table.add_row(
            f"[{_COLOURS[each.state]}]{word}[/]",
            each.expectation.obligation,
            escape(each.expectation.title.in_language(language)),
            str(len(each.exchanges)),
        )
    console.print(table)
    for judged in result.judged:
        if judged.faults:
            console.print(f"[bold]{judged.exchange.number}[/] {escape(judged.exchange.asked.line)}", highlight=False)
            for fault in judged.faults:
                text = f"  {fault.obligation}: {fault.text.in_language(language)} ({fault.source.text})"
                console.print(escape(text), highlight=False)


def _verdict(verdict: Verdict, language: str) -> Tree:
    return {
        "id": verdict.expectation.id,
        "title": verdict.expectation.title.in_language(language),
        "obligation": verdict.expectation.obligation,
        "source": {"text": verdict.expectation.source.text, "url": verdict.expectation.source.url},
        "state": verdict.state,
        "word": WORDS[language][verdict.state],
        "seen": [each.exchange.number for each in verdict.exchanges],
        "model": verdict.expectation.model,
    }


def _exchange(judged: Judged, language: str) -> Tree:
    exchange = judged.exchange
    expectation = judged.expectation
    headers = "".join(f"{name}: {value}\n" for name, value in exchange.headers.items())
    content = shown(exchange.content, media_type_of(exchange.headers), set())
    return {
        "number": exchange.number,
        "at": exchange.at.strftime("%H:%M:%S"),
        "line": exchange.asked.line,
        "status": exchange.status,
        "title": expectation.title.in_language(language) if expectation else "",
        "right": judged.right,
        "faults": [
            {
                "text": fault.text.in_language(language),
                "obligation": fault.obligation,
                "source": fault.source.text,
                "url": fault.source.url,
            }
            for fault in judged.faults
        ],
        "sent": request_text(exchange.asked),
        "mended": judged.mended,
        "answer": f"HTTP {exchange.status}\n{headers}\n{content}",
    }
