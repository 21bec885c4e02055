"""docs/integrators.md, executed against `make sandbox`; the examples of clients, run against the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme.test_tour import check, copy_of_checkout
from tests.readme.tour import ROOT, environment, make_run, steps

PAGE = ROOT / "docs" / "integrators.md"
CLIENTS = ROOT / "docs" / "clients"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    folder = tmp_path_factory.mktemp("integrator")
    copy_of_checkout(folder)
    with make_run(folder, "-o", ".venv/run", patience=60, path=str(folder), target="sandbox") as port:
        yield folder, port


def test_the_page_does_what_it_shows(sandbox: tuple[Path, int]) -> None:
    folder, port = sandbox
    check(steps(PAGE.read_text(encoding="utf-8")), folder, port, str(folder))


def program(name: str) -> str:
    """The path of a program. CI has them all; without it, what a contributor lacks is not tried."""
    found = shutil.which(name)
    if found is None and "CI" not in os.environ:
        pytest.skip(f"{name} is not here")
    assert found is not None, f"CI lacks {name}"
    return found


def run_client(sandbox: tuple[Path, int], *command: str | Path) -> str:
    folder, port = sandbox
    more = {"DMP_FHIR_DATA": str(folder / "var" / "sandbox" / "world")}
    token = subprocess.run(
        [sys.executable, "-m", "dmp_fhir", "token", "dr-moreau"],
        env=environment(str(ROOT)) | more,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    arguments = [str(each) for each in command] + [f"http://127.0.0.1:{port}/fhir", token]
    ran = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


EXPECTED = "published\nfound 1\nread 135 text/plain\n"


def test_client_in_python(sandbox: tuple[Path, int]) -> None:
    assert run_client(sandbox, sys.executable, CLIENTS / "publish_and_read.py") == EXPECTED


def test_client_in_javascript(sandbox: tuple[Path, int]) -> None:
    assert run_client(sandbox, program("node"), CLIENTS / "publish_and_read.mjs") == EXPECTED


def test_client_in_java(sandbox: tuple[Path, int]) -> None:
    assert run_client(sandbox, program("java"), CLIENTS / "PublishAndRead.java") == EXPECTED


def test_client_in_csharp(sandbox: tuple[Path, int], tmp_path: Path) -> None:
    built = tmp_path / "PublishAndRead.exe"
    libraries = ("-r:System.Net.Http", "-r:System.Numerics")
    subprocess.run([program("mcs"), f"-out:{built}", *libraries, CLIENTS / "PublishAndRead.cs"], check=True)
    assert run_client(sandbox, program("mono"), built) == EXPECTED
