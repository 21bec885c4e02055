"""PostgreSQL brought back to any moment, as docs/operating.md tells it: exactly the commits before are there, with
their documents and their trace (TF-234)."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.backup.test_under_load import writing
from tests.support import tally
from tests.support.postgres import SETTINGS, PostgresServer
from tests.support.server import _feed, start_server, stop_server
from tests.writing.campaigns import Figures, seed_of

DATABASE = "dmp"
COMMITS = (
    "SELECT 'document', id, pg_xact_commit_timestamp(xmin) FROM document"
    " UNION ALL SELECT 'entry', record_id || '/' || id, pg_xact_commit_timestamp(xmin) FROM audit_event"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go back to: a moment, or a point that was named."""

    moment: str
    name: str | None = None

    @property
    def setting(self) -> dict[str, str]:
        if self.name is not None:
            return {"recovery_target_name": self.name}
        return {"recovery_target_time": self.moment}


@dataclass(slots=True)
class Drills:
    """Moments tried, what was not as it was then, and seconds until the registry was proven again."""

    tried: int = 0
    commits: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    last_archived: float = 0.0


@contextmanager
def archiving() -> Iterator[tuple[PostgresServer, Path]]:
    """A cluster that archives its log, each segment when it is full or a second old; and where to."""
    settings = SETTINGS | {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": "cp %p ../archive/%f",
        "archive_timeout": "1s",
        "track_commit_timestamp": "on",
        "full_page_writes": "on",
        "max_connections": "60",
    }
    server = PostgresServer(settings)
    try:
        archive = server.folder / "archive"
        archive.mkdir()
        shutil.chown(archive, *owner(server))
        yield server, archive
    finally:
        server.stop()


