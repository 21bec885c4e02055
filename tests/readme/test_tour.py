"""The tour of the README, executed against a server started by `make run`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme.tour import README, ROOT, Step, differences, make_run, run, steps

TRANSACTIONS = ("TD0.2", "TD2:", "TD3.1a", "TD3.2", "TD2.1", "TD3.3a", "TD3.3b", "TD3.3d", "TD3.3c")
OPERATING = ROOT / "docs" / "operating.md"
# What `make run` needs of a checkout.
NEEDED = ("Makefile", "pyproject.toml", "requirements.lock", "README.md", "dmp_fhir", "fixtures")


def the_tour() -> list[Step]:
    return steps(README.read_text(encoding="utf-8"))


def copy_of_checkout(folder: Path) -> None:
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)


def check(tour: list[Step], folder: Path, port: int, path: str = "") -> None:
    outputs = run(tour, folder, port, path)
    wrong = [
        f"{step.command}{difference}"
        for step, output in zip(tour, outputs, strict=True)
        for difference in differences(step, output)
    ]
    assert not wrong, "\n\n".join(wrong)


def test_goes_through_the_life_of_a_document_in_order() -> None:
    page = README.read_text(encoding="utf-8")
    places = [page.index(f"**{transaction}") for transaction in TRANSACTIONS]
    assert places == sorted(places)


def test_shows_what_every_block_prints() -> None:
    """Only the first block, which sets variables, prints nothing."""
    assert [bool(step.expected) for step in the_tour()] == [False] + [True] * (len(the_tour()) - 1)
    assert len(the_tour()) > 12


def test_a_difference_is_seen() -> None:
    step = Step("", ('"total":1', '"location":"List/…/_history/1"'))
    assert differences(step, '"total":1\r\n"location":"List/abc/_history/1"\n') == []
    assert len(differences(step, '"total":2\n"location":"List/abc/_history/1"\n')) == 1
    assert len(differences(step, '"total":1\n"location":"List/abc/_history/12"\n')) == 1
    assert len(differences(step, '"total":1\n')) == 1


def test_the_pages_do_what_they_show(tmp_path: Path) -> None:
    """The tour, then the commands of the operator, while the server runs. In a copy of the checkout that uses the
    environment of this one: `-o` tells make that it is there already."""
    copy_of_checkout(tmp_path)
    with make_run(tmp_path, "-o", ".venv/run", patience=50, path=str(tmp_path)) as port:
        check(the_tour(), tmp_path, port, str(tmp_path))
        check(steps(OPERATING.read_text(encoding="utf-8")), tmp_path, port, str(tmp_path))


@pytest.mark.campaign
def test_a_fresh_clone_needs_no_other_step(tmp_path: Path) -> None:
    """`git clone`, `make run`, the tour: with an environment of its own, fetched from the package registry."""
    clone = tmp_path / "dmp-fhir"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    with make_run(clone, patience=600) as port:
        assert (clone / ".venv" / "bin" / "dmp-fhir").exists()
        check(the_tour(), clone, port)
