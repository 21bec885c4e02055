"""Commands: serve, init, load, seed, token, personas, check, collect, migrate, settings, pseudonym."""

from __future__ import annotations

import ctypes
import logging
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import click

from dmp_fhir import __version__
from dmp_fhir.app import AT_WORK, build_services, log_configuration, pseudonyms
from dmp_fhir.audit.administration import trace_application, trace_command
from dmp_fhir.audit.events import Observer
from dmp_fhir.cli.loading import Loader, world_files
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.cli.safety import refuse_to_serve
from dmp_fhir.identity.claims import INS_STATUSES
from dmp_fhir.identity.identifiers import normalised_structure
from dmp_fhir.identity.sandbox import LONGEST_LIFETIME_S, PURPOSES, Sandbox, personas, structures
from dmp_fhir.instants import system_clock
from dmp_fhir.settings import Settings, describe
from dmp_fhir.store import schema
from dmp_fhir.store.check import check as check_store
from dmp_fhir.store.database import Database, dialect_of
from dmp_fhir.store.errors import KeysRefused
from dmp_fhir.store.opening import give_keys, master_keys
from dmp_fhir.store.payloads import PayloadStore
from dmp_fhir.telemetry import metrics
from dmp_fhir.telemetry.stopping import announce_stop

ORPHAN_GRACE_MS = 3_600_000
# Request line and headers together, in bytes; beyond: 431 (TF-117).
MOST_HEADERS = 32_768
# Requests that a worker takes in; those beyond `--threads` wait for a place, or for their client to send (TF-224).
MOST_CLIENTS = 256
# malloc.h of glibc.
_M_ARENA_MAX = -8
_FILE = click.Path(exists=True, dir_okay=False)


def _sandbox(settings: Settings) -> Sandbox:
    if settings.profile == "production":
        raise click.ClickException(
            "the sandbox issuer is for development: with DMP_FHIR_PROFILE=production nothing trusts it"
        )
    return Sandbox(settings.key_folder)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dmp-fhir")
def main() -> None:
    """Document registry server for the French shared medical record (DMP), in HL7 FHIR R4."""


@main.command()
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
    settings = current_settings()
    if not schema.is_current(settings.database):
        raise click.ClickException("the database is not migrated to this version; run: dmp-fhir init")
    refuse_to_serve(settings)
    click.get_current_context().with_resource(_folder_of_metrics())
    click.echo(f"dmp-fhir {__version__} on {settings.base_url} ({dialect_of(settings.database)}, {workers} workers)")
    registry_of(settings).close()  # keys that are missing or wrong are told now, once
    _share_one_heap()
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


def _share_one_heap() -> None:
    """Threads that take turns need no heap each: glibc would keep what a large request took once for every thread."""
    glibc = ctypes.CDLL(None)
    if hasattr(glibc, "mallopt"):
        glibc.mallopt(_M_ARENA_MAX, 1)


@main.command()
def init() -> None:
    """Create the data folder and bring the database to this version."""
    settings = current_settings()
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = schema.current(settings.database)
    schema.upgrade(settings.database)
    give_keys_to(settings)
    _trace_migration(settings, before)
    if settings.profile == "development":
        _sandbox(settings)
    database = registry_of(settings)
    database.sealing.seal_now()
    database.close()
    click.echo(f"database at version {schema.current(settings.database)}")


def give_keys_to(settings: Settings) -> None:
    """Keys for the records, when the registry has none yet."""
    database = Database.open(settings.database)
    try:
        masters = master_keys(settings.key_folder, settings.master_keys)
        give_keys(database, settings.key_store, masters, system_clock(), click.echo)
    except KeysRefused as refused:
        raise click.ClickException(str(refused)) from refused
    finally:
        database.close()


def _trace_migration(settings: Settings, before: str | None) -> None:
    """A trace that this program can write in: that of its own version."""
    after = schema.current(settings.database)
    if before != after and schema.is_current(settings.database):
        _trace(settings, "migrate", f"{before or 'nothing'} to {after}")


def _trace(settings: Settings, command: str, reason: str) -> None:
    database = registry_of(settings)
    try:
        observer = Observer(address=settings.base_url)
        trace_command(database, command, system_clock(), observer=observer, reason=reason)
    finally:
        database.close()


@main.command()
@click.argument("revision", default="head")
@click.option("--down", is_flag=True, help="Go back to REVISION.")
def migrate(revision: str, down: bool) -> None:
    """Bring the database to REVISION (stop the server first)."""
    settings = current_settings()
    before = schema.current(settings.database)
    (schema.downgrade if down else schema.upgrade)(settings.database, revision)
    _trace_migration(settings, before)
    click.echo(f"database at version {schema.current(settings.database)}")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--as", "persona", default=None, help="Persona who submits, for bundles that name none in meta.tag.")
