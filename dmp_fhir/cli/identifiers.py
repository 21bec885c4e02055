"""`dmp-fhir identifier`: what a national number is, and whether its key is right."""

from __future__ import annotations

import sys

import click

from dmp_fhir.identity.recognition import readings


@click.command()
@click.argument("value")
def identifier(value: str) -> None:
    """Tell what VALUE may be and whether its key is right: INS, RPPS, ADELI, FINESS, SIREN, SIRET, PS_IdNat or
    Struct_IdNat; bare, as system|value, or as value^^^&OID&ISO^NH. Exit code 1 when nothing fits."""
    found = readings(value.strip())
    for each in found:
        click.echo(f"{'right' if each.right else 'WRONG'}  {each.name}{f': {each.remark}' if each.remark else ''}")
    if not found:
        click.echo("not a national identifier of a form known here")
    sys.exit(0 if any(each.right for each in found) else 1)
