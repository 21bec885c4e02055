"""Commands of the sandbox issuer: token, personas. Light: a run of the conformance suite starts `token` for each
persona."""

from __future__ import annotations

from difflib import get_close_matches

import click

from dmp_fhir.cli.opening import current_settings
from dmp_fhir.identity.context import INS_STATUSES
from dmp_fhir.identity.identifiers import normalised_structure
from dmp_fhir.identity.sandbox import LONGEST_LIFETIME_S, PURPOSES, Sandbox, personas, structures
from dmp_fhir.instants import system_clock
from dmp_fhir.settings import Settings


def sandbox_of(settings: Settings) -> Sandbox:
    """The sandbox issuer of the data folder; its key pair is made when it is not there."""
    if settings.profile == "production":
        raise click.ClickException(
            "the sandbox issuer is for development: with DMP_FHIR_PROFILE=production nothing trusts it"
        )
    return Sandbox(settings.key_folder)


def _known_structure(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None or normalised_structure(value):
        return value
    known = "\n".join(f"  {identifier}  {name}" for identifier, name in structures().items())
    raise click.BadParameter(f"{value!r} is no Struct_IdNat with a right key; in the demonstration world:\n{known}")


@click.command()
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
    sandbox = sandbox_of(current_settings())
    if persona not in personas():
        near = get_close_matches(persona, personas(), 3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise click.ClickException(f"no persona {persona!r}{hint}. See: dmp-fhir personas")
    given = {name: value for name, value in claims.items() if value}
    click.echo(sandbox.issue(persona, now_ms=system_clock(), lifetime_s=lifetime, **given))


@click.command(name="personas")
def list_personas() -> None:
    """List the personas of the sandbox: name for `token`, category, national identifier, structure, who it is."""
    for each in personas().values():
        identifier = each.person_id if each.category == "PATIENT" and each.person_id else each.identifier
        click.echo(
            f"{each.slug:28} {each.category:12} {identifier:43} {each.structure or '-':10} {each.name}, {each.label}"
        )
