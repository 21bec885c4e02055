"""The trace as a log that proves itself: seal, verify, prove (docs/audit.md)."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import click

from dmp_fhir.audit import proofs
from dmp_fhir.audit.administration import trace_command
from dmp_fhir.audit.answers import consistency_answer, inclusion_answer
from dmp_fhir.audit.events import THIS_SERVER
from dmp_fhir.audit.findings import Report
from dmp_fhir.audit.forwarding import forward
from dmp_fhir.audit.grants import grants_for
from dmp_fhir.audit.heads import HeadKeys, Witness
from dmp_fhir.audit.verification import verify as verify_log
from dmp_fhir.cli.opening import current_settings, note_reading, registry_of
from dmp_fhir.cli.sending import repository_of
from dmp_fhir.instants import instant_text, system_clock
from dmp_fhir.settings import BadSetting


@click.group()
def audit() -> None:
    """The trace of all acts: sign it, prove that nothing in it was changed, print proofs."""


@audit.command()
def seal() -> None:
    """Sign the head of the log as it is now, and write it outside the database."""
    head = registry_of(current_settings()).sealing.seal_now()
    if head is None:
        click.echo("the log is empty")
        return
    click.echo(f"size {head.size}  root {head.root.hex()}  {instant_text(head.time)}  key {head.key_id}")


@audit.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--heads", type=click.Path(exists=True, path_type=Path), help="Folder of the heads kept elsewhere, instead of ours."
)
def verify(as_json: bool, heads: Path | None) -> None:
    """Read the whole log and prove it, or name the first entry that was altered, removed, inserted or moved. Exit code
    1 when something is wrong. Safe while the server runs."""
    settings = current_settings()
    keys = HeadKeys(settings.key_folder).public()
    with closing(registry_of(settings)) as database:
        report = verify_log(database, keys, Witness(heads or settings.heads_folder), system_clock())
        if as_json:
            click.echo(json.dumps(report.as_dict(), indent=1))
        else:
            for finding in report.findings:
                click.echo(str(finding))
            click.echo(_counted(report))
        note_reading(database, "audit-read", "PREUVE_FAITE" if report.proven else "PREUVE_IMPOSSIBLE")
    sys.exit(0 if report.proven else 1)


def _counted(report: Report) -> str:
    proven = "proven" if report.proven else f"NOT PROVEN: {len(report.findings)} findings, the first one above"
    return (
        f"{report.entries} entries of {report.records} records, {report.erased} erased; {report.heads} signed heads,"
        f" {report.unsealed} entries since the latest\n{proven}"
    )


@audit.command()
@click.argument("event_id")
def prove(event_id: str) -> None:
    """Print the proof that the AuditEvent EVENT_ID is in the log, as the operation $inclusion-proof answers it."""
    database = registry_of(current_settings())
    database.sealing.seal_now()
    with database.snapshot() as reader:
        found = proofs.inclusion(reader, event_id)
    if found is None:
        raise click.ClickException(f"there is no AuditEvent {event_id}")
    note_reading(database, "audit-read", "PREUVE", [found.record_id] if found.record_id else [])
    click.echo(json.dumps(inclusion_answer(found, open_place=True), indent=1))


@audit.command()
@click.argument("first", type=click.IntRange(1))
@click.argument("second", type=click.IntRange(1), required=False)
def consistency(first: int, second: int | None) -> None:
    """Print the proof that the log of SECOND entries (the latest head when left out) begins with that of FIRST, both
    sizes of signed heads, as the operation $consistency-proof answers it."""
    with closing(registry_of(current_settings())) as database, database.snapshot() as reader:
        found = proofs.consistency(reader, first, second)
    if found is None:
        raise click.ClickException("there are no signed heads of these sizes, the first not after the second")
    click.echo(json.dumps(consistency_answer(found), indent=1))


@audit.command(name="rotate")
def rotate_key() -> None:
    """Sign heads with a new key; the old public key is kept. Servers use it from their next start."""
    settings = current_settings()
    database = registry_of(settings)
    database.sealing.seal_now()
    new = HeadKeys(settings.key_folder).replace()
    trace_command(database, "keys", system_clock(), observer=THIS_SERVER, reason=f"AUDIT_KEY_REPLACED {new}")
    click.echo(f"key {new}")


@audit.command()
@click.argument("role")
def grants(role: str) -> None:
    """Print the SQL that gives the PostgreSQL account ROLE what the server needs, and no right to change the trace."""
    try:
        click.echo(grants_for(role), nl=False)
    except ValueError as bad:
        raise click.UsageError(str(bad)) from bad


@audit.command(name="forward")
def forward_now() -> None:
    """Hand over to the audit repository (DMP_FHIR_AUDIT_REPOSITORY) what it has not yet; exit code 1 when some waits.
    `dmp-fhir jobs run` does it too."""
    settings = current_settings()
    database = registry_of(settings)
    try:
        repository = repository_of(settings)
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad
    if repository is None:
        raise click.ClickException("DMP_FHIR_AUDIT_REPOSITORY names no repository")
    done = forward(database, repository, settings.data_folder, system_clock())
    click.echo(done)
    sys.exit(1 if done.waiting else 0)
