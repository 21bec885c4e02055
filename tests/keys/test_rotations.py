"""Rotations of the master key while a server answers readers and writers, some of them killed half-way (TF-241)."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
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

from dmp_fhir.store.key_store import KeyStore
from dmp_fhir.store.masters import MasterKeyFiles
from tests.conftest import DIALECTS
from tests.keys.test_key_store import ROTATE
from tests.rest.bodies import INS, simple
from tests.rest.test_create import BODIES
from tests.support import tally
from tests.support.keys import key_url
from tests.support.server import LiveServer, copy_of_world, start_server, stop_server
from tests.writing.campaigns import Figures, seed_of

MORE_KEYS = 2_000
COMMAND = Path(sys.executable).with_name("dmp-fhir")


def numbered(number: int) -> str:
    """A matricule of nobody, with its key."""
    digits = f"19001750{number:05}"
    return f"{digits}{97 - int(digits) % 97:02}"


@dataclass(slots=True)
class Load:
    """Writers open records, which makes keys, and put documents into them; readers ask for these records, each time
    with a new connection, so of any worker."""

    server: LiveServer
    stop: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    written: list[tuple[str, str]] = field(default_factory=list)
    reads: int = 0
    failed: list[str] = field(default_factory=list)

    def write(self) -> None:
        operator, doctor = (self.server.headers(each) for each in ("exploitant", "dr-moreau"))
        kind = {"Content-Type": "application/fhir+json"}
        while not self.stop.wait(0.3):
            number = next(self.numbers)
            ins = f"{INS}|{numbered(number)}"
            person = BODIES["Patient"][0] | {"identifier": [{"system": INS, "value": numbered(number)}]}
            opened = self._ask("POST", "Patient", operator | kind, json=person)
            content = f"Compte rendu {number}".encode()
            sent = self._ask(
                "POST", "DocumentReference", doctor | kind, json=simple(f"n {number}", ins=ins, content=content)
            )
            if opened is not None and sent is not None:
                self.written.append((opened.headers["Location"].partition("/fhir/")[2], numbered(number)))

    def read(self) -> None:
        operator = self.server.headers("exploitant")
        while not self.stop.wait(0.05):
            if not self.written:
                continue
            address, name = random.choice(self.written)
            answer = self._ask("GET", address, operator)
            self.reads += 1
            if answer is not None and name not in answer.text:
                self.failed.append(f"{address}: another record")

    def _ask(self, method: str, path: str, headers: dict[str, str], **more: object) -> requests.Response | None:
        """The answer, unless it is a failure, which is noted."""
        answer = requests.request(method, f"{self.server.base_url}/{path}", headers=headers, timeout=30, **more)  # type: ignore[arg-type]
        if answer.ok:
            return answer
        self.failed.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return None

    @contextmanager
    def under_way(self, each: int) -> Iterator[None]:
        threads = [threading.Thread(target=work) for work in (self.write, self.read) for _ in range(each)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


def rotate_under_load(
    request: pytest.FixtureRequest, dialect: str, folder: Path, chance: random.Random, rotations: int, kills: int
) -> Load:
    """`rotations` by the commands, the first `kills` of them killed at a random batch before. Every version but the
    newest wraps nothing at the end and is retired."""
    copy = copy_of_world(request, dialect, folder)
    url = next(copy)
    keys = folder / "keys"
    store = KeyStore.open(key_url(keys), MasterKeyFiles(keys))
    store.make([f"more {number}" for number in range(MORE_KEYS)], 1)
    store.close()
    server = start_server(folder, url, workers=2)
    load = Load(server)
    environment = os.environ | {"DMP_FHIR_DATA": str(folder), "DATABASE_URL": url}

    def command(*words: str) -> str:
        done = subprocess.run([COMMAND, "keys", *words], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wraps() -> dict[int, int]:
        found = re.findall(r"^version (\d+): (\d+) keys", command("status"), re.MULTILINE)
        return {int(version): int(number) for version, number in found}

    try:
        with load.under_way(2):
            for number in range(rotations):
                before = number + 1
                if number < kills:
                    batches = chance.randrange(1, MORE_KEYS // 100)
                    program = [sys.executable, "-c", ROTATE, key_url(keys), str(keys), str(batches)]
                    assert subprocess.run(program, check=False, timeout=60).returncode == -signal.SIGKILL
                    there = wraps()
                    assert there[before] > 0, "progress is visible: what is not yet under the new version"
                    assert there[before + 1] >= 100 * batches
                assert f"under version {before + 1} now" in command("rotate")
                assert wraps()[before] == 0
                command("retire", str(before))
                assert not (keys / f"master-{before}.key").exists()
            enough = time.monotonic() + 30
            while load.reads < 20 and time.monotonic() < enough:
                time.sleep(0.1)
            there = wraps()
            assert [version for version, number in there.items() if number] == [rotations + 1]
    finally:
        stop_server(server)
        next(copy, None)
    tally.count("K", "key rotations under a live server", rotations)
    tally.count("K", "key rotations killed", kills)
    tally.count("K", "failed reads", len(load.failed))
    assert load.failed == []
    assert load.reads >= 20
    assert load.written
    return load


@pytest.mark.campaign
@pytest.mark.parametrize("dialect", DIALECTS)
def test_tf_241_ten_rotations(request: pytest.FixtureRequest, dialect: str, tmp_path: Path, key_folder: Path) -> None:
    seed = seed_of(request)
    load = rotate_under_load(request, dialect, tmp_path, random.Random(seed), 10, 5)
    counted = (
        f"10 rotations of the master key over {MORE_KEYS:,} keys and more, 5 killed half-way and run again, each"
        f" version before retired; {load.reads} reads, {len(load.written)} records opened meanwhile, failed 0"
    )
    Figures().add(f"master key rotated under load (TF-241), {dialect}", counted, seed=seed)
