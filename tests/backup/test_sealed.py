"""The sealed stream: what was written comes out, anything else does not open (TF-235)."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from dmp_fhir.backup.sealed import CHUNK, BackupDamaged, SealedReader, SealedWriter

KEY = bytes(range(32))
_HEAD = 18 + 8 + 16


def seal(path: Path, content: bytes, key: bytes = KEY) -> bytes:
    with path.open("wb") as file:
        writer = SealedWriter(file, key)
        for start in range(0, len(content), 70_000):
            writer.write(content[start : start + 70_000])
        writer.close()
    return path.read_bytes()


def unseal(path: Path, key: bytes = KEY) -> bytes:
    with path.open("rb") as file:
        reader = SealedReader(file, key)
        found = io.BytesIO()
        while data := reader.read(100_000):
            found.write(data)
        reader.finish()
        return found.getvalue()


def chunks(sealed: bytes) -> list[bytes]:
    found, at = [], _HEAD
    while at < len(sealed):
        end = at + 4 + int.from_bytes(sealed[at : at + 4])
        found.append(sealed[at:end])
        at = end
    return found


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17])
def test_what_went_in_comes_out(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    sealed = seal(tmp_path / "a", content)
    assert unseal(tmp_path / "a") == content
    assert len(sealed) == _HEAD + size + 20 * max(1, -(-size // CHUNK))
    assert seal(tmp_path / "b", content)[_HEAD:] != sealed[_HEAD:]


def test_nothing_of_the_content_shows(tmp_path: Path) -> None:
    assert b"canary" not in seal(tmp_path / "a", b"canary" * 10_000)


def test_chunks_that_are_moved_left_out_repeated_or_anothers(tmp_path: Path) -> None:
    content = os.urandom(3 * CHUNK + 5)
    path = tmp_path / "a"
    sealed = seal(path, content)
    head, (one, two, three, last) = sealed[:_HEAD], chunks(sealed)
    other = chunks(seal(tmp_path / "b", content))
    for parts in (
        (two, one, three, last),
        (one, three, two, last),
        (one, two, last),
        (two, three, last),
        (one, two, three),
        (one, two, three, three, last),
        (one, two, three, last, last),
        (one, other[1], three, last),
        (*other,),
        (last,),
        (),
    ):
        path.write_bytes(head + b"".join(parts))
        with pytest.raises(BackupDamaged):
            unseal(path)


def test_every_byte_of_the_outside_counts(tmp_path: Path) -> None:
    path = tmp_path / "a"
    sealed = seal(path, b"some rows")
    for n in range(len(sealed)):
        for mask in (0x01, 0x80):
            path.write_bytes(sealed[:n] + bytes([sealed[n] ^ mask]) + sealed[n + 1 :])
            with pytest.raises(BackupDamaged):
                unseal(path)
    for n in range(len(sealed)):
        path.write_bytes(sealed[:n])
        with pytest.raises(BackupDamaged):
            unseal(path)


def test_another_key_is_said_to_be_one(tmp_path: Path) -> None:
    seal(tmp_path / "a", b"some rows")
    with pytest.raises(BackupDamaged, match="another key"):
        unseal(tmp_path / "a", bytes(32))
