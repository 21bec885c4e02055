"""The key store: keys made once and never twice, rotation that may die anywhere (TF-241), wrong or missing keys
(TF-242), destruction (TF-246), nothing shown (TF-250)."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest

from dmp_fhir.app import open_database
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store import key_store as module
from dmp_fhir.store import masters as masters_module
from dmp_fhir.store import schema
from dmp_fhir.store.database import Database
from dmp_fhir.store.errors import KeyDestroyed, KeysRefused, KeysUnavailable, StoreUnavailable
from dmp_fhir.store.key_ring import KeyRing
from dmp_fhir.store.key_store import LOOKUP, KeyStore
from dmp_fhir.store.masters import MasterKeyFiles, MasterKeyList
from dmp_fhir.store.tables import DIRECTORY
from tests.conftest import DIALECTS
from tests.support import tally

RECORDS = [f"r{number:04}" for number in range(1200)]


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a key store may be made."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/keys/record-keys.sqlite"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"keys_{abs(hash(tmp_path))}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[KeyStore]:
    made = KeyStore.create(url, MasterKeyFiles(tmp_path / "keys"), 1)
    yield made
    made.close()


def test_a_key_is_made_once_and_is_the_same_for_everybody(store: KeyStore, url: str, tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable, match="no key"):
        store.key("r")
    store.make(["r", "s"], 2)
    first = store.key("r")
    store.make(["r"], 3)
    other = KeyStore.open(url, MasterKeyFiles(tmp_path / "keys"))
    assert (other.key("r"), other.id) == (first, store.id)
    assert len({first, store.key("s"), store.key(DIRECTORY), store.key(LOOKUP)}) == 4
    other.close()


def test_many_begin_at_once(url: str, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from dmp_fhir.store.key_store import *;"
        "from dmp_fhir.store.masters import *;"
        "s = KeyStore.create(sys.argv[1], MasterKeyFiles(Path(sys.argv[2])), 1); s.make(['r'], 1);"
        "print(s.id, s.key('r').hex())"
    )
    command = [sys.executable, "-c", program, url, str(tmp_path / "keys")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({each.communicate(timeout=60)[0] for each in running}) == 1
    assert [each.returncode for each in running] == [0, 0, 0]


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys/record-keys.sqlite"
    KeyStore.create(url, MasterKeyFiles(tmp_path / "keys"), 1).close()
    files = [path for path in (tmp_path / "keys").iterdir() if path.is_file()]
    assert len(files) >= 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    (tmp_path / "keys" / "master-1.key").chmod(0o644)
    with pytest.raises(KeysRefused, match="chmod 600"):
        MasterKeyFiles(tmp_path / "keys")


def test_a_destroyed_key_is_gone_and_never_made_again(store: KeyStore, url: str) -> None:
    store.make(["r", "s"], 2)
    ring = KeyRing(store)
    ring.of("r")
    with store.database.snapshot() as reader:
        wrapped = bytes(reader.rows("SELECT wrapped FROM record_key WHERE record_id = 'r'")[0][0])
    assert ring.destroy(["r", "unknown", DIRECTORY, LOOKUP], 5) == 1
    assert ring.destroy(["r"], 6) == 0
    for act in (lambda: ring.of("r"), lambda: store.key("r"), lambda: store.make(["r"], 7)):
        with pytest.raises(KeyDestroyed):
            act()
    assert store.destroyed() == ["r"]
    assert ring.of("s")
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///")).parent
        found = sum(path.read_bytes().count(wrapped) for path in folder.iterdir())
        tally.count("K", "destroyed keys found in files", found)
        assert found == 0


def test_a_key_destroyed_elsewhere_is_soon_out_of_use(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make(["r"], 2)
    ring = KeyRing(store)
    ring.of("r")
    store.destroy(["r"], 3)
    now = [monotonic() + 61]
    monkeypatch.setattr("dmp_fhir.store.key_ring.time.monotonic", lambda: now[0])
    with pytest.raises(KeyDestroyed):
        ring.of("r")


def test_a_warm_key_costs_no_statement(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make(["r"], 2)
    ring = KeyRing(store)
    first = ring.of("r")
    monkeypatch.setattr(store, "key", lambda name: pytest.fail("asked again"))
    assert ring.of("r") is first


def test_the_hash_of_a_matricule_outlives_rotations(store: KeyStore, tmp_path: Path, url: str) -> None:
    before = KeyRing(store).hidden("274036912390153")
    store.rewrap(store.begin_rotation(2)[0])
    store.retire(1, 3)
    again = KeyStore.open(url, MasterKeyFiles(tmp_path / "keys"))
    assert KeyRing(again).hidden("274036912390153") == before
    assert KeyRing(again).hidden("274036912390154") != before
    assert len(before) == 32
    again.close()


# --- TF-241 ---------------------------------------------------------------------------------------

ROTATE = """
import os, signal, sys
from itertools import pairwise
from pathlib import Path
from dmp_fhir.store import key_store
from dmp_fhir.store.key_store import KeyStore
from dmp_fhir.store.masters import MasterKeyFiles

