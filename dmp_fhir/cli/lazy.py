"""A group of commands whose modules are imported when they are called: `dmp-fhir token` then costs no database."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """`places` says where each command is, as module:attribute. What shows all commands (--help) imports them all."""

    def __init__(self, *arguments: Any, places: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.places:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.places[cmd_name].partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as fault:
            if (fault.name or "").startswith("dmp_fhir"):
                raise
            return _not_installed(cmd_name, fault.name or "")
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.places[cmd_name]} is no command")
        return command


def _not_installed(name: str, module: str) -> click.Command:
    """Stands for a command whose extra was not installed with the package."""
    need = f"Needs {module}: pip install 'dmp-fhir[{name}]'."

    def say() -> None:
        raise click.ClickException(need)

    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return click.Command(name, context_settings=anything, callback=say, help=need)