def load(files: tuple[Path, ...], persona: str | None) -> None:
    """Feed FHIR bundles (transaction or batch), with a progress bar and a summary."""
    _load(files, persona)


@main.command()
def seed() -> None:
    """Feed the demonstration world (fixtures/world) to an empty registry."""
    with Database.open(current_settings().database).snapshot() as reader:
        row = reader.row("SELECT COUNT(*) FROM record WHERE status <> 'directory'")
    if row and row[0]:
        click.echo(f"{row[0]} records are here already: nothing was fed")
        return
    _load(world_files(), None)


def _load(files: Sequence[Path], persona: str | None) -> None:
    settings = current_settings()
    _sandbox(settings)
    loader = Loader(build_services(settings), persona)
    loader.load(files)
    reason = f"{loader.files} bundles, {len(loader.refused)} refused"
    observer = loader.services.observer
    trace_command(loader.services.database, "load", system_clock(), observer=observer, reason=reason)
    loader.summary()
    sys.exit(1 if loader.refused else 0)


def _known_structure(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None or normalised_structure(value):
        return value
    known = "\n".join(f"  {identifier}  {name}" for identifier, name in structures().items())
    raise click.BadParameter(f"{value!r} is no Struct_IdNat with a right key; in the demonstration world:\n{known}")


@main.command()
@click.argument("persona")
@click.option("--purpose", type=click.Choice(list(PURPOSES)), default=None, help="That of the persona when not told.")
@click.option("--motive", "reason", default=None, help="Motive of an emergency access, 10 characters or more.")
@click.option("--structure", default=None, callback=_known_structure, help="Struct_IdNat of the practice in use.")
@click.option("--patient-request", is_flag=True, help="The act is done at the patient's request (AR-61).")
@click.option("--patient-agreement", is_flag=True, help="The patient agreed (AR-22).")
@click.option("--secret", is_flag=True, help="Secret connection of a minor (AR-82).")
@click.option("--ins-status", type=click.Choice(sorted(INS_STATUSES)), default=None, help="Status of the INS (AR-19).")
@click.option(
    "--lifetime", default=3600, show_default=True, type=click.IntRange(1, LONGEST_LIFETIME_S), help="Seconds."
)
def token(persona: str, lifetime: int, **claims: str | bool | None) -> None:
    """Print an access token for PERSONA (`dmp-fhir personas` lists them). Sandbox only."""
    sandbox = _sandbox(current_settings())
    if persona not in personas():
        near = get_close_matches(persona, personas(), 3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise click.ClickException(f"no persona {persona!r}{hint}. See: dmp-fhir personas")
    given = {name: value for name, value in claims.items() if value}
    click.echo(sandbox.issue(persona, now_ms=system_clock(), lifetime_s=lifetime, **given))


@main.command(name="personas")
def list_personas() -> None:
    """List the personas of the sandbox: name for `token`, category, national identifier, structure, who it is."""
    for each in personas().values():
        identifier = each.person_id if each.category == "PATIENT" and each.person_id else each.identifier
        click.echo(
            f"{each.slug:28} {each.category:12} {identifier:43} {each.structure or '-':10} {each.name}, {each.label}"
        )


@main.command()
def check() -> None:
    """Verify the database and the documents; exit code 1 when something is wrong."""
    settings = current_settings()
    database = registry_of(settings)
    findings = check_store(database, PayloadStore(settings.payload_folder))
    for finding in findings:
        click.echo(finding)
    click.echo("sound" if not findings else f"{len(findings)} findings")
    sys.exit(1 if findings else 0)


@main.command()
def collect() -> None:
    """Remove documents that no row names and that are over an hour old."""
    settings = current_settings()
    store = PayloadStore(settings.payload_folder)
    database, now = registry_of(settings), system_clock()
    collected = store.collect_orphans(database, ORPHAN_GRACE_MS, now)
    if collected.count:
        observer = Observer(address=settings.base_url)
        trace_command(database, "collect", now, observer=observer, reason=f"{collected.count} files")
    click.echo(f"{collected.count} files, {collected.bytes} bytes")


@main.command(name="settings")
def list_settings() -> None:
    """Print every setting with its default and meaning."""
    click.echo(describe(), nl=False)


@main.command(name="pseudonym")
@click.argument("value")
def show_pseudonym(value: str) -> None:
    """Print what stands in the logs for VALUE, a number of a person or structure."""
    click.echo(pseudonyms(current_settings()).of(value))
