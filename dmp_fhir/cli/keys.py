"""`dmp-fhir keys`: the keys at rest. Each change leaves its trace, in the name of the account that runs it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dmp_fhir.audit.administration import trace_command
from dmp_fhir.audit.events import THIS_SERVER
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.instants import instant_text, system_clock
from dmp_fhir.registry.payloads import encrypt_documents, in_clear
from dmp_fhir.store import key_store
from dmp_fhir.store.database import Database, dialect_of
from dmp_fhir.store.errors import StoreUnavailable
from dmp_fhir.store.identifiers import keys_of
from dmp_fhir.store.key_store import KeyStore
from dmp_fhir.store.payloads import PayloadStore


@click.group()
def keys() -> None:
    """Keys at rest: which master key wraps what, rotation, copy."""


@keys.command()
def status() -> None:
    """Show each master key version and how many keys it wraps, and what is still in clear."""
    database = registry_of(current_settings())
    store = _store(database)
    for each in store.states():
        state = f"retired {instant_text(each.retired)}" if each.retired is not None else "at hand"
        if each.retired is None and not each.at_hand:
            state = "missing"
        click.echo(f"version {each.version}: {each.wraps} keys, made {instant_text(each.created)}, {state}")
    with database.snapshot() as reader:
        row = reader.row("SELECT plain_readable FROM keys_in_use")
        if row and row[0]:
            click.echo(f"documents in clear: {in_clear(reader)}; encrypt them: dmp-fhir keys encrypt")
            click.echo("bodies of before the keys stay as they are: tables of versions and traces are never rewritten")


@keys.command()
def rotate() -> None:
    """Wrap every key by a new master key. Can be cut off at any moment and run again; the server goes on meanwhile.
    Content is not encrypted again."""
    database = registry_of(current_settings())
    store = _store(database)
    try:
        version, behind = store.begin_rotation(system_clock())
        _trace(database, "KEY_ROTATION_BEGUN", version)
        with _progress() as bar:
            task = bar.add_task("keys", total=behind)
            rewrapped = store.rewrap(version, lambda number: bar.advance(task, number))
        _trace(database, "KEY_ROTATION_DONE", version)
    except StoreUnavailable as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"{rewrapped} keys are under version {version} now; retire the one before: dmp-fhir keys retire VERSION")


@keys.command()
@click.argument("version", type=click.IntRange(1))
def retire(version: int) -> None:
    """Destroy a master key VERSION that wraps nothing any more. Copies of the key store from before the rotation can
    then be opened by nobody."""
    database = registry_of(current_settings())
    try:
        _store(database).retire(version, system_clock())
    except StoreUnavailable as problem:
        raise click.ClickException(str(problem)) from problem
    _trace(database, "KEY_RETIRED", version)
    click.echo(f"version {version} is retired")


@keys.command()
def encrypt() -> None:
    """Encrypt the documents that an older version stored in clear. Can be cut off at any moment and run again; the
    server goes on meanwhile."""
    settings = current_settings()
    database, payloads = registry_of(settings), PayloadStore(settings.payload_folder)
    with database.snapshot() as reader:
        total = in_clear(reader)
    if total:
        _trace(database, "ENCRYPTION_BEGUN", None)
    with _progress() as bar:
        task = bar.add_task("documents", total=total)
        done = encrypt_documents(database, payloads, lambda: bar.advance(task))
    click.echo(f"{done} documents encrypted; their files in clear go with: dmp-fhir collect (after an hour)")


@keys.command()
@click.argument("target", type=click.Path(path_type=Path))
def copy(target: Path) -> None:
    """Copy the wrapped keys of the records to the file TARGET (key store in SQLite), while the server runs. Keep it
    away from the backups of the database, and keep few: docs/operating.md."""
    settings = current_settings()
    if dialect_of(settings.key_store) != "sqlite":
        raise click.ClickException("the key store is in PostgreSQL: copy it with pg_dump, apart from the registry's")
    if target.exists():
        raise click.ClickException(f"{target} is here already")
    key_store.copy(settings.key_store, target)
    _trace(registry_of(settings), "KEYS_COPIED", None)
    click.echo(f"copied to {target}; the master keys are not in it")


def _store(database: Database) -> KeyStore:
    with database.snapshot() as reader:
        return keys_of(reader).store


def _trace(database: Database, reason: str, version: int | None) -> None:
    detail = reason if version is None else f"{reason} {version}"
    trace_command(database, "keys", system_clock(), observer=THIS_SERVER, reason=detail)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
