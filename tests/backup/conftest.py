"""Registries to copy and to bring back, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmp_fhir.store.database import Database
from dmp_fhir.store.dump import lines_of, shapes
from dmp_fhir.store.payloads import PayloadStore

KEY = bytes(range(32))
NewUrl = Callable[[str], str]
_numbers = itertools.count(1)


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewUrl]:
    """`new_url(dialect)`: the address of a database that nobody made a table in."""
    made: list[str] = []

    def url(dialect: str) -> str:
        name = f"restored_{next(_numbers)}"
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.sqlite"
        made.append(name)
        return str(request.getfixturevalue("postgres_server").create_database(name))

    yield url
    for name in made:
        request.getfixturevalue("postgres_server").drop_database(name)


def content_of(url: str) -> dict[str, list[bytes]]:
    """Every row of every table."""
    database = Database.open(url)
    try:
        with database.snapshot() as reader:
            return {shape.name: list(lines_of(reader, shape)) for shape in shapes()}
    finally:
        database.close()


def differences(url: str, payloads: PayloadStore, restored_url: str, restored_payloads: PayloadStore) -> list[str]:
    """Rows and documents of the one that are not in the other."""
    before, after = content_of(url), content_of(restored_url)
    found = [f"{table}: {line!r}" for table in before for line in set(before[table]) ^ set(after[table])]
    found += [f"{table}: order" for table in before if not found and before[table] != after[table]]
    files = [
        {path.name: path.read_bytes() for path in each.folder.glob("??/*")} for each in (payloads, restored_payloads)
    ]
    return found + [f"document {name}" for name in files[0] if files[0][name] != files[1].get(name)]
