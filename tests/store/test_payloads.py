"""Payloads: whole or absent, verified, collected when nobody names them and only then."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmp_fhir.store import payloads as module
from dmp_fhir.store.database import Database, StoreUnavailable
from dmp_fhir.store.payloads import Collected, PayloadDamaged, PayloadStore
from tests.store import rows

GRACE = 3_600_000
CONTENT = b"%PDF-1.7 compte rendu"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def later() -> int:
    """A moment at which everything put until now is older than the grace time."""
    return now_ms() + GRACE + 10_000


def files(payloads: PayloadStore) -> list[Path]:
    return sorted(path for path in payloads.folder.rglob("*") if path.is_file())


def name_it(database: Database, content: bytes, digest: bytes, document_id: str = "d") -> None:
    with database.transaction() as tx:
        tx.insert("payload", rows.payload("a", f"b-{document_id}", document_id, content, digest))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(content=st.binary(max_size=3000))
def test_what_is_put_is_got(payloads: PayloadStore, content: bytes) -> None:
    digest = payloads.put(content)
    assert digest == hashlib.sha256(content).digest()
    assert payloads.get(digest) == content
    assert payloads.size(digest) == len(content)


def test_the_same_content_is_kept_once(payloads: PayloadStore) -> None:
    first = payloads.put(CONTENT)
    (file,) = files(payloads)
    os.utime(file, (1, 1))
    assert payloads.put(CONTENT) == first
    assert files(payloads) == [file]
    assert file.stat().st_mtime > time.time() - 60  # as if it had been put now


def test_a_missing_or_altered_payload_is_never_served(payloads: PayloadStore) -> None:
    absent = hashlib.sha256(b"absent").digest()
    with pytest.raises(PayloadDamaged, match="missing"):
        payloads.get(absent)
    assert payloads.size(absent) is None
    digest = payloads.put(CONTENT)
    (file,) = files(payloads)
    dice = random.Random(207)
    for _ in range(100):
        damaged = bytearray(CONTENT)
        damaged[dice.randrange(len(CONTENT))] ^= 1 << dice.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(PayloadDamaged, match="altered") as caught:
            payloads.get(digest)
        assert caught.value.digest == digest
    for bad in (b"", CONTENT[:-1], CONTENT + b" "):
        file.write_bytes(bad)
        with pytest.raises(PayloadDamaged, match="altered"):
            payloads.get(digest)
    payloads.put(CONTENT)
    assert payloads.get(digest) == CONTENT  # sent again, it is repaired


def test_bytes_are_on_the_disk_under_their_name_only_after_they_were_flushed(
    payloads: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        named = sum(1 for file in files(payloads) if file.parent.name != "tmp")
        seen.append((target, named))
        real(descriptor)

    monkeypatch.setattr(module.os, "fsync", fsync)
    digest = payloads.put(CONTENT)
    shard = payloads.folder / digest.hex()[:2]
    assert [named for _, named in seen] == [0, 0, 1]
    assert seen[0][0].startswith(str(payloads.folder / "tmp"))
    assert seen[1][0] == str(payloads.folder)
    assert seen[2][0] == str(shard)


@pytest.mark.parametrize("step", ["fsync", "rename", "open"])
def test_a_disk_that_fails_leaves_nothing_visible(
    payloads: PayloadStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os if step == "fsync" else Path, step, fail)
        with pytest.raises(StoreUnavailable, match="No space left"):
            payloads.put(CONTENT)
    assert files(payloads) == []
    assert payloads.get(payloads.put(CONTENT)) == CONTENT


def test_only_what_no_row_names_and_is_old_is_collected(database: Database, payloads: PayloadStore) -> None:
    kept = payloads.put(CONTENT)
    name_it(database, CONTENT, kept)
    orphan = payloads.put(b"orphan")
    (payloads.folder / "tmp" / "1-left").write_bytes(b"half")
    assert payloads.collect_orphans(database, GRACE, now_ms()) == Collected(0, 0)
    assert len(files(payloads)) == 3
    assert payloads.collect_orphans(database, GRACE, later()) == Collected(2, 10)
    assert payloads.get(kept) == CONTENT
    assert payloads.size(orphan) is None
    assert payloads.collect_orphans(database, GRACE, later()) == Collected(0, 0)


def test_content_put_again_for_a_commit_to_come_is_not_collected(database: Database, payloads: PayloadStore) -> None:
    digest = payloads.put(CONTENT)
    (file,) = files(payloads)
    old = time.time() - 2 * GRACE / 1000
    os.utime(file, (old, old))
    payloads.put(CONTENT)
    assert payloads.collect_orphans(database, GRACE, now_ms()) == Collected(0, 0)
    assert payloads.get(digest) == CONTENT


@pytest.mark.parametrize("moment", ["before the move", "after the move"])
@pytest.mark.parametrize("act", ["put", "commit"])
def test_a_put_or_a_commit_in_the_middle_of_a_collection(
    database: Database, payloads: PayloadStore, monkeypatch: pytest.MonkeyPatch, moment: str, act: str
) -> None:
    """Every interleaving of a collection with the put of the same content, or with the commit that names it."""
    digest = payloads.put(CONTENT)
    (file,) = files(payloads)
    old = time.time() - 2 * GRACE / 1000
    os.utime(file, (old, old))
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if not target.name.endswith(".aside"):
            return real(self, target)
        result = None
        if moment == "after the move":
            result = real(self, target)
            assert payloads.get(digest) == CONTENT  # readers see no hole
        if act == "put":
            payloads.put(CONTENT)
        else:
            name_it(database, CONTENT, digest)
        return result or real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        assert payloads.collect_orphans(database, GRACE, now_ms()).count == (
            1 if (moment, act) == ("after the move", "put") else 0  # the old copy went, the new one stays
        )
    assert payloads.get(digest) == CONTENT
    assert files(payloads) == [file]


def test_a_collection_that_died_half_way_is_finished_by_the_next(database: Database, payloads: PayloadStore) -> None:
    wanted, orphan = payloads.put(CONTENT), payloads.put(b"orphan")
    name_it(database, CONTENT, wanted)
    for file in files(payloads):
        file.rename(file.with_name(file.name + ".aside"))
    assert payloads.get(wanted) == CONTENT
    assert payloads.collect_orphans(database, GRACE, later()) == Collected(1, 6)
    assert [file.name for file in files(payloads)] == [wanted.hex()]
    assert payloads.size(orphan) is None


def test_writers_readers_and_collectors_at_once(database: Database, payloads: PayloadStore) -> None:
    contents = [b"content %d" % n for n in range(4)]
    end = time.monotonic() + 1.0
    failures: list[object] = []

    def write(content: bytes) -> None:
        try:
            while time.monotonic() < end:
                assert payloads.get(payloads.put(content)) == content
        except Exception as error:
            failures.append(error)

    def collect() -> None:
        try:
            while time.monotonic() < end:
                payloads.collect_orphans(database, 2000, now_ms())
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents * 2]
    threads += [threading.Thread(target=collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {file.read_bytes() for file in files(payloads)} == set(contents)


CRASH = """
import os, signal, sys
from pathlib import Path
from dmp_fhir.store import payloads as module
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore
from tests.store import rows

