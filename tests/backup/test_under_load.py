"""Backups while sixteen clients write: each holds all that was acknowledged before it began, and nothing by halves
(TF-233)."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from dmp_fhir.backup.restoring import restore
from dmp_fhir.registry.payloads import opened
from dmp_fhir.store.payloads import PayloadStore
from tests.backup.conftest import NewUrl
from tests.conftest import DIALECTS
from tests.rest.bodies import simple
from tests.support import tally
from tests.support.keys import reopened
from tests.support.server import LiveServer, copy_of_world, start_server, stop_server
from tests.writing.campaigns import Figures

CLIENTS = 16


class Writers:
    """Clients that publish until they are told to stop; what was acknowledged, and when."""

    def __init__(self, server: LiveServer, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.headers = server.headers("dr-moreau")
        self.acknowledged: list[tuple[float, str, bytes]] = []
        self.spans: list[tuple[float, float]] = []
        self.refused: list[str] = []
        self.stop = threading.Event()
        self.numbers = itertools.count()

    def work(self) -> None:
        with requests.Session() as session:
            while not self.stop.wait(0.05):
                name = f"{self.prefix} {next(self.numbers)}"
                content, sent = os.urandom(3000), time.monotonic()
                try:
                    answer = session.post(
                        f"{self.server.base_url}/DocumentReference",
                        json=simple(name, content=content),
                        headers=self.headers | {"Content-Type": "application/fhir+json"},
                        timeout=30,
                    )
                except requests.ConnectionError:
                    continue  # the server stops, which some tests want
                self.spans.append((sent, time.monotonic()))
                if answer.status_code == 201:
                    address = answer.headers["Location"].partition("/_history/")[0].rpartition("/")[2]
                    self.acknowledged.append((time.monotonic(), address, content))
                elif answer.status_code != 503:  # a busy database may say: try again
                    self.refused.append(answer.text)


@contextmanager
def writing(server: LiveServer, prefix: str = "load") -> Iterator[Writers]:
    writers = Writers(server, prefix)
    threads = [threading.Thread(target=writers.work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.stop.set()
        for thread in threads:
            thread.join()


@dataclass(slots=True)
class UnderLoad:
    """Documents acknowledged before their backup began, and written while it was made; seconds that the requests took
    before and meanwhile."""

    before: int = 0
    beside: int = 0
    seconds_before: list[float] = field(default_factory=list)
    seconds_beside: list[float] = field(default_factory=list)

    def add_times(self, spans: list[tuple[float, float]], started: float, ended: float) -> None:
        """Requests of the last seconds before a backup, and those of which some part fell into it."""
        self.seconds_before += [end - begun for begun, end in spans if end < started]
        self.seconds_beside += [end - begun for begun, end in spans if begun < ended and end > started]

    def p95(self) -> tuple[float, ...]:
        """95th percentiles in seconds, before and meanwhile."""
        return tuple(sorted(each)[len(each) * 95 // 100] for each in (self.seconds_before, self.seconds_beside))


def back_up_under_load(
    request: pytest.FixtureRequest,
    dialect: str,
    folder: Path,
    keys: Path,
    new_url: NewUrl,
    found: UnderLoad,
    *,
    backups: int,
    at_least: int = 20,
) -> None:
    """Backups, each begun after `at_least` documents were acknowledged; all of these are in the copies."""
    shutil.copytree(keys, folder / "keys")
    copy = copy_of_world(request, dialect, folder)
    server = start_server(folder, next(copy), workers=2)
    environment = os.environ | {"DMP_FHIR_DATA": str(folder), "DATABASE_URL": server.database_url}
    lost = 0
    try:
        for number in range(backups):
            file = folder / f"backup-{number}"
            with writing(server, f"load {number}") as writers:
                while len(writers.acknowledged) < at_least and not writers.refused:
                    time.sleep(0.02)
                started = time.monotonic()
                done = subprocess.run(
                    [Path(sys.executable).with_name("dmp-fhir"), "backup", str(file)],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                ended = time.monotonic()
            assert done.returncode == 0, done.stderr
            assert not writers.refused, writers.refused[0]
            beside = sum(started < when < ended for when, _, _ in writers.acknowledged)
            assert beside, "nobody wrote meanwhile"
            url, there = new_url(dialect), PayloadStore(folder / f"restored-{number}")
            restored = restore(
                file,
                (folder / "keys" / "backup.key").read_bytes(),
                url,
                there,
                opening=lambda copied: reopened(copied, folder),
            )
            assert restored.findings == ()
            promised = {address: content for when, address, content in writers.acknowledged if when < started}
            lost += len(promised) - len(found_in(url, folder, there, promised))
            found.before, found.beside = found.before + len(promised), found.beside + beside
            found.add_times(writers.spans[CLIENTS:], started, ended)  # the first ones connect
            tally.count("K", "backups under load")
            shutil.rmtree(there.folder)
            file.unlink()
    finally:
        stop_server(server)
        next(copy, None)
    tally.count("K", "acknowledged before and lost", lost)
    assert lost == 0


def found_in(url: str, data_folder: Path, payloads: PayloadStore, promised: dict[str, bytes]) -> list[str]:
    """The promised documents that are there with their bytes."""
    database = reopened(url, data_folder)
    with database.snapshot() as reader:
        kept = {
            row[0]: opened(reader, row[1], row[2], row[3], row[4], payloads.get(row[4]), sealed=bool(row[5]))
            for row in reader.rows("SELECT document_id, record_id, resource_type, id, sha256, sealed FROM payload")
        }
    database.close()
    return [each for each, content in promised.items() if kept.get(each) == content]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tf_233_backups_while_clients_write(
    request: pytest.FixtureRequest, dialect: str, tmp_path: Path, key_folder: Path, new_url: NewUrl
) -> None:
    back_up_under_load(request, dialect, tmp_path / "data", key_folder, new_url, UnderLoad(), backups=1)


@pytest.mark.campaign
@pytest.mark.parametrize("dialect", DIALECTS)
def test_tf_233_fifty_backups(
    request: pytest.FixtureRequest, dialect: str, tmp_path: Path, key_folder: Path, new_url: NewUrl
) -> None:
    found = UnderLoad()
    for number in range(5):  # a fresh registry each time: restoring a large one ten times tells nothing more
        folder = tmp_path / f"data-{number}"
        back_up_under_load(request, dialect, folder, key_folder, new_url, found, backups=10, at_least=100)
        shutil.rmtree(folder)
    before, beside = found.p95()
    counted = (
        f"50 backups, each restored and checked: {found.before} documents promised, {found.beside} beside; requests p95"
        f" {before * 1000:.0f} ms before, {beside * 1000:.0f} ms meanwhile: {beside / before:.2f} times"
    )
    Figures().add(f"backups under load (TF-233), {dialect}", counted, seed="none: 16 clients at once")
