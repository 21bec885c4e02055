"""Wrong servers are caught, each by the scenario meant for it; a server of canned answers passes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from dmp_fhir.conformance.config import Config
from dmp_fhir.conformance.results import BLOCKED, FAILED, PASSED
from dmp_fhir.conformance.scenarios import suite
from tests.conformance.conftest import Try, told
from tests.conformance.mutants import MUTANTS
from tests.conformance.platform import SandboxTokens
from tests.conformance.wrong import Ask, Server, Told, application
from tests.support import tally
from tests.support.server import TickingClock

tally.count("conformance", "mutants", 0)
tally.count("conformance", "caught", 0)


@pytest.fixture
def server(sqlite_app: Flask, config: Config, key_folder: Path, clock: TickingClock) -> Server:
    tokens = SandboxTokens(key_folder, clock)
    return Server(sqlite_app, lambda name: tokens.token(config.personas[name]))


def test_every_mutant_is_caught_by_the_scenario_meant_for_it(
    trial: Try, server: Server, key_folder: Path, clock: TickingClock, config: Config
) -> None:
    missed = []
    for name, (wrong, scenario) in MUTANTS.items():
        tokens = SandboxTokens(key_folder, clock)
        server.token_of = lambda persona, tokens=tokens: tokens.token(config.personas[persona])
        report = trial(application(server, wrong), suite().chosen(only=[scenario]), tokens=tokens, fail_fast=True)
        caught = report.count(FAILED) > 0
        tally.count("conformance", "mutants")
        tally.count("conformance", "caught", int(caught))
        if not caught:
            missed.append((name, scenario, told(report)))
    assert missed == []
    assert len(MUTANTS) >= 40


def test_fail_fast_ends_at_the_first_case_that_does_not_pass(trial: Try, server: Server) -> None:
    report = trial(application(server, lambda ask, server: Told(404, (), b"")), fail_fast=True)
    (only,) = report.results
    assert only.outcome in (FAILED, BLOCKED)
    assert not report.conforming


_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|2\.25\.[0-9]+|W/\"[0-9]+\"|[0-9a-f]{10}")


def _shape(ask: Ask) -> str:
    """What a request looks like, whatever identifiers are in it."""
    return f"{ask.method} {_IDS.sub('#', ask.path)}?{_IDS.sub('#', ask.query)} {_IDS.sub('#', ask.body.decode())[:200]}"


def test_canned_answers_pass_nothing(trial: Try, server: Server) -> None:
    """A recording of a whole good run, played back by the shape of the requests; or always the same answer. That all
    passes while it is recorded says that what catches the mutants is not the layer itself."""
    tape: dict[tuple[str, str], Told] = {}

    def record(ask: Ask, server: Server) -> Told:
        answer = server.serve(ask)
        tape.setdefault((_shape(ask), ""), answer)
        tape.setdefault((_shape(ask), ask.header("Authorization")), answer)
        return answer

    def play(ask: Ask, server: Server) -> Told:
        for authorization in (ask.header("Authorization"), ""):
            if (_shape(ask), authorization) in tape:
                return tape[_shape(ask), authorization]
        return Told(404, (), b"")

    assert told(trial(application(server, record))) == []
    played = trial(application(server, play), suite().scenarios)
    assert played.count(PASSED) == 0
    assert not played.conforming
    for status in (200, 201, 404, 401):
        same = Told(
            status, (("Content-Type", "application/fhir+json"),), b'{"resourceType":"Bundle","type":"searchset"}'
        )
        always = trial(application(server, lambda ask, server, same=same: same), suite().scenarios)
        assert always.count(PASSED) == 0, status
    tally.count("conformance", "passed by canned answers", played.count(PASSED))
