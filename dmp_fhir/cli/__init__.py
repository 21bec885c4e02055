"""dmp-fhir: the command of the operator and of the integrator."""

from __future__ import annotations

from typing import Any

import click

from dmp_fhir import __version__
from dmp_fhir.cli.lazy import LazyGroup
from dmp_fhir.store.errors import KeysUnavailable, MigrationRefused, StoreUnavailable

_CLI = "dmp_fhir.cli"
COMMANDS = {
    "audit": f"{_CLI}.audit:audit",
    "backup": f"{_CLI}.backups:backup",
    "barometer": f"{_CLI}.barometer:barometer",
    "callers": f"{_CLI}.callers:callers",
    "check": f"{_CLI}.storing:check",
    "collect": f"{_CLI}.storing:collect",
    "conformance": "dmp_fhir.conformance.cli:conformance",
    "identifier": f"{_CLI}.identifiers:identifier",
    "init": f"{_CLI}.storing:init",
    "jobs": f"{_CLI}.operator:jobs",
    "keys": f"{_CLI}.keys:keys",
    "load": f"{_CLI}.loading:load",
    "migrate": f"{_CLI}.storing:migrate",
    "personas": f"{_CLI}.tokens:list_personas",
    "policy": f"{_CLI}.policy:policy",
    "profiles": f"{_CLI}.validation:profiles_group",
    "pseudonym": f"{_CLI}.pseudonym:show_pseudonym",
    "record": f"{_CLI}.operator:record",
    "restore": f"{_CLI}.backups:restore",
    "review": f"{_CLI}.operator:review",
    "safety": f"{_CLI}.safety:safety",
    "sandbox": f"{_CLI}.sandbox:sandbox",
    "seed": f"{_CLI}.loading:seed",
    "serve": f"{_CLI}.serving:serve",
    "settings": f"{_CLI}.opening:list_settings",
    "token": f"{_CLI}.tokens:token",
    "validate": f"{_CLI}.validation:validate",
    "verify-backup": f"{_CLI}.backups:verify_backup",
}


class Operator(LazyGroup):
    """Says in a sentence what the operator has to see to, whatever the command."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeysUnavailable, MigrationRefused) as sentence:
            raise click.ClickException(str(sentence)) from sentence
        except StoreUnavailable as away:
            raise click.ClickException(
                f"the database is not available ({away}): it is stopped, its disk is full, somebody else holds it, or"
                " DATABASE_URL is wrong; nothing was done by halves, run it again"
            ) from away


@click.group(cls=Operator, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dmp-fhir")
def main() -> None:
    """Document registry server for the French shared medical record (DMP), in HL7 FHIR R4."""


__all__ = ["COMMANDS", "main"]
