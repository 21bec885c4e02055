"""What commands begin with; what is wrong is one sentence and exit code 1."""

from __future__ import annotations

import click

from dmp_fhir.app import open_database
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store import schema
from dmp_fhir.store.database import Database


def current_settings() -> Settings:
    """The settings of the environment."""
    try:
        return Settings.from_environment()
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad


def registry_of(settings: Settings) -> Database:
    """The database of the registry, at this version and with its keys; to be closed by whoever opens it."""
    if not schema.is_current(settings.database):
        raise click.ClickException("the database is not migrated to this version; run: dmp-fhir init")
    try:
        return open_database(settings)
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad
