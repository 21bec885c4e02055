"""Command: serve."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import click

from dmp_fhir import __version__
from dmp_fhir.app import AT_WORK, log_configuration
from dmp_fhir.audit.administration import trace_application
from dmp_fhir.audit.events import Observer
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.cli.safety import refuse_to_serve
from dmp_fhir.instants import system_clock
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema
from dmp_fhir.store.database import dialect_of
from dmp_fhir.telemetry import metrics
from dmp_fhir.telemetry.stopping import announce_stop

# Request line and headers together, in bytes; beyond: 431 (TF-117).
MOST_HEADERS = 32_768
# Requests that a worker takes in; those beyond `--threads` wait for a place, or for their client to send (TF-224).
MOST_CLIENTS = 256
# malloc.h of glibc.
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option("--workers", default=2, show_default=True, help="Worker processes.")
@click.option(
    "--threads",
    default=8,
    show_default=True,
    help="Requests that a worker has in hand: one works, the others wait for the disk.",
)
@click.option("--tls-cert", type=_FILE, help="End TLS here: PEM file of this server's certificate and its chain.")
@click.option("--tls-key", type=_FILE, help="PEM file of its key, when it is not in the same file.")
@click.option("--client-ca", type=_FILE, help="The setting DMP_FHIR_CLIENT_CA: authorities of client certificates.")
@click.option("--crl", type=click.Path(exists=True), help="The setting DMP_FHIR_CLIENT_CRL: their revocation lists.")
def serve(
    host: str,
    port: int,
    workers: int,
    threads: int,
    tls_cert: str | None,
    tls_key: str | None,
    client_ca: str | None,
    crl: str | None,
) -> None:
    """Serve the FHIR endpoint: with Granian, or with Gunicorn when TLS ends here."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    if (tls_key or client_ca or crl) and not tls_cert:
        raise click.UsageError("--tls-key, --client-ca and --crl go with --tls-cert")
    # Workers read their settings themselves.
    os.environ.update({"DMP_FHIR_CLIENT_CA": client_ca} if client_ca else {})
    os.environ.update({"DMP_FHIR_CLIENT_CRL": crl} if crl else {})
    os.environ.update({"DMP_FHIR_TLS_CERT": tls_cert} if tls_cert else {})
    settings = current_settings()
    if not schema.is_current(settings.database):
        raise click.ClickException("the database is not migrated to this version; run: dmp-fhir init")
    refuse_to_serve(settings)
    click.get_current_context().with_resource(_folder_of_metrics())
    click.echo(f"dmp-fhir {__version__} on {settings.base_url} ({dialect_of(settings.database)}, {workers} workers)")
    registry_of(settings).close()  # keys that are missing or wrong are told now, once
    _share_one_heap()
    _let_workers_be_stopped_while_they_start()
    os.environ[AT_WORK] = str(threads)
    if tls_cert:
        from dmp_fhir.cli.tls import serve_tls

        try:
            with _traced(settings):
                serve_tls(settings, host, port, workers, MOST_CLIENTS, tls_cert, tls_key or tls_cert)
        except ssl.SSLError as bad:
            raise click.ClickException(f"--tls-cert, --tls-key or --client-ca: {bad.reason}") from bad
        return

    class Server(Granian):  # type: ignore[misc, valid-type]
        def shutdown(self, exit_code: int = 0) -> None:
            announce_stop(settings.drain_seconds)
            super().shutdown(exit_code)

    # It finds many threads strange; nearly all of them wait for clients.
    logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in str(record.msg))
    server = Server(
        "dmp_fhir.app:create_worker",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=MOST_CLIENTS,
        backlog=1024,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=10_000, max_buffer_size=MOST_HEADERS),
        respawn_failed_workers=True,
        workers_kill_timeout=30,
        factory=True,
        websockets=False,
        log_level=LogLevels(settings.log_level),
        log_dictconfig=log_configuration(settings),
    )
    with _traced(settings):
        server.serve()


@contextmanager
def _traced(settings: Settings) -> Iterator[None]:
    """The start and the stop of the server are in the trace. Its database is opened for each and closed at once: the
    workers have connections of their own."""

    def trace(what: str) -> None:
        database = registry_of(settings)
        try:
            trace_application(database, what, system_clock(), observer=Observer(address=settings.base_url))
        finally:
            database.close()

    trace("start")
    try:
        yield
    finally:
        trace("stop")


@contextmanager
def _folder_of_metrics() -> Iterator[None]:
    """Where the workers of this server keep their figures, to be added up; gone with the server."""
    with tempfile.TemporaryDirectory(prefix="dmp-fhir-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[metrics.FOLDER_VARIABLE] = folder
        yield


def _let_workers_be_stopped_while_they_start() -> None:
    """Until a worker has its own handlers it has those of the process that forked it, where a signal to stop would be
    lost: it would go on, and be killed with its requests half a minute later (TF-226)."""
    stops = (signal.SIGTERM, signal.SIGINT)

    def in_worker() -> None:
        for each in stops:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, stops),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, stops),
        after_in_child=in_worker,
    )


def _share_one_heap() -> None:
    """Threads that take turns need no heap each: glibc would keep what a large request took once for every thread, and
    would learn to keep room for large bodies, which it gives back to the system now (mallopt(3))."""
    glibc = ctypes.CDLL(None)
    if hasattr(glibc, "mallopt"):
        glibc.mallopt(_M_ARENA_MAX, 1)
        glibc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