url, folder, point = sys.argv[1:]
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
payloads, database = PayloadStore(folder), Database.open(url)
if point == "before flush":
    module._flush_folder = print
    module.os.fsync = die
if point == "before rename":
    Path.rename = die
with database.transaction() as tx:
    digest = payloads.put(b"x" * 100_000)
    rows.whole_record(tx, "a")
    rows.whole_document(tx, "a", "d", b"x" * 100_000, digest)
    if point == "before commit":
        die()
if point == "after commit":
    die()
"""


@pytest.mark.parametrize("point", ["before flush", "before rename", "before commit", "after commit"])
def test_a_process_killed_between_put_and_commit(database_url: str, payloads: PayloadStore, point: str) -> None:
    """TF-201: whole or absent; what is left over is collected."""
    killed = subprocess.run([sys.executable, "-c", CRASH, database_url, str(payloads.folder), point], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    digest = hashlib.sha256(b"x" * 100_000).digest()
    database = Database.open(database_url)
    with database.snapshot() as reader:
        named = reader.rows("SELECT sha256 FROM payload")
        assert len(reader.rows("SELECT 1 FROM document")) == len(named)
    assert len(files(payloads)) == 1
    if point == "after commit":
        assert named == [(digest,)]
        assert payloads.collect_orphans(database, GRACE, later()) == Collected(0, 0)
        assert payloads.get(digest) == b"x" * 100_000
    else:
        assert named == []
        assert payloads.size(digest) == (100_000 if point == "before commit" else None)
        payloads.collect_orphans(database, GRACE, later())
        assert files(payloads) == []
    database.close()
