"""Processes that start at the same moment agree on the keys they make, and a kill leaves no half key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dmp_fhir import app
from tests.writing.api import at_once


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    keys = at_once([lambda: app._key(tmp_path / "keys", "some.key")] * 16)
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert [each.name for each in (tmp_path / "keys").iterdir()] == ["some.key"]
    assert (tmp_path / "keys" / "some.key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the key is written: there is no key yet, and the next start makes one."""

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            app._key(tmp_path, "some.key")
    assert not (tmp_path / "some.key").exists()
    assert len(app._key(tmp_path, "some.key")) == 32
