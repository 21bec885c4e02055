"""`dmp-fhir sandbox`: the demonstration world and the sandbox issuer behind one address, made anew every night or on
demand.

The world is fed once, into a folder that is then only copied: a reset stops the server, puts a fresh copy in its place
and starts it again, within seconds. Keys are copied with it, so that tokens given before a reset stay good after it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import FrameType

import click

from dmp_fhir import __version__
from dmp_fhir.identity.sandbox import personas

_COMMAND = (sys.executable, "-m", "dmp_fhir")
_ASKED = "reset-asked"
_POLL_S = 0.5
_STOP_S = 40


class Sandbox:
    """A sandbox in `folder`: `template` is the world as fed, `world` the copy that is served."""

    def __init__(self, folder: Path, base_url: str, serve: tuple[str, ...]) -> None:
        self.folder = folder
        self.template = folder / f"template-{edition()}"
        self.world = folder / "world"
        self._base_url = base_url
        self._serve = serve
        self._server: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def _environment(self, data: Path) -> dict[str, str]:
        settings = {"DMP_FHIR_PROFILE": "development", "DMP_FHIR_DATA": str(data), "DMP_FHIR_BASE_URL": self._base_url}
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DMP_FHIR_ISSUERS")}
        return kept | settings

    def prepare(self) -> None:
        """Feed the world, unless this one was fed by this version already."""
        if self.template.exists():
            return
        draft = self.folder / f".template-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for command in ("init", "seed"):
            subprocess.run([*_COMMAND, command], env=self._environment(draft), check=True)
        for former in self.folder.glob("template-*"):
            shutil.rmtree(former)
        draft.rename(self.template)

    def reset(self) -> None:
        """A fresh world, served."""
        self.stop()
        fresh, old = self.folder / ".fresh", self.folder / ".old"
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(self.template, fresh)
        if self.world.exists():
            self.world.rename(old)
        fresh.rename(self.world)
        shutil.rmtree(old, ignore_errors=True)
        self.start()

    def start(self) -> None:
        command = [*_COMMAND, "serve", *self._serve]
        self._server = subprocess.Popen(command, env=self._environment(self.world))

    def stop(self) -> None:
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    def run(self, reset_at: tuple[int, int] | None, now: Callable[[], datetime] = datetime.now) -> int:
        """Serve until told to stop; the exit code of a server that ended by itself, else 0."""
        signal.signal(signal.SIGTERM, self._told_to_stop)
        signal.signal(signal.SIGINT, self._told_to_stop)
        self.prepare()
        asked = self.folder / _ASKED
        asked.unlink(missing_ok=True)
        self.reset()
        due = next_reset(reset_at, now())
        while not self._stopping:
            time.sleep(_POLL_S)
            if self._server is not None and (ended := self._server.poll()) is not None:
                return ended
            if asked.exists() or (due is not None and now() >= due):
                self.reset()
                asked.unlink(missing_ok=True)
                due = next_reset(reset_at, now())
                click.echo("sandbox: the demonstration world is as new")
        self.stop()
        return 0

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


def edition() -> str:
    """Of this version, this schema and this world: what was fed by another is not served."""
    package = Path(__file__).parents[1]
    world = sorted((package.parent / "fixtures" / "world").glob("*.json"))
    schema = sorted(each.name for each in (package / "store" / "migrations" / "versions").glob("*.py"))
    digest = sha256(repr(schema).encode())
    for path in world:
        digest.update(path.read_bytes())
    return f"{__version__}-{digest.hexdigest()[:12]}"


def next_reset(at: tuple[int, int] | None, now: datetime) -> datetime | None:
    """The next time that the clock shows `at` (hour, minute)."""
    if at is None:
        return None
    today = now.replace(hour=at[0], minute=at[1], second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


def _time_of_day(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, int] | None:
    if text == "never":
        return None
    try:
        moment = datetime.strptime(text, "%H:%M")
    except ValueError as bad:
        raise click.BadParameter("a time of day such as 03:00, or never") from bad
    return moment.hour, moment.minute


_FOLDER = click.option(
    "--folder", default="var/sandbox", show_default=True, type=click.Path(path_type=Path), help="Where it lives."
)


@click.group(invoke_without_command=True)
@_FOLDER
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, help="Worker processes.")
@click.option("--base-url", default=None, help="Address as clients see it.  [default: http://HOST:PORT/fhir]")
@click.option(
    "--reset-at", default="03:00", show_default=True, callback=_time_of_day, help="Time of the nightly reset, or never."
)
@click.pass_context
def sandbox(
    context: click.Context,
    folder: Path,
    host: str,
    port: int,
    workers: int,
    base_url: str | None,
    reset_at: tuple[int, int] | None,
) -> None:
    """Serve the demonstration world for integrators, in a folder of its own, on SQLite; made anew every night."""
    if context.invoked_subcommand is not None:
        return
    address = base_url or f"http://{host}:{port}/fhir"
    serve = ("--host", host, "--port", str(port), "--workers", str(workers))
    click.echo(f"sandbox on {address}; {len(personas())} personas (dmp-fhir personas)")
    click.echo(f"tokens: DMP_FHIR_DATA={folder / 'world'} dmp-fhir token PERSONA")
    sys.exit(Sandbox(folder, address, serve).run(reset_at))


@sandbox.command()
@_FOLDER
def reset(folder: Path) -> None:
    """Make the world of a running sandbox anew; returns when it is done."""
    if not (folder / "world").exists():
        raise click.ClickException(f"no sandbox runs in {folder}")
    asked = folder / _ASKED
    asked.touch()
    until = time.monotonic() + _STOP_S * 2
    while asked.exists():
        if time.monotonic() > until:
            raise click.ClickException(f"the sandbox in {folder} does not answer; is it running?")
        time.sleep(_POLL_S)
    click.echo("the demonstration world is as new")
