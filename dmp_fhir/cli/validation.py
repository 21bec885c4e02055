"""Commands on profiles: `dmp-fhir validate` and `dmp-fhir profiles`."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dmp_fhir.audit.administration import trace_command
from dmp_fhir.audit.events import Observer
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.cli.packages import BadPackage, load_package
from dmp_fhir.instants import system_clock
from dmp_fhir.outcome import Issue, Refused
from dmp_fhir.profiles import active
from dmp_fhir.profiles.checks import check, profiles_for
from dmp_fhir.profiles.rules import LEVELS, ProfileError
from dmp_fhir.profiles.validator import Validator
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.positions import Position, locator
from dmp_fhir.wire.xml import parse_xml

_WORDS = {
    "fr": {"error": "erreur", "fatal": "erreur", "warning": "avertissement", "information": "information"},
    "en": {"error": "error", "fatal": "error", "warning": "warning", "information": "information"},
}
_SUMMARY = {
    "fr": "Fichiers : {files}, refusés : {refused}, erreurs : {errors}, avertissements : {warnings} (niveau {level})",
    "en": "Files: {files}, refused: {refused}, errors: {errors}, warnings: {warnings} (level {level})",
}


@dataclass(frozen=True)
class Remark:
    """An issue and where it stands in the file."""

    issue: Issue
    position: Position | None

    def shown(self, file: Path, language: str) -> str:
        line, column = self.position or (1, 1)
        text = self.issue.fr if language == "fr" else self.issue.en
        rule = f"\n    {self.issue.rule}" if self.issue.rule else ""
        where = f" {self.issue.expression}" if self.issue.expression else ""
        return f"{file}:{line}:{column}: {_WORDS[language][self.issue.severity]}:{where}\n    {text}{rule}"

    def tree(self) -> dict[str, Any]:
        line, column = self.position or (None, None)
        issue = self.issue
        return {
            "severity": issue.severity,
            "code": issue.code,
            "expression": issue.expression,
            "line": line,
            "column": column,
            "rule": issue.rule,
            "fr": issue.fr,
            "en": issue.en,
        }


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--profile", "profiles", multiple=True, help="Canonical URL of a profile to ask for; may be repeated.")
@click.option("--level", type=click.Choice(LEVELS), help="Edition of the French profiles (default: the setting).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--language", type=click.Choice(["fr", "en"]), default="fr", show_default=True)
def validate(
    files: tuple[Path, ...], profiles: tuple[str, ...], level: str | None, as_json: bool, language: str
) -> None:
    """Validate resources (JSON or XML) against R4, profiles, and the registry's rules.

    The profiles are those asked for and those the resource declares; a resource that declares none is compared with
    what the registry asks when it is written.

    Exit code 0: no error in any file; 1: at least one error; 2: wrong command.
    """
    settings = current_settings()
    level = level or settings.profile_level
    validator = _validator(settings)
    if unknown := [url for url in profiles if url.split("|")[0] not in validator.profiles]:
        raise click.BadParameter(f"{unknown[0]} is not loaded; see: dmp-fhir profiles list", param_hint="--profile")
    found = {file: _remarks(validator, file.read_bytes(), level, list(profiles), settings.cda_check) for file in files}
    if as_json:
        report = [{"file": str(file), "issues": [each.tree() for each in remarks]} for file, remarks in found.items()]
        click.echo(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        for file, remarks in found.items():
            for each in remarks:
                click.echo(each.shown(file, language))
        click.echo(_summary(found, level, language), err=True)
    sys.exit(1 if any(_refuses(remarks) for remarks in found.values()) else 0)


def _validator(settings: Settings) -> Validator:
    try:
        return active.validator(settings.data_folder)
    except ProfileError as bad:
        raise click.ClickException(str(bad)) from bad


def _remarks(validator: Validator, data: bytes, level: str, profiles: list[str], cda_check: str) -> list[Remark]:
    try:
        tree = parse_xml(data) if data.lstrip()[:1] == b"<" else parse_json(data)
    except Refused as refused:
        return [Remark(issue, _told(issue)) for issue in refused.refusal.issues]
    meta = tree.get("meta")
    if not profiles and not (isinstance(meta, dict) and meta.get("profile")):
        profiles = profiles_for(tree)
    position: Callable[[str | None], Position | None] = locator(data)
    return [Remark(each, position(each.expression)) for each in check(validator, tree, level, profiles, cda_check)]


def _told(issue: Issue) -> Position | None:
    """The place that the message of a body that can't be read begins with."""
    found = re.match(r"Line ([0-9]+), column ([0-9]+)", issue.en)
    return (int(found[1]), int(found[2])) if found else None


def _refuses(remarks: list[Remark]) -> bool:
    return any(each.issue.severity in ("error", "fatal") for each in remarks)


def _summary(found: dict[Path, list[Remark]], level: str, language: str) -> str:
    counts = Counter(each.issue.severity for remarks in found.values() for each in remarks)
    return _SUMMARY[language].format(
        files=len(found),
        refused=sum(_refuses(remarks) for remarks in found.values()),
        errors=counts["error"] + counts["fatal"],
        warnings=counts["warning"],
        level=level,
    )


@click.group(name="profiles")
def profiles_group() -> None:
    """The profiles in force."""


@profiles_group.command(name="list")
def list_profiles() -> None:
    """What is active, with its version, the number of rules it states, and where it was read."""
    validator = _validator(current_settings())
    stated = Counter(rule.source for rule in validator.rules.values())
    for url in sorted(validator.profiles):
        structure = validator.library.structures[url]
        version = structure.get("version", "-")
        click.echo(f"{url} {version} {structure['type']} {stated[url]} rules {_source(validator, url)}")
    click.echo(f"{len(validator.profiles)} profiles, {len(validator.rules)} rules", err=True)


def _source(validator: Validator, url: str) -> str:
    """Ours, or the package it came in."""
    file = Path(validator.sources.get(url, ""))
    return "dmp-fhir" if file.is_relative_to(active.SHIPPED) else file.parent.name


@profiles_group.command(name="load")
@click.argument("package", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--open-value-sets", is_flag=True, help="Accept bindings to value sets that are not there, unchecked.")
def load(package: Path, open_value_sets: bool) -> None:
    """Load a FHIR package (.tgz) over the profiles shipped: its definitions replace ours of the same address.

    Nothing is kept of a package that does not compile with the rest. Restart the server afterwards.
    """
    settings = current_settings()
    folder = active.loaded_folder(settings.data_folder)
    try:
        loaded = load_package(package, folder, open_value_sets=open_value_sets)
    except (BadPackage, ProfileError) as bad:
        raise click.ClickException(f"{package}: {bad}") from bad
    for url in loaded.left_out:
        click.echo(f"left out (no constraint on a type of R4): {url}", err=True)
    for url in loaded.opened:
        click.echo(f"unchecked value set: {url}", err=True)
    if schema.is_current(settings.database):
        database, observer = registry_of(settings), Observer(address=settings.base_url)
        trace_command(database, "profiles-load", system_clock(), observer=observer, reason=loaded.name)
    click.echo(f"{loaded.name}: {loaded.count} definitions loaded")
