"""`dmp-fhir sandbox`: the demonstration world in one command, as new after a reset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import requests

from dmp_fhir.cli.sandbox import next_reset
from tests.readme.tour import ROOT, environment, free_port

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"


def dmp_fhir(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dmp_fhir", *arguments],
        env=environment(str(ROOT)) | more,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder, port = tmp_path_factory.mktemp("sandbox") / "here", free_port()
    command = [sys.executable, "-m", "dmp_fhir", "sandbox", "--folder", str(folder), "--port", str(port)]
    process = subprocess.Popen(
        command,
        env=environment(str(ROOT)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    base = f"http://127.0.0.1:{port}/fhir"
    try:
        wait_for(base)
        yield base, folder
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def wait_for(base: str) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            assert requests.get(f"{base}/metadata", timeout=5).status_code == 200
            return
        except (requests.ConnectionError, AssertionError):
            assert time.monotonic() < until, "the sandbox does not answer"
            time.sleep(0.2)


def documents(base: str, headers: dict[str, str]) -> int:
    answer = requests.get(
        f"{base}/DocumentReference", params={"patient.identifier": CLAIRE, "_count": "0"}, headers=headers, timeout=10
    )
    assert answer.status_code == 200, answer.text
    return int(answer.json()["total"])


def test_a_reset_makes_the_world_as_new_and_tokens_stay_good(running: tuple[str, Path]) -> None:
    base, folder = running
    asked = dmp_fhir("token", "dr-moreau", DMP_FHIR_DATA=str(folder / "world"))
    headers = {"Authorization": f"Bearer {asked.stdout.strip()}"}
    before = documents(base, headers)
    body = json.loads((ROOT / "fixtures" / "tour" / "publish-simple.json").read_bytes())
    published = requests.post(
        f"{base}/DocumentReference",
        data=json.dumps(body),
        headers=headers | {"Content-Type": "application/fhir+json"},
        timeout=10,
    )
    assert published.status_code == 201, published.text
    assert documents(base, headers) == before + 1
    reset = dmp_fhir("sandbox", "reset", "--folder", str(folder))
    assert reset.returncode == 0, reset.stderr
    wait_for(base)
    assert documents(base, headers) == before


def test_a_reset_of_a_sandbox_that_does_not_run_says_so(tmp_path: Path) -> None:
    answer = dmp_fhir("sandbox", "reset", "--folder", str(tmp_path / "nowhere"))
    assert answer.returncode == 1
    assert "no sandbox runs in" in answer.stderr


@pytest.mark.parametrize(
    ("at", "now", "due"),
    [
        ((3, 0), "2026-11-22T02:59:59", "2026-11-22T03:00:00"),
        ((3, 0), "2026-11-22T03:00:00", "2026-11-23T03:00:00"),
        ((3, 0), "2026-12-31T23:00:00", "2027-01-01T03:00:00"),
    ],
)
def test_the_nightly_reset_is_at_the_next_such_hour(at: tuple[int, int], now: str, due: str) -> None:
    assert next_reset(at, datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_never_means_never() -> None:
    assert next_reset(None, datetime(2026, 11, 22)) is None
