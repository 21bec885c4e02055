"""The server killed in the middle of submissions (TF-200): nothing acknowledged is lost, nothing is half-written."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dmp_fhir.store.check import check
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore
from tests.conftest import DIALECTS
from tests.support.keys import reopened
from tests.support.server import LiveServer, copy_of_world, start_server, stop_server
from tests.writing.api import OverHttp, files_in
from tests.writing.campaigns import Figures, seed_of
from tests.writing.ledger import Client, Ledger, Verdict, audit

CLIENTS = 6
QUICK_KILLS = 5
CAMPAIGN_KILLS = 100


@dataclass
class Setting:
    """A registry that can be killed and started again."""

    folder: Path
    database_url: str
    ledger: Ledger
    random: random.Random
    seed: int
    verdicts: list[Verdict] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)

    def start(self) -> LiveServer:
        return start_server(self.folder, self.database_url, workers=2)

    def audit(self, api: OverHttp, names: list[str] | None = None) -> Verdict:
        return audit(api, self.database_url, self.folder, self.ledger, names)

    def findings(self) -> list[str]:
        """`dmp-fhir check`, in process."""
        database = reopened(self.database_url, self.folder)
        try:
            return check(database, PayloadStore(self.folder / "documents"))
        finally:
            database.close()

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        environment = {"DMP_FHIR_DATA": str(self.folder), "DATABASE_URL": self.database_url}
        program = Path(sys.executable).with_name("dmp-fhir")
        return subprocess.run(
            [program, name], env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture(params=DIALECTS)
def setting(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path) -> Iterator[Setting]:
    folder = tmp_path / "registry"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, request.param, folder)
    seed = seed_of(request)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    yield Setting(folder, next(copy), ledger, random.Random(seed), seed)
    ledger.close()
    next(copy, None)


def workers_of(server: LiveServer) -> list[int]:
    text = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(each) for each in text.split()]


def load_and_kill(setting: Setting, number: int) -> list[str]:
    """Start, load with several clients, kill all processes at some moment; the surprises of the clients."""
    server = setting.start()
    try:
        if number:
            # What the kill before left behind is looked at while the server is fresh.
            recent = [name for name in setting.ledger.entries if name.startswith(f"k{number - 1}-")]
            setting.verdicts.append(setting.audit(OverHttp(server), recent))
        retries = [each for each in setting.ledger.pending() if setting.random.random() < 0.7]
        api = OverHttp(server, timeout=30)
        clients = [
            Client(api, setting.ledger, f"k{number}-{n}", f"{setting.seed}/{number}/{n}", retries[n::CLIENTS])
            for n in range(CLIENTS)
        ]
        for each in clients:
            each.start()
        time.sleep(setting.random.uniform(0.05, 0.6))
        if setting.random.random() < 0.25:
            os.kill(setting.random.choice(workers_of(server)), signal.SIGKILL)
            setting.tally["workers killed"] += 1
            time.sleep(setting.random.uniform(0.0, 0.3))
    finally:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(20)
    setting.tally["kills"] += 1
    for each in clients:
        each.enough.set()
        each.join(60)
    return list(itertools.chain.from_iterable(each.surprises for each in clients))


def kill_again_and_again(setting: Setting, kills: int) -> Verdict:
    """The verdict on everything, after the last restart and after every pending submission was sent again."""
    for number in range(kills):
        assert load_and_kill(setting, number) == []
        assert setting.findings() == []
    server = setting.start()
    try:
        api = OverHttp(server)
        waiting = [each.name for each in setting.ledger.pending()]
        setting.verdicts.append(setting.audit(api, waiting))
        client = Client(api, setting.ledger, "last", f"{setting.seed}/last", [])
        for entry in setting.ledger.pending():
            client.submit(entry)
        assert client.surprises == []
        assert setting.ledger.pending() == []
        setting.verdicts.append(setting.audit(api))
    finally:
        stop_server(server)
    assert setting.findings() == []
    whole = Verdict()
    for each in setting.verdicts:
        whole.lost += each.lost
        whole.doubled += each.doubled
        whole.half_written += each.half_written
        whole.untraced += each.untraced
    return whole


def collect_and_verify(setting: Setting) -> int:
    """`dmp-fhir collect` removes what no row names, and nothing else; how many files it removed."""
    database = Database.open(setting.database_url)
    with database.snapshot() as reader:
        named = {row[0].hex() for row in reader.rows("SELECT DISTINCT sha256 FROM payload")}
    database.close()
    before = files_in(setting.folder)
    assert "0 files" in setting.command("collect").stdout, "files of the last hour are left alone"
    two_hours_ago = time.time() - 7200
    for each in before:
        os.utime(setting.folder / each, (two_hours_ago, two_hours_ago))
    orphans = {each for each in before if Path(each).name not in named}
    assert setting.command("collect").stdout.startswith(f"{len(orphans)} files")
    assert files_in(setting.folder) == before - orphans
    assert setting.findings() == []
    return len(orphans)


def orphan_by_hand(setting: Setting) -> None:
    """The traces of a kill at the two narrowest moments, so that a quick run has some to collect."""
    store = PayloadStore(setting.folder / "documents")
    store.put(b"bytes whose transaction never came")
    (setting.folder / "documents" / "tmp" / "1-0123").write_bytes(b"half of a doc")


def test_kills(setting: Setting, figures: Figures) -> None:
    verdict = kill_again_and_again(setting, QUICK_KILLS)
    assert verdict == Verdict()
    assert setting.ledger.tally["acknowledged"] > QUICK_KILLS
    orphan_by_hand(setting)
    assert collect_and_verify(setting) >= 2


@pytest.mark.campaign
def test_kill_campaign(setting: Setting, figures: Figures, request: pytest.FixtureRequest) -> None:
    verdict = kill_again_and_again(setting, CAMPAIGN_KILLS)
    orphans = collect_and_verify(setting)
    tally = setting.ledger.tally
    figures.add(
        f"server killed in the middle of submissions, {request.node.callspec.params['setting']}",
        f"{setting.tally['kills']} kills (+ {setting.tally['workers killed']} of one worker),"
        f" {tally['sent']} lots sent, {tally['acknowledged']} acknowledged, {tally['resent']} resent,"
        f" {orphans} orphan files collected",
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        half_written=len(verdict.half_written) + len(verdict.untraced),
        seed=setting.seed,
    )
    assert verdict == Verdict()
