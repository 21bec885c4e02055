"""Twin registries, once per kind of hidden document and per database."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dmp_fhir.app import create_app
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.settings import Settings
from tests.conftest import DIALECTS
from tests.leaks.twins import Observed, Registry, fill
from tests.rest.bodies import CLAIRE, INS
from tests.rest.caller import Answer
from tests.support import tally
from tests.support.server import BASE_URL, TickingClock, copy_of_world

LEA = f"{INS}|212056912390317"
PARENTS = ("representative-claire-martin", "representative-julien-martin")
KINDS = {
    "masked": (CLAIRE, ("dr-petit", "infirmiere-robert")),
    "announced": (CLAIRE, ("patient-claire-martin",)),
    "secret": (LEA, PARENTS),
    "deleted": (CLAIRE, ("dr-moreau", "dr-petit", "patient-claire-martin")),
}
"""For each kind of hidden document: the record, and those from whom it is hidden."""
AUTHOR = "dr-moreau"


@dataclass(frozen=True)
class Twins:
    """`kind` of hidden document, the `ins` of its record, the `readers` from whom it is hidden."""

    kind: str
    ins: str
    readers: tuple[str, ...]
    holding: Registry
    empty: Registry

    def same(self, ask: Callable[[Registry], Answer]) -> Observed:
        """What both answer, which must be the same."""
        observed = [registry.observe(ask(registry)) for registry in (self.holding, self.empty)]
        assert observed[0] == observed[1]
        tally.count("F", "hidden and missing compared")
        return observed[0]


@contextmanager
def _registry(
    request: pytest.FixtureRequest, dialect: str, factory: pytest.TempPathFactory, keys: Path, *, has_hidden: bool
) -> Iterator[Registry]:
    data = factory.mktemp("registry")
    shutil.copytree(keys, data / "keys")
    copy = copy_of_world(request, dialect, data)
    clock = TickingClock()
    app = create_app(Settings(data_folder=data, database_url=next(copy), base_url=BASE_URL), clock)
    yield Registry(app, clock, Sandbox(keys), has_hidden)
    app.extensions["dmp_fhir"].database.close()
    next(copy, None)


@pytest.fixture(scope="module", params=[(dialect, kind) for dialect in DIALECTS for kind in KINDS], ids="-".join)
def twins(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Path
) -> Iterator[Twins]:
    dialect, kind = request.param
    ins, readers = KINDS[kind]
    with (
        _registry(request, dialect, tmp_path_factory, key_folder, has_hidden=True) as holding,
        _registry(request, dialect, tmp_path_factory, key_folder, has_hidden=False) as empty,
    ):
        fill(holding, kind, ins, AUTHOR)
        fill(empty, kind, ins, AUTHOR)
        yield Twins(kind, ins, readers, holding, empty)


@pytest.fixture(scope="module", params=DIALECTS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Path
) -> Iterator[Registry]:
    """The demonstration world, for a module: each test changes only a record of its own."""
    with _registry(request, request.param, tmp_path_factory, key_folder, has_hidden=False) as registry:
        yield registry
