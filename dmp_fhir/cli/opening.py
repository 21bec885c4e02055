"""What commands begin with; what is wrong is one sentence and exit code 1. Command: settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from dmp_fhir.instants import system_clock
from dmp_fhir.settings import BadSetting, Settings, describe

if TYPE_CHECKING:
    from dmp_fhir.store.database import Database


def current_settings() -> Settings:
    """The settings of the environment."""
    try:
        return Settings.from_environment()
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad


def registry_of(settings: Settings) -> Database:
    """The database of the registry, at this version and with its keys; to be closed by whoever opens it."""
    # Imported here: commands that open no registry would wait a second for it.
    from dmp_fhir.app import open_database
    from dmp_fhir.store import schema

    if not schema.is_current(settings.database):
        raise click.ClickException("the database is not migrated to this version; run: dmp-fhir init")
    try:
        return open_database(settings)
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad


def note_reading(database: Database, command: str, reason: str, record_ids: Iterable[str] = ()) -> None:
    """Trace a command that only read (audit/administration.py), or say that it could not be traced."""
    from dmp_fhir.audit.administration import trace_reading

    if not trace_reading(database, command, system_clock(), reason, record_ids):
        click.echo("this command could not be traced: the trace can't be written", err=True)


@click.command(name="settings")
def list_settings() -> None:
    """Print every setting with its default and meaning."""
    click.echo(describe(), nl=False)
