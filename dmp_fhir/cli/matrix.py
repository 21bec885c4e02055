"""`dmp-fhir policy matrix`: the habilitation matrix in force, checked, changed. Every change leaves its trace."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from dmp_fhir.audit.administration import trace_command
from dmp_fhir.audit.events import Observer
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.files import replace_whole
from dmp_fhir.instants import system_clock
from dmp_fhir.policy.matrix import FILE_NAME, BadMatrix, in_force, packaged, read_matrix
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema


@click.group()
def matrix() -> None:
    """The habilitation matrix: which types of document each profession may consult."""


@matrix.command()
def show() -> None:
    """Print the matrix in force: version, and each row with its confidence."""
    try:
        found = in_force(current_settings().data_folder)
    except BadMatrix as bad:
        raise click.ClickException(str(bad)) from bad
    click.echo(f"version {found.version}: {found.title_en}")
    for kind, rows in (("profession", found.professions), ("role", found.roles)):
        for row in rows.values():
            word = "reads" if row.default.read else "does not read"
            others = ", ".join(f"{code} ({cell.confidence})" for code, cell in sorted(row.exceptions.items()))
            end = f", but for: {others}" if others else ""
            click.echo(f"{kind:10} {row.code:4} {row.label}: {word} ({row.default.confidence}){end}")


@matrix.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(file: Path) -> None:
    """Check FILE and put it in force; servers use it from their next start, and name its version in the trace."""
    settings = current_settings()
    data = file.read_bytes()
    try:
        found = read_matrix(data)
    except BadMatrix as bad:
        raise click.ClickException(f"{file}: {bad}") from bad
    if found.version in _versions(settings.data_folder, data):
        raise click.ClickException(f"{file}: another matrix already has the version {found.version}; give it its own")
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_whole(settings.data_folder / FILE_NAME, data, 0o644)
    _trace_matrix(settings, f"version {found.version}")
    click.echo(f"version {found.version} in force at the next start of the server")


def _trace_matrix(settings: Settings, reason: str) -> None:
    """The matrix can be changed before there is a database; the trace then begins with the first start."""
    if schema.is_current(settings.database):
        database = registry_of(settings)
        observer = Observer(address=settings.base_url)
        trace_command(database, "policy-matrix", system_clock(), observer=observer, reason=reason)


def _versions(folder: Path, data: bytes) -> set[str]:
    """The versions that the trace may name already, for another content."""
    versions = {packaged().version}
    path = folder / FILE_NAME
    if path.exists() and path.read_bytes() != data:
        with contextlib.suppress(BadMatrix):
            versions.add(in_force(folder).version)
    return versions


@matrix.command()
def reset() -> None:
    """Go back to the matrix that comes with the program."""
    settings = current_settings()
    (settings.data_folder / FILE_NAME).unlink(missing_ok=True)
    _trace_matrix(settings, f"version {packaged().version}")
    click.echo("the packaged matrix is in force at the next start of the server")
