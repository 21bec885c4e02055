"""Files that appear whole: once for all processes, or in the place of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from stat import S_IMODE

import pytest

from dmp_fhir.files import alone, make_once, replace_whole


def test_what_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "one.key"
    for content in (b"first", b"second"):
        make_once(path, content)
    assert path.read_bytes() == b"first"
    assert S_IMODE(path.stat().st_mode) == 0o600
    assert S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["one.key"]


def test_what_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "cursor.json"
    for content in (b"a long first one", b"second"):
        replace_whole(path, content)
    assert path.read_bytes() == b"second"
    assert S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["cursor.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "cursor.json"
    replace_whole(path, b"whole")
    with pytest.raises(TypeError):
        replace_whole(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"whole"


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "data" / ".lock"
    with alone(path) as first:
        assert first
        with alone(path) as second:
            assert not second
    code = "import os, sys; from dmp_fhir.files import alone; from pathlib import Path"
    code += f"\nwith alone(Path({str(path)!r})) as first: print(first, flush=True); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).stdout == b"True\n"
    with alone(path) as after:  # one that was killed holds it no longer
        assert after
