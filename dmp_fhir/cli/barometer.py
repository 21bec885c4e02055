"""Command: barometer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from dmp_fhir.cli.opening import current_settings, note_reading, registry_of
from dmp_fhir.http.barometer import FILE_NAME, RECORDS, shown
from dmp_fhir.instants import system_clock
from dmp_fhir.registry import barometer as figures
from dmp_fhir.registry.barometer import ACTORS, CATEGORIES, Barometer
from dmp_fhir.store.dump import without_limit


@click.command()
@click.option("--month", default=None, help="YYYY-MM; the month that ended last when not given.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option(
    "--publish", is_flag=True, help="Keep the figures in the data folder, where the page /barometer finds them."
)
def barometer(month: str | None, as_json: bool, publish: bool) -> None:
    """Print how the registry is used: records opened, fed, consulted, empty; documents by category and month; who
    publishes and who consults. Numbers below 5 are not shown. Reads every table once."""
    now = system_clock()
    settings = current_settings()
    with closing(registry_of(settings)) as database:
        with database.snapshot() as reader:
            without_limit(reader)
            try:
                found = figures.compute(reader, month or last_month(now), now)
            except ValueError as bad:
                raise click.UsageError("--month is written YYYY-MM") from bad
        note_reading(database, "barometer", found.month)
    if publish:
        _keep(settings.data_folder / FILE_NAME, orjson.dumps(found.as_json()))
    click.echo(orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2) if as_json else "\n".join(table(found)))


def last_month(now_ms: int) -> str:
    """The month before this one."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    return figures.months_before(f"{now:%Y-%m}")[-2]


def table(found: Barometer) -> Iterable[str]:
    yield f"Barometer of {found.month}, computed on {found.computed}"
    yield ""
    for key, (_, name) in RECORDS.items():
        yield f"{name:32} {shown(found.records[key]):>9}"
    yield f"{'Share of empty records':32} {'–' if found.empty_share is None else f'{found.empty_share:.1%}':>9}"
    yield ""
    months = list(found.documents_by_month)[-6:]
    yield f"{'Documents deposited':32}" + "".join(f" {month:>9}" for month in months)
    for code, (_, name) in CATEGORIES.items():
        yield f"{name:32}" + "".join(f" {shown(found.documents_by_month[month][code]):>9}" for month in months)
    yield ""
    yield f"{'In the month':32} {'deposited':>9} {'consulted':>9}"
    for kind, (_, name) in ACTORS.items():
        yield f"{name:32} {shown(found.published[kind]):>9} {shown(found.consulted[kind]):>9}"


def _keep(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.rename(path)
