"""`dmp-fhir safety`, and the same checks before `dmp-fhir serve`."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from dmp_fhir.safety import ALL, Place, problems, refuse_unsafe
from dmp_fhir.settings import BadSetting, Settings


def refuse_to_serve(settings: Settings) -> None:
    """ClickException with every reason why the production profile does not start here."""
    try:
        refuse_unsafe(settings, ALL)
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad


@click.command()
def safety() -> None:
    """Tell what the production profile would refuse to start with, all at once, whatever the profile is now; exit code
    1 when there is something."""
    try:
        found = problems(Place(replace(Settings.from_environment(), profile="production")))
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad
    for sentence in found:
        click.echo(f"- {sentence}")
    click.echo(f"{len(found)} problems" if found else "safe")
    sys.exit(1 if found else 0)
