"""Commands: backup, verify-backup, restore. Each copy and each return of the whole registry is in its trace."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dmp_fhir.app import backup_key
from dmp_fhir.audit.administration import trace_command
from dmp_fhir.audit.events import THIS_SERVER
from dmp_fhir.audit.heads import HEADS_FILE, HeadKeys
from dmp_fhir.audit.verification import verify as verify_log
from dmp_fhir.backup.archive import Manifest, verify
from dmp_fhir.backup.restoring import NotRestored, make
from dmp_fhir.backup.restoring import restore as restore_file
from dmp_fhir.backup.sealed import KEY_BYTES, BackupDamaged
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.cli.storing import give_keys_to
from dmp_fhir.instants import instant_text, system_clock
from dmp_fhir.jobs import erase_again
from dmp_fhir.settings import Settings
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore

_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_EXISTING = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_KEY = click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of the backup key, when it is not that of the data folder.",
)


@click.command()
@_FILE
def backup(file: Path) -> None:
    """Write everything to FILE, encrypted, while the server works: every row and every document, of one moment. The
    keys are not in it: keep the folder `keys` of the data folder elsewhere, it is needed to restore."""
    settings = current_settings()
    if file.exists():
        raise click.ClickException(f"{file} is there already")
    if not file.parent.is_dir():
        raise click.ClickException(f"{file.parent} is no folder")
    key = backup_key(settings, new=True)
    database = registry_of(settings)
    with _told():
        manifest = make(file, key or b"", database, PayloadStore(settings.payload_folder), system_clock())
    _trace(database, "SAUVEGARDE")
    _summary(manifest)
    click.echo(f"{file.stat().st_size} bytes in {file}")
    for name in manifest.documents.absent:
        click.echo(f"document {name} is missing or damaged in the registry: not in the backup", err=True)
    sys.exit(1 if manifest.documents.absent else 0)


@click.command(name="verify-backup")
@_EXISTING
@_KEY
def verify_backup(file: Path, key_file: Path | None) -> None:
    """Read all of FILE and say whether it is what was written; exit code 1 and the cause when it is not."""
    with _told():
        head, manifest = verify(file, _key(current_settings(), key_file))
    click.echo(f"made on {instant_text(head.made)} by version {head.version}, {head.dialect}, schema {head.revision}")
    _summary(manifest)
    click.echo("whole")


@click.command()
@_EXISTING
@click.option(
    "--replace",
    is_flag=True,
    help="Drop the registry that is here first. It is lost: without this, how much that is, is said.",
)
@_KEY
def restore(file: Path, replace: bool, key_file: Path | None) -> None:
    """Put the registry of FILE into the database and the data folder of the settings, SQLite or PostgreSQL, whichever
    it came from, and check it. Stop the server first. An interrupted restore leaves an empty registry: run it again."""
    settings = current_settings()
    key = _key(settings, key_file)
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    payloads = PayloadStore(settings.payload_folder)
    with _told():
        restored = restore_file(
            file, key, settings.database, payloads, replace=replace, opening=lambda _: _restored(settings)
        )
    database = registry_of(settings)
    proof = verify_log(database, HeadKeys(settings.key_folder).public(), None, system_clock())
    # Nobody signs a head while a registry is not served: that its latest is old is no finding here.
    findings = [*restored.findings, *(str(each) for each in proof.findings if each.kind != "stale")]
    _trace(database, "RESTAURATION")
    if not (settings.heads_folder / HEADS_FILE).exists():
        database.sealing.seal_now()  # the file of heads begins with those of the restored log
    click.echo(f"state of {instant_text(restored.head.made)}, made by version {restored.head.version}")
    _summary(restored.manifest)
    click.echo(f"trace: {proof.entries} entries{', proven' if not findings else ''}")
    for finding in findings:
        click.echo(finding)
    click.echo("same as the backup, sound" if not findings else f"{len(findings)} findings")
    sys.exit(1 if findings else 0)


def _restored(settings: Settings) -> Database:
    """The registry with its keys. What was erased since the backup goes again: its keys are destroyed (TF-246)."""
    give_keys_to(settings)
    database = registry_of(settings)
    erase_again(database, system_clock())
    return database


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (BackupDamaged, NotRestored) as cause:
        raise click.ClickException(str(cause)) from cause


def _key(settings: Settings, file: Path | None) -> bytes:
    key = file.read_bytes() if file else backup_key(settings, new=False)
    if key is None:
        raise click.ClickException("keys/backup.key is not in the data folder: put the keys back first, or name --key")
    if len(key) != KEY_BYTES:
        raise click.ClickException(f"a backup key has {KEY_BYTES} bytes")
    return key


def _summary(manifest: Manifest) -> None:
    records = max(0, manifest.tables["record"].rows - 1)  # the directory is a row, and no record
    rows = sum(each.rows for each in manifest.tables.values())
    documents = manifest.documents
    click.echo(f"{records} records, {rows} rows, {documents.count} documents of {documents.bytes} bytes")


def _trace(database: Database, reason: str) -> None:
    trace_command(database, "backup", system_clock(), observer=THIS_SERVER, reason=reason)
