"""Feeding bundles through the same interactions as the HTTP endpoint: same policy, same checks, same trace."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dmp_fhir.app import build_services
from dmp_fhir.audit.administration import trace_command
from dmp_fhir.canonicals import PROJECT
from dmp_fhir.cli.opening import current_settings
from dmp_fhir.cli.tokens import sandbox_of
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.ids import new_id
from dmp_fhir.instants import system_clock
from dmp_fhir.interactions.dispatch import handle
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.services import Exchange, Services
from dmp_fhir.outcome import Refused
from dmp_fhir.store.database import Database
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.xml import parse_xml

PERSONA_TAG = f"{PROJECT}/CodeSystem/fixture-persona"
Tree = dict[str, Any]


def world_files() -> list[Path]:
    """The bundles of the demonstration world, in the order in which they happened."""
    folder = Path(__file__).parents[2] / "fixtures" / "world"
    files = sorted(folder.glob("*.json"))
    if not files:
        raise click.ClickException(f"no bundles in {folder}: run this from a checkout of the project")
    return files


class Loader:
    """Submits bundles as the personas they name (`meta.tag`), at the instant they state (`Bundle.timestamp`)."""

    def __init__(self, services: Services, persona: str | None) -> None:
        self.services = services
        self.persona = persona
        self.sandbox = Sandbox(services.settings.key_folder)
        self.written: Counter[str] = Counter()
        self.known = 0
        self.refused: list[tuple[str, str]] = []
        self.files = 0
        self.console = Console(stderr=True)

    def load(self, files: Sequence[Path]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("bundles", total=len(files))
            for path in files:
                self._load_one(path)
                self.files += 1
                progress.advance(task)

    def _load_one(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            tree = parse_xml(data) if data.lstrip()[:1] == b"<" else parse_json(data)
        except Refused as refused:
            self.refused.append((path.name, refused.refusal.issues[0].en))
            return
        instant = _instant(tree) or self.services.clock()
        services = replace(self.services, clock=lambda: instant)
        request = Request("POST", operation="bundle", tree=tree, prefer_return="minimal")
        response = handle(Exchange(services, self._context(tree), request, new_id()))
        if response.status != 200:
            issue = (response.tree or {"issue": [{"diagnostics": "?"}]})["issue"][0]
            place = f" ({issue['expression'][0]})" if issue.get("expression") else ""
            self.refused.append((path.name, f"{response.status} {issue['diagnostics']}{place}"))
            return
        self._count(path, parse_json(response.json or b"{}"))

    def _context(self, tree: Tree) -> AccessContext:
        tags = [each["code"] for each in tree.get("meta", {}).get("tag", []) if each.get("system") == PERSONA_TAG]
        slug = tags[0] if tags else self.persona
        if slug is None:
            raise click.UsageError("a bundle names no persona in meta.tag: say who submits with --as PERSONA")
        purpose = {}
        if any(each == "patient-request" for each in tags):
            purpose = {"patient_request": True}
        token = self.sandbox.issue(slug, now_ms=self.services.clock(), **purpose)
        return self.services.verifier.verify(f"Bearer {token}")

    def _count(self, path: Path, answer: Tree) -> None:
        for entry in answer.get("entry", []):
            response = entry["response"]
            kind = response.get("location", "?").partition("/")[0]
            if response["status"].startswith("201"):
                self.written[kind] += 1
            elif response["status"].startswith("4"):
                issue = response.get("outcome", {}).get("issue", [{}])[0]
                self.refused.append((path.name, f"{response['status']}: {issue.get('diagnostics', '')}"))
            else:
                self.known += 1

    def summary(self) -> None:
        for kind, count in sorted(self.written.items()):
            click.echo(f"{count:6} {kind} created")
        click.echo(f"{self.known:6} known already or changed")
        for name, reason in self.refused:
            click.echo(f"refused: {name}: {reason}", err=True)
        click.echo(f"{self.files:6} bundles read, {len(self.refused)} refused")


def _instant(tree: Tree) -> int | None:
    if "timestamp" not in tree:
        return None
    return int(datetime.fromisoformat(tree["timestamp"]).timestamp() * 1000)


# --- commands -------------------------------------------------------------------------------------


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--as", "persona", default=None, help="Persona who submits, for bundles that name none in meta.tag.")
def load(files: tuple[Path, ...], persona: str | None) -> None:
    """Feed FHIR bundles (transaction or batch), with a progress bar and a summary."""
    _load(files, persona)


@click.command()
def seed() -> None:
    """Feed the demonstration world (fixtures/world) to an empty registry."""
    with Database.open(current_settings().database).snapshot() as reader:
        row = reader.row("SELECT COUNT(*) FROM record WHERE status <> 'directory'")
    if row and row[0]:
        click.echo(f"{row[0]} records are here already: nothing was fed")
        return
    _load(world_files(), None)


def _load(files: Sequence[Path], persona: str | None) -> None:
    settings = current_settings()
    sandbox_of(settings)
    loader = Loader(build_services(settings), persona)
    loader.load(files)
    reason = f"{loader.files} bundles, {len(loader.refused)} refused"
    observer = loader.services.observer
    trace_command(loader.services.database, "load", system_clock(), observer=observer, reason=reason)
    loader.summary()
    sys.exit(1 if loader.refused else 0)
