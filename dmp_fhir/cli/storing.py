"""Commands on the database and the documents: init, migrate, check, collect."""

from __future__ import annotations

import sys

import click

from dmp_fhir.audit.administration import trace_command
from dmp_fhir.audit.events import Observer
from dmp_fhir.cli.opening import current_settings, note_reading, registry_of
from dmp_fhir.cli.tokens import sandbox_of
from dmp_fhir.instants import system_clock
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema
from dmp_fhir.store.check import check as check_store
from dmp_fhir.store.database import Database
from dmp_fhir.store.errors import KeysRefused
from dmp_fhir.store.opening import TABLES_WITH_MATRICULES, give_keys, master_keys
from dmp_fhir.store.payloads import PayloadStore

ORPHAN_GRACE_MS = 3_600_000


@click.command()
def init() -> None:
    """Create the data folder and bring the database to this version."""
    settings = current_settings()
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = schema.current(settings.database)
    schema.upgrade(settings.database)
    give_keys_to(settings)
    _trace_migration(settings, before)
    if settings.profile == "development":
        sandbox_of(settings)
    database = registry_of(settings)
    database.sealing.seal_now()
    database.close()
    click.echo(f"database at version {schema.current(settings.database)}")


def give_keys_to(settings: Settings) -> None:
    """Keys for the records, when the registry has none yet."""
    database = Database.open(settings.database)
    try:
        masters = master_keys(settings.key_folder, settings.master_keys)
        hidden = give_keys(database, settings.key_store, masters, system_clock(), click.echo)
    except KeysRefused as refused:
        raise click.ClickException(str(refused)) from refused
    finally:
        database.close()
    if hidden:
        schema.forget(settings.database, TABLES_WITH_MATRICULES)


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


@click.command()
@click.argument("revision", default="head")
@click.option("--down", is_flag=True, help="Go back to REVISION: says what would be lost, and does nothing then.")
@click.option("--yes", is_flag=True, help="With --down: do it, and lose that.")
def migrate(revision: str, down: bool, yes: bool) -> None:
    """Bring the database to REVISION (stop the server first)."""
    settings = current_settings()
    if down:
        lost = schema.losses(settings.database, revision)
        for loss in lost:
            click.echo(f"lost: {loss}")
        if lost and not yes:
            raise click.ClickException("nothing was done; to go back and lose this: --yes (make a backup first)")
    before = schema.current(settings.database)
    (schema.downgrade if down else schema.upgrade)(settings.database, revision)
    _trace_migration(settings, before)
    click.echo(f"database at version {schema.current(settings.database)}")


@click.command()
def check() -> None:
    """Verify the database and the documents; exit code 1 when something is wrong."""
    settings = current_settings()
    database = registry_of(settings)
    findings = check_store(database, PayloadStore(settings.payload_folder))
    for finding in findings:
        click.echo(finding)
    note_reading(database, "check", f"{len(findings)} findings")
    click.echo("sound" if not findings else f"{len(findings)} findings")
    sys.exit(1 if findings else 0)


@click.command()
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
