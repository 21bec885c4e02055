"""A server that is told to stop: not ready first, requests under way end, nothing acknowledged is lost (TF-226)."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import requests

from dmp_fhir.store.check import check
from dmp_fhir.store.payloads import PayloadStore
from tests.backup.test_under_load import found_in, writing
from tests.conftest import DIALECTS
from tests.support import tally
from tests.support.keys import reopened
from tests.support.server import begin_to_serve, copy_of_world, start_server
from tests.writing.campaigns import Figures


def test_not_ready_while_it_still_answers(tmp_path: Path, key_folder: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "data"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, "sqlite", folder)
    server = start_server(folder, next(copy), DMP_FHIR_DRAIN_SECONDS="3")
    root = server.base_url.removesuffix("/fhir")
    assert requests.get(f"{root}/health/ready", timeout=10).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    seen = set()
    until = time.monotonic() + 20
    while time.monotonic() < until and server.process.poll() is None:
        try:
            states = tuple(
                requests.get(f"{root}{path}", timeout=10).status_code for path in ("/health/ready", "/fhir/metadata")
            )
        except requests.ConnectionError:
            break
        seen.add(states)
        time.sleep(0.05)
    assert server.process.wait(20) == 0
    assert (503, 200) in seen
    next(copy, None)


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5, 0.9])
def test_a_stop_while_workers_start(
    tmp_path: Path, key_folder: Path, request: pytest.FixtureRequest, after_s: float
) -> None:
    """A worker that is told to stop before it serves does not go on."""
    folder = tmp_path / "data"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, "sqlite", folder)
    server = begin_to_serve(folder, next(copy), workers=2)
    log = folder / "server.log"
    while "Listening at" not in log.read_text() and server.process.poll() is None:
        time.sleep(0.01)
    time.sleep(after_s)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert "refused to gracefully stop" not in log.read_text()
    next(copy, None)


@pytest.mark.parametrize("stops", [1, pytest.param(50, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_tf_226_stops_under_load(
    request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path, dialect: str, stops: int
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, dialect, folder)
    url = next(copy)
    acknowledged = 0
    for number in range(stops):
        server = start_server(folder, url, workers=2)
        with writing(server, prefix=f"stop {number}") as writers:
            while len(writers.acknowledged) < 20 and not writers.refused:
                time.sleep(0.02)
            server.process.send_signal(signal.SIGTERM)
            threading.Event().wait(0.3)
            writers.stop.set()
        assert server.process.wait(40) == 0
        assert not writers.refused
        promised = {address: content for _, address, content in writers.acknowledged}
        payloads = PayloadStore(folder / "documents")
        assert len(found_in(url, folder, payloads, promised)) == len(promised)
        acknowledged += len(promised)
        tally.count("J", "clean stops under load")
        tally.count("J", "acknowledged and lost", 0)
    database = reopened(url, folder)
    assert check(database, payloads) == []
    database.close()
    if stops > 1:
        counted = f"{stops} stops (TERM), {acknowledged} documents acknowledged"
        Figures().add(f"server stopped under load (TF-226), {dialect}", counted, seed="none: 16 clients at once")
    next(copy, None)
