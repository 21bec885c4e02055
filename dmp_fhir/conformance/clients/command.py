"""`dmp-fhir conformance client`: a sandbox that records what a client software asks of it, and says what was wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import requests
from rich.console import Console
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from dmp_fhir.conformance.clients.expectations import Result, judge, profiles
from dmp_fhir.conformance.clients.recording import Recorder
from dmp_fhir.conformance.clients.report import summary, write_html, write_json

PAGE = "/exchanges"
_REFRESH_S = 3
_START_S = 90
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class _Quiet(WSGIRequestHandler):
    """The page shows the exchanges: no line for each on the terminal."""

    def log(self, type: str, message: str, *args: object) -> None:
        pass


@click.command()
@click.option(
    "--profile",
    "name",
    type=click.Choice(sorted(profiles())),
    required=True,
    help="What the client software wants to be approved for.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option("--server", default=None, help="Endpoint to forward to; without it, a sandbox of our own is started.")
@click.option(
    "--folder", default="var/client", show_default=True, type=click.Path(path_type=Path), help="Of the sandbox."
)
@click.option(
    "--report",
    "reports",
    type=(click.Choice(["html", "json"]), click.Path(dir_okay=False, path_type=Path)),
    multiple=True,
    metavar="FORMAT PATH",
    help="Written at the end (Ctrl-C): html or json, and where; may be repeated.",
)
@click.option("--lang", "language", type=click.Choice(["fr", "en"]), default="fr", show_default=True)
def client(
    name: str,
    host: str,
    port: int,
    server: str | None,
    folder: Path,
    reports: tuple[tuple[str, Path], ...],
    language: str,
) -> None:
    """Record what a client software asks and say whether it is right. Let it run its own transactions against the
    address that is printed; the page /exchanges shows them as they arrive. Exit code 0 when all that is mandatory was
    asked rightly."""
    base_url = f"http://{host}:{port}/fhir"
    with _behind(server, folder, base_url) as behind:
        recorder = Recorder(behind, page=lambda request: _page(request, result(), language))

        def result() -> Result:
            return judge(profiles()[name], recorder.exchanges)

        listening = make_server(host, port, recorder, threaded=True, request_handler=_Quiet)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        click.echo(f"{base_url} records; http://{host}:{port}{PAGE} shows; Ctrl-C ends and reports")
        if server is None:
            click.echo(f"tokens: DMP_FHIR_DATA={folder / 'world'} dmp-fhir token PERSONA")
        with contextlib.suppress(KeyboardInterrupt):
            listening.serve_forever()
        listening.server_close()
        found = result()
    summary(Console(), found, language)
    for kind, path in reports:
        write = write_html if kind == "html" else write_json
        path.write_text(write(found, language), encoding="utf-8")
        click.echo(f"{kind}: {path}")
    sys.exit(0 if found.conforming else 1)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _page(request: Request, result: Result, language: str) -> Response:
    if request.path != PAGE or request.method != "GET":
        return Response("not found\n", 404, headers=_HEADERS)
    asked = request.accept_languages.best_match(["fr", "en"]) or language
    page = write_html(result, asked, live=True, refresh_s=0 if "pause" in request.args else _REFRESH_S)
    return Response(page, content_type="text/html; charset=utf-8", headers=_HEADERS)


@contextlib.contextmanager
def _behind(server: str | None, folder: Path, base_url: str) -> Iterator[str]:
    """The endpoint to forward to: the given one, or a sandbox whose links lead to us."""
    if server is not None:
        yield server
        return
    port = _free_port()
    command = [sys.executable, "-m", "dmp_fhir", "sandbox", "--folder", str(folder), "--reset-at", "never"]
    command += ["--port", str(port), "--base-url", base_url]
    # A group of its own: Ctrl-C is ours to hand on, after the last answer.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder / "sandbox.log"
    with log.open("wb") as output:  # the terminal is for the exchanges
        sandbox = subprocess.Popen(command, start_new_session=True, stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}/fhir"
        _wait(sandbox, address, log)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(sandbox.pid, signal.SIGTERM)
        sandbox.wait(timeout=60)


def _wait(sandbox: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            requests.get(f"{address}/metadata", timeout=5).raise_for_status()
            return
        except requests.RequestException as fault:
            if sandbox.poll() is not None or time.monotonic() > until:
                raise click.ClickException(f"the sandbox did not start: see {log}") from fault
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
