"""`dmp-fhir callers`: who may call, as the files of the settings say."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from dmp_fhir.identity import setup
from dmp_fhir.identity.clients import Client, read_clients
from dmp_fhir.identity.expiring import endings
from dmp_fhir.identity.issuers import TrustedIssuer
from dmp_fhir.identity.keys import RemoteKeys
from dmp_fhir.instants import instant_text, system_clock
from dmp_fhir.settings import BadSetting, Settings


@click.command()
def callers() -> None:
    """List the issuers, proxies and clients of the settings, and the certificates and revocation lists that end soon;
    exit code 1 when one of their files is wrong."""
    try:
        settings = Settings.from_environment()
        trusted = setup.issuers(settings, system_clock, nullcontext)
        setup.verifier(settings, system_clock, nullcontext)
        setup.peers(settings, system_clock)
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad
    for issuer in trusted:
        click.echo(f"issuer {issuer.issuer} ({issuer.kind}): {', '.join(_means(issuer))}; scope {issuer.scope}")
    click.echo(f"client certificates: {settings.client_ca or 'none'}; lists: {settings.client_crl or 'none'}")
    click.echo(f"proxies: {settings.proxies or 'none'}")
    if settings.clients_file:
        for client in read_clients(Path(settings.clients_file)).values():
            click.echo(f"client {client.client_id} ({client.name}): {', '.join(_state(client))}")
    else:
        click.echo("clients: those of the issuers")
    now_ms = system_clock()
    for each in endings(settings, now_ms):
        subject = f" ({each.subject})" if each.subject else ""
        click.echo(f"soon: {each.told(now_ms)}; end {instant_text(each.ends_ms)}{subject}")


def _means(issuer: TrustedIssuer) -> list[str]:
    means = []
    if isinstance(issuer.keys, RemoteKeys):
        means.append("published keys")
    elif issuer.keys is not None:
        means.append("keys in the file")
    if issuer.introspection is not None:
        means.append(f"introspection every {issuer.introspection.recheck_s} s")
    if issuer.userinfo is not None:
        means.append(f"userinfo every {issuer.userinfo.recheck_s} s")
    return means


def _state(client: Client) -> list[str]:
    state = ["disabled" if client.disabled else "account without token" if client.account else "tokens"]
    if client.structure:
        state.append(f"structure {client.structure}")
    state.append("with its certificates" if client.certified else "without certificate")
    return state