key_store.BATCH, batches = 100, int(sys.argv[3])
store = KeyStore.open(sys.argv[1], MasterKeyFiles(Path(sys.argv[2])))
version, behind = store.begin_rotation(1)
seen = []

def after_a_batch(number):
    seen.append(number)
    if len(seen) == batches:
        os.kill(os.getpid(), signal.SIGKILL)

if batches == 0:
    os.kill(os.getpid(), signal.SIGKILL)
store.rewrap(version, after_a_batch)
"""


def test_rotations_killed_half_way_while_others_read(store: KeyStore, url: str, tmp_path: Path) -> None:
    """Readers of another store object, as in another process: with a cache that never helps."""
    folder, rotations, failed, reads = tmp_path / "keys", 3, [], [0]
    store.make(RECORDS, 1)
    before = {name: store.key(name) for name in RECORDS[::100]}
    done = threading.Event()
    reader_store = KeyStore.open(url, MasterKeyFiles(folder))

    def read() -> None:
        while not done.is_set():
            for name, key in before.items():
                try:
                    if reader_store.key(name) != key:
                        failed.append(name)
                except Exception as fault:
                    failed.append(repr(fault))
                reads[0] += 1

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(rotations):
            for kill_after in (0, 1, 5):  # nothing done, a little, in the middle
                command = [sys.executable, "-c", ROTATE, url, str(folder), str(kill_after)]
                assert subprocess.run(command, check=False, timeout=60).returncode == -9
            version, behind = store.begin_rotation(2)
            assert version == number + 2, "a rotation that was cut off goes on, no other begins"
            assert 0 < behind < len(RECORDS) + 2
            store.make([f"new {number}"], 3)
            with pytest.raises(KeysRefused, match="still wraps"):
                store.retire(version - 1, 3)
            store.rewrap(version)
            states = {each.version: each for each in store.states()}
            assert (states[version].wraps, states[version - 1].wraps) == (len(RECORDS) + 2 + number + 1, 0)
            with pytest.raises(KeysRefused, match="in use"):
                store.retire(version, 3)
            store.retire(version - 1, 3)
            assert not (folder / f"master-{version - 1}.key").exists()
    finally:
        done.set()
        thread.join()
        reader_store.close()
    assert {name: store.key(name) for name in before} == before
    tally.count("K", "key rotations killed", 3 * rotations)
    tally.count("K", "keys read meanwhile", reads[0])
    tally.count("K", "failed reads", len(failed))
    assert failed == []
    assert reads[0] > 0


# --- TF-242, TF-250 -------------------------------------------------------------------------------

GOOD = base64.b64encode(bytes.fromhex("8d5b1fc7a0e2463991de70ab35f8c614e97b2a5d80f3416cb8270e9ad4c65f13")).decode()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("1:", "empty"),
        (f"1:{base64.b64encode(bytes(16)).decode()}", "32 bytes"),
        (f"1:{base64.b64encode(bytes(32)).decode()}", "no random one"),
        (f"1:{base64.b64encode(b'changeme' * 4).decode()}", "no random one"),
        (f"1:{base64.b64encode(bytes(range(32))).decode()}", "no random one"),
        (f"1:{base64.b64encode(b'0123456789abcdef' * 2).decode()}", "no random one"),
        ("1:not base64!", "base64|VERSION"),
        (GOOD, "VERSION:BASE64"),
        (f"0:{GOOD}", "VERSION:BASE64"),
        (f"1:{GOOD} 1:{GOOD}", "twice"),
    ],
)
def test_bad_master_keys_of_the_setting(given: str, sentence: str) -> None:
    with pytest.raises(KeysRefused, match=sentence) as refused:
        MasterKeyList(given)
    shown = given.partition(":")[2]
    assert not shown or len(shown) < 12 or shown not in str(refused.value)
    tally.count("K", "bad keys tried")
    tally.count("K", "bad keys accepted", 0)


def test_the_setting_is_a_master_key_and_shown_nowhere(url: str) -> None:
    store = KeyStore.create(url, MasterKeyList(f"1:{GOOD}"), 1)
    store.make(["r"], 1)
    key = store.key("r")
    with pytest.raises(KeysRefused, match="add a version"):
        store.begin_rotation(2)
    store.close()
    newer = MasterKeyList(f"1:{GOOD} 2:{base64.b64encode(os.urandom(32)).decode()}")
    store = KeyStore.open(url, newer)
    store.rewrap(store.begin_rotation(2)[0])
    store.retire(1, 3)
    assert store.key("r") == key
    store.close()
    for shown in (repr(newer), str(newer), repr(Settings(master_keys=f"1:{GOOD}")), repr(vars(module).keys())):
        assert GOOD not in shown
        assert base64.b64decode(GOOD).hex() not in shown


def test_whatever_is_missing_or_wrong_stops_the_start_and_changes_nothing(
    store: KeyStore, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    store.make(RECORDS[:5], 1)
    good = (folder / "master-1.key").read_text()
    other = bytes(reversed(bytes.fromhex(good))).hex()
    with store.database.snapshot() as reader:
        before = reader.rows("SELECT * FROM record_key ORDER BY record_id")
    wrong = {
        "empty": ("", "empty"),
        "short": (good[:32], "32 bytes"),
        "another key": (other, "not the one that wrapped"),
        "zeros": ("00" * 32, "no random one"),
        "no key at all": ("mot de passe", "64 hexadecimal"),
    }
    for text, sentence in wrong.values():
        (folder / "master-1.key").write_text(text)
        with pytest.raises(KeysRefused, match=sentence):
            KeyStore.open(url, MasterKeyFiles(folder))
        with pytest.raises(KeysRefused, match=sentence):
            KeyStore.create(url, MasterKeyFiles(folder), 2)
        tally.count("K", "bad keys tried")
    (folder / "master-1.key").unlink()
    for opening in (KeyStore.open, lambda *given: KeyStore.create(*given, 2)):
        with pytest.raises(KeysRefused, match="missing"):
            opening(url, MasterKeyFiles(folder))
    assert not (folder / "master-1.key").exists()
    with store.database.snapshot() as reader:
        assert reader.rows("SELECT * FROM record_key ORDER BY record_id") == before
    (folder / "master-1.key").write_text(good)
    (folder / "master-1.key").chmod(0o600)
    KeyStore.open(url, MasterKeyFiles(folder)).close()


def test_a_key_service_that_is_away_or_slow(postgres_server: Any, tmp_path: Path) -> None:
    """Neither read nor written meanwhile (503), nothing made in its place, and as before when it is back."""
    name = "keys_away"
    url, masters = postgres_server.create_database(name), MasterKeyFiles(tmp_path / "keys")
    store = KeyStore.create(url, masters, 1)
    store.make(["r"], 1)
    key, ring = store.key("r"), KeyRing(store)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for act in (lambda: ring.of("r"), lambda: store.make(["s"], 2), lambda: KeyStore.open(url, masters)):
            with pytest.raises(StoreUnavailable):
                act()
            tally.count("K", "bad keys tried")
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE record_key")
        with pytest.raises(StoreUnavailable):
            ring.of("r")
        tally.count("K", "bad keys tried")
    assert store.key("r") == key
    with pytest.raises(KeysUnavailable, match="no key"):
        store.key("s")
    store.close()
    postgres_server.drop_database(name)


def test_wrapped_keys_open_for_their_record_only(store: KeyStore) -> None:
    """TF-243: wrapped keys that changed places."""
    store.make(RECORDS[:40], 1)
    with store.database.snapshot() as reader:
        rows = dict(reader.rows("SELECT record_id, wrapped FROM record_key"))
    for name, next_name in pairwise(RECORDS[:40]):
        with pytest.raises(KeysRefused):
            store.masters.unwrap(1, name, bytes(rows[next_name]))
        with pytest.raises(KeysRefused):
            store.masters.unwrap(1, name, bytes(rows[name])[:-1])
        tally.count("K", "ciphertexts moved or damaged", 2)


def test_a_master_version_that_is_made_again_is_never_another_key(tmp_path: Path) -> None:
    keys = MasterKeyFiles(tmp_path)
    assert (keys.add(), keys.add()) == (1, 2)
    before = (tmp_path / "master-2.key").read_text()
    stale = MasterKeyFiles(tmp_path)
    stale._keys.pop(2)  # as seen before the other process made it
    assert stale.add() == 2
    assert (tmp_path / "master-2.key").read_text() == before
    assert masters_module.MasterKeyFiles(tmp_path).versions == (1, 2)


# --- the registry and its key store ---------------------------------------------------------------


def started(folder: Path, database_url: str) -> Database:
    return open_database(Settings(data_folder=folder, database_url=database_url))


def test_a_registry_starts_with_its_own_keys_only(seeded_url: str, data_folder: Path, tmp_path: Path) -> None:
    keys = data_folder / "keys"
    started(data_folder, seeded_url).close()
    shutil.copytree(keys, tmp_path / "kept")
    (keys / "record-keys.sqlite").unlink()
    with pytest.raises(BadSetting, match="put them back"):
        started(data_folder, seeded_url)
    assert not (keys / "record-keys.sqlite").exists(), "nothing is made anew over data"
    KeyStore.create(f"sqlite:///{keys}/record-keys.sqlite", MasterKeyFiles(keys), 1).close()
    with pytest.raises(BadSetting, match="not the one of this registry"):
        started(data_folder, seeded_url)
    shutil.copy(tmp_path / "kept" / "record-keys.sqlite", keys / "record-keys.sqlite")
    for path in keys.glob("record-keys.sqlite-*"):
        path.unlink()
    started(data_folder, seeded_url).close()
    fresh = f"sqlite:///{tmp_path}/fresh.sqlite"
    schema.upgrade(fresh)
    with pytest.raises(BadSetting, match="database of their own"):
        open_database(Settings(data_folder=tmp_path / "fresh", database_url=fresh, key_database=fresh))
