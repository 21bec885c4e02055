"""Reports: valid, complete, readable, and without any secret."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from lxml import etree

from dmp_fhir.conformance.config import Config
from dmp_fhir.conformance.reports import WRITERS
from dmp_fhir.conformance.results import BLOCKED, FAILED, PASSED, SKIPPED, Report
from dmp_fhir.conformance.scenarios import suite
from dmp_fhir.profiles import active
from dmp_fhir.wire.json import parse_json
from tests.conformance.conftest import Try
from tests.conformance.mutants import MUTANTS
from tests.conformance.platform import SandboxTokens
from tests.conformance.wrong import Ask, Server, Told, application
from tests.support.server import TickingClock

CHOSEN = ("TD02-OPEN-RECORD", "ITI67-PATIENT", "ITI68-NATIVE", "PATCH-IF-MATCH", "FORMAT-CHARSET", "CONSENT-LIST")


@pytest.fixture
def report(trial: Try, sqlite_app: Flask, config: Config, key_folder: Path, clock: TickingClock) -> Report:
    """A run with something passed, failed and skipped, of a server that shows the token it was sent."""
    tokens = SandboxTokens(key_folder, clock)
    server = Server(sqlite_app, lambda name: tokens.token(config.personas[name]))
    wrong, _ = MUTANTS["one total too many"]

    def telling_tokens(ask: Ask, server: Server) -> Told:
        told = wrong(ask, server)
        tree = told.tree
        if tree and tree.get("type") == "searchset":
            tree["id"] = ask.header("Authorization")
            told = (
                told.with_tree(tree).with_header("X-Token", ask.header("Authorization")).with_header("Set-Cookie", "c")
            )
        return told

    made = trial(application(server, telling_tokens), suite().chosen(only=CHOSEN), tokens=tokens)
    assert {made.count(each) > 0 for each in (PASSED, FAILED)} == {True}
    assert made.secrets
    made.results[0].outcome = SKIPPED
    return made


@pytest.mark.parametrize("kind", sorted(WRITERS))
@pytest.mark.parametrize("language", ["fr", "en"])
def test_no_secret_is_in_a_report(report: Report, kind: str, language: str) -> None:
    text = WRITERS[kind](report, language).decode()
    assert len(text) > 1000
    for secret in report.secrets:
        assert secret not in text
        assert secret.split(".")[2] not in text, "the signature alone"
    assert not re.search(r"Bearer\s+ey", text)


class Page(HTMLParser):
    """What a page loads, and whether its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.language = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.language = self.language or given.get("lang") or ""
        self.loaded += [str(given[name]) for name in ("src", "srcset", "data", "action") if given.get(name)]
        if tag == "link":
            self.loaded.append(str(given.get("href")))
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_page_stands_alone(report: Report, language: str) -> None:
    text = WRITERS["html"](report, language).decode()
    page = Page()
    page.feed(text)
    assert (page.loaded, page.open, page.language) == ([], [], language)
    assert "url(" not in text
    for result in report.results:
        assert f"<strong>{result.case.id}</strong>" in text
    failed = next(each for each in report.results if each.outcome == FAILED)
    assert "identifier=" in text
    assert failed.case.scenario.source.url in text
    assert failed.case.scenario.failure.in_language(language).replace("'", "&#39;") in text


def test_what_a_server_says_is_text_in_the_page(report: Report) -> None:
    """A hostile answer does not become part of the page."""
    failed = next(each for each in report.results if each.outcome == FAILED)
    failed.steps[-1].exchange.content = b"<script>alert(1)</script>"
    assert "<script>alert" not in WRITERS["html"](report, "fr").decode()


def test_test_reports_are_valid_fhir(report: Report) -> None:
    bundle = parse_json(WRITERS["fhir"](report, "en"))
    walk = active.validator(None).walk(bundle)
    assert [each for each in walk.issues if each.severity == "error"] == []
    assert walk.sound
    results = {each["resource"]["name"]: each["resource"]["result"] for each in bundle["entry"]}
    assert results.keys() == set(CHOSEN)
    assert results["ITI67-PATIENT"] == "fail"
    assert results["ITI68-NATIVE"] == "pass"


def test_junit_counts(report: Report) -> None:
    root = etree.fromstring(WRITERS["junit"](report, "fr"))
    assert int(root.get("tests")) == len(report.results) == len(root.findall(".//testcase"))
    assert int(root.get("failures")) == report.count(FAILED) == len(root.findall(".//failure"))
    assert int(root.get("skipped")) == 1 == len(root.findall(".//skipped"))
    assert int(root.get("errors")) == report.count(BLOCKED)


def test_a_run_conforms_when_nothing_mandatory_fails(report: Report) -> None:
    assert not report.conforming
    for each in report.results:
        each.outcome = PASSED
    assert report.conforming
    report.results[-1].outcome = BLOCKED
    assert not report.conforming
    for each in report.results:
        each.outcome = SKIPPED
    assert not report.conforming, "nothing was tried"