def drill(folder: Path, keys: Path, draw: random.Random, *, moments: int, names: int, seconds: float) -> Drills:
    """Clients write; meanwhile moments are noted and points named. Then back to each of them, in a cluster and a data
    folder of their own, proven by the commands of the page."""
    found = Drills()
    data = folder / "data"
    with archiving() as (cluster, archive):
        url = cluster.create_database(DATABASE)
        init(data, url, keys)
        base = cluster.folder / "base"
        cluster._run("pg_basebackup", "-h", cluster.folder, "-U", "postgres", "-D", base, "-c", "fast", "-X", "none")
        targets = worked(data, url, draw, moments=moments, names=names, seconds=seconds)
        with psycopg.connect(url, autocommit=True) as connection:
            begun = time.monotonic()
            (segment,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
            while not (archive / segment).exists():
                assert time.monotonic() < begun + 60, "nothing is archived"
                time.sleep(0.05)
            found.last_archived = time.monotonic() - begun
            commits = connection.execute(COMMITS).fetchall()
            stamps = {
                target: connection.execute("SELECT %s::timestamptz", [target.moment]).fetchone() for target in targets
            }
        for target in targets:
            moment = (stamps[target] or (None,))[0]
            expected = {(kind, name) for kind, name, committed in commits if committed <= moment}
            begun = time.monotonic()
            with recovered(cluster, base, target) as again:
                with psycopg.connect(again) as connection:
                    there = {(kind, name) for kind, name, _ in connection.execute(COMMITS).fetchall()}
                found.differences += [f"{target}: {each}" for each in there ^ expected]
                place = folder / f"again-{found.tried}"
                # Documents and keys are those of today: the documents are only ever added.
                shutil.copytree(data / "documents", place / "documents", copy_function=os.link)
                shutil.copytree(data / "keys", place / "keys")
                place.chmod(0o700)
                for command in (["check"], ["audit", "seal"], ["audit", "verify"]):
                    done = proved(place, again, command)
                    if done:
                        found.differences.append(f"{target}: {command}: {done}")
                found.seconds.append(time.monotonic() - begun)
                shutil.rmtree(place)
            found.tried += 1
            found.commits += len(expected)
    tally.count("K", "restore drills", found.tried)
    tally.count("K", "differences", len(found.differences))
    return found


def init(data: Path, url: str, keys: Path) -> None:
    data.mkdir(mode=0o700)
    from dmp_fhir.store import schema

    schema.upgrade(url)
    _feed(url, data, keys)


def worked(data: Path, url: str, draw: random.Random, *, moments: int, names: int, seconds: float) -> list[Target]:
    """What was noted while sixteen clients wrote."""
    server = start_server(data, url, workers=2)
    targets = []
    try:
        with writing(server) as writers, psycopg.connect(url, autocommit=True) as clock:
            while not writers.acknowledged and not writers.refused:
                time.sleep(0.02)
            kinds = [None] * moments + [f"point {n}" for n in range(names)]
            draw.shuffle(kinds)
            for name in kinds:
                time.sleep(draw.uniform(0.2, 1.8) * seconds / len(kinds))
                if name is not None:
                    clock.execute("SELECT pg_create_restore_point(%s)", [name])
                (moment,) = clock.execute("SELECT clock_timestamp()::text").fetchone() or ("",)
                targets.append(Target(moment, name))
            time.sleep(0.3)
        assert not writers.refused, writers.refused[0]
    finally:
        stop_server(server)
    return targets


@contextmanager
def recovered(cluster: PostgresServer, base: Path, target: Target) -> Iterator[str]:
    """A copy of the base backup, brought forward to the target: its database."""
    folder = cluster.folder / "recovered"
    shutil.copytree(base, folder / "data", symlinks=True)
    settings = target.setting | {
        "restore_command": "cp ../../archive/%f %p",
        "recovery_target_action": "promote",
        "archive_mode": "off",
    }
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    with (folder / "data" / "postgresql.auto.conf").open("a") as written:
        written.writelines(lines)
    (folder / "data" / "recovery.signal").touch()
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, *owner(cluster))
    (folder / "data").chmod(0o700)
    again = PostgresServer.__new__(PostgresServer)
    again.__dict__ |= cluster.__dict__ | {"folder": folder}
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    log = (folder / "log").open("wb")
    again._log = log
    again._process = subprocess.Popen(
        [
            cluster._binaries / "postgres",
            *("-D", folder / "data", "-k", folder, *options, "-c", "track_commit_timestamp=on"),
        ],
        stdout=log,
        stderr=log,
        cwd=folder,
        **cluster._user,
    )
    try:
        again._wait_until_ready()
        url = again.url(DATABASE)
        with psycopg.connect(url, autocommit=True) as connection:
            while (connection.execute("SELECT pg_is_in_recovery()").fetchone() or (True,))[0]:
                time.sleep(0.02)
        yield url
    finally:
        again.stop()


def owner(cluster: PostgresServer) -> tuple[int, int]:
    status = cluster.folder.stat()
    return status.st_uid, status.st_gid


def proved(place: Path, url: str, command: list[str]) -> str:
    """What a command says that is not well; empty when it is."""
    environment = os.environ | {"DMP_FHIR_DATA": str(place), "DATABASE_URL": url}
    done = subprocess.run(
        [Path(sys.executable).with_name("dmp-fhir"), *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"{done.stdout[-2000:]} {done.stderr[-2000:]}"


@pytest.mark.campaign
def test_tf_234_any_moment(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path) -> None:
    seed = seed_of(request)
    found = drill(
        tmp_path,
        key_folder,
        random.Random(seed),
        moments=int(os.environ.get("MOMENTS", 20)),
        names=int(os.environ.get("NAMES", 5)),
        seconds=20,
    )
    assert found.differences == []
    counted = (
        f"{found.tried} drills (20 moments, 5 named points) while 16 clients wrote, {found.commits} commits expected in"
        f" all, differences {len(found.differences)}; checked and proven after {min(found.seconds):.0f} to"
        f" {max(found.seconds):.0f} s; the last commit was in the archive after {found.last_archived:.1f} s"
    )
    Figures().add("back to a moment (TF-234), postgresql", counted, seed=seed)
