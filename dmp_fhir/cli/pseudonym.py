"""Command: pseudonym."""

from __future__ import annotations

import click

from dmp_fhir.app import pseudonyms
from dmp_fhir.cli.opening import current_settings


@click.command(name="pseudonym")
@click.argument("value")
def show_pseudonym(value: str) -> None:
    """Print what stands in the logs for VALUE, a number of a person or structure."""
    click.echo(pseudonyms(current_settings()).of(value))
