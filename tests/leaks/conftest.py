"""Twin registries, once per kind of hidden document and per database."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dmp_fhir.app import create_app
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.settings import Settings
from tests.conftest import DIALECTS
from tests.leaks.twins import Observed, Registry, fill
from tests.rest.bodies import CLAIRE, INS
from tests.rest.caller import Answer
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
        return observed[0]


@pytest.fixture(scope="module", params=[(dialect, kind) for dialect in DIALECTS for kind in KINDS], ids="-".join)
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_folder: Any) -> Iterator[Twins]:
    dialect, kind = request.param
    ins, readers = KINDS[kind]
    registries, copies = [], []
    for has_hidden in (True, False):
        data = tmp_path_factory.mktemp("twin")
        shutil.copytree(key_folder, data / "keys")
        copy = copy_of_world(request, dialect, data)
        clock = TickingClock()
        app = create_app(Settings(data_folder=data, database_url=next(copy), base_url=BASE_URL), clock)
        registry = Registry(app, clock, Sandbox(key_folder), has_hidden)
        fill(registry, kind, ins, AUTHOR)
        registries.append(registry)
        copies.append(copy)
    yield Twins(kind, ins, readers, *registries)
    for registry, copy in zip(registries, copies, strict=True):
        registry.app.extensions["dmp_fhir"].database.close()
        next(copy, None)
