"""The keys of the records, each wrapped by a master key, in a database of their own.

It is apart from the registry's database and from its backups, so that a key that is destroyed here is destroyed: an
older backup of the registry then holds nothing but bytes (TF-246). A destroyed key leaves a row without key, so that
its record never gets another one.

Three names are no records: the directory (`''`), `LOOKUP`, under which identifiers are hashed, and `TRACE` with a
position: the key that seals the entries of the trace from there on. A lost key store is a
lost registry: docs/operating.md tells how to copy it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import apsw

from dmp_fhir.store.database import Database, Reader, Transaction, dialect_of
from dmp_fhir.store.errors import KeyDestroyed, KeysRefused, KeysUnavailable, StoreUnavailable
from dmp_fhir.store.masters import MasterKeys
from dmp_fhir.store.sealing import KEY_SIZE, TraceKey
from dmp_fhir.store.sqlite import path_of
from dmp_fhir.store.tables import DIRECTORY

LOOKUP = "*"
TRACE = "*trace "
BATCH = 500
_PROOF = "proof"
_TRACE_KEY = f"SELECT record_id FROM record_key WHERE SUBSTR(record_id, 1, {len(TRACE)}) = '{TRACE}' LIMIT 1"
_TABLES = """
CREATE TABLE IF NOT EXISTS key_store (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS master_key (
    version INTEGER PRIMARY KEY, proof {bytes} NOT NULL, created BIGINT NOT NULL, retired BIGINT
);
CREATE TABLE IF NOT EXISTS record_key (
    record_id TEXT PRIMARY KEY, master INTEGER, wrapped {bytes}, created BIGINT NOT NULL, destroyed BIGINT,
    CHECK ((wrapped IS NULL) = (destroyed IS NOT NULL) AND (wrapped IS NULL) = (master IS NULL))
);
CREATE INDEX IF NOT EXISTS record_key_by_master ON record_key (master)
"""
_BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}
_EXISTS = {
    "sqlite": "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'record_key'",
    "postgresql": "SELECT 1 FROM pg_catalog.pg_tables WHERE tablename = 'record_key'",
}


@dataclass(frozen=True, slots=True)
class MasterState:
    """A master key version: how many keys it wraps, whether it is at hand, when it was made and retired (ms)."""

    version: int
    wraps: int
    at_hand: bool
    created: int
    retired: int | None


class KeyStore:
    """`sqlite:///…` (a file of 0600, made with its folder) or `postgresql://…`, never the registry's own database."""

    def __init__(self, url: str, masters: MasterKeys) -> None:
        self.url = url
        self.masters = masters
        self.database = Database(url)
        self.id = ""
        self._file = _file_of(url)

    @classmethod
    def create(cls, url: str, masters: MasterKeys, now_ms: int) -> KeyStore:
        """Open the key store, made when it is not there. Several processes may do it at once."""
        if not exists(url):
            if dialect_of(url) == "sqlite":
                _make_file(Path(path_of(url)))
            database = Database(url)
            try:
                with database.transaction() as tx:
                    if tx.dialect == "postgresql":
                        tx.execute("SELECT pg_advisory_xact_lock(hashtext('dmp-fhir key store'))")
                    for statement in _TABLES.format(bytes=_BYTES[tx.dialect]).split(";"):
                        tx.execute(statement)
                    if tx.row("SELECT 1 FROM key_store LIMIT 1") is None:
                        tx.execute("INSERT INTO key_store (id) VALUES (:id)", {"id": secrets.token_hex(16)})
            finally:
                database.close()
        store = cls(url, masters)
        if store._newest() is None:
            if not masters.versions:
                masters.add()
            store._begin(masters.versions[-1], now_ms)
        masters.reload()  # another process may have begun since they were read
        store._verify()
        return store

    @classmethod
    def open(cls, url: str, masters: MasterKeys) -> KeyStore:
        """Open the key store with the master keys; KeysRefused when either is missing or they do not go together."""
        if not exists(url):
            raise KeysRefused(
                "the keys of the records are missing (DMP_FHIR_KEY_DATABASE, or record-keys.sqlite in the keys folder):"
                " put them back from their copy; without them nothing of this registry can be read"
            )
        store = cls(url, masters)
        store._verify()
        return store

    def _verify(self) -> None:
        """The master keys that are needed are here, and are the ones that wrapped what is here."""
        with self.database.snapshot() as reader:
            row = reader.row("SELECT id FROM key_store")
            versions = reader.rows("SELECT version, proof FROM master_key WHERE retired IS NULL ORDER BY version DESC")
            needed = [
                (version, bytes(proof))
                for n, (version, proof) in enumerate(versions)
                if n == 0 or reader.row("SELECT 1 FROM record_key WHERE master = :master LIMIT 1", {"master": version})
            ]
            sample = reader.row("SELECT master, wrapped FROM record_key WHERE record_id = :id", {"id": LOOKUP})
        if row is None or not needed or sample is None:
            raise KeysRefused("the key store is not whole: put it back from its copy")
        self.id = row[0]
        for version, proof in needed:
            if version not in self.masters.versions:
                raise KeysRefused(
                    f"master key version {version} is missing and wraps keys of this registry: put it back; nothing was"
                    " changed, and nothing is ever written without it"
                )
            self.masters.unwrap(version, _PROOF, proof)
        self.masters.unwrap(sample[0], LOOKUP, bytes(sample[1]))

    def _still_here(self) -> None:
        """SQLite goes on in a file that was taken away, and what it writes there is lost with the last connection."""
        if _file_of(self.url) != self._file:
            raise KeysUnavailable(
                "the file of the key store was taken away or replaced: put it back, or restart with the one in place"
            )

    # --- one key --------------------------------------------------------------------------------------

    def key(self, record_id: str) -> bytes:
        """The key of a record; KeyDestroyed when it was erased, KeysUnavailable when there is none."""
        self._still_here()
        for attempt in (1, 2):
            with self.database.snapshot() as reader:
                row = reader.row("SELECT master, wrapped FROM record_key WHERE record_id = :id", {"id": record_id})
            if row is None:
                raise KeysUnavailable("this record has no key here: the key store is older than the registry")
            if row[1] is None:
                raise KeyDestroyed("the key of this record was destroyed")
            try:
                return self.masters.unwrap(row[0], record_id, bytes(row[1]))
            except KeysUnavailable:
                # A rotation in another process: its new version, or the row as it is by now; or a wrong master key
                # that was read while it was there.
                if attempt == 2:
                    raise
                self.masters.reload()
        raise AssertionError

    def make(self, record_ids: Iterable[str], now_ms: int) -> None:
        """Make the keys that are not there, durably, before anything is sealed with them. KeyDestroyed for a record
        that was erased."""
        self._still_here()
        names = list(record_ids)
        for start in range(0, len(names), BATCH):
            self.database.write(lambda tx, some=names[start : start + BATCH]: self._make(tx, some, now_ms))  # type: ignore[misc]

    def _make(self, tx: Transaction, names: list[str], now_ms: int) -> None:
        lock = " FOR SHARE" if tx.dialect == "postgresql" else ""
        newest = tx.row(
            "SELECT version, proof FROM master_key WHERE retired IS NULL ORDER BY version DESC LIMIT 1" + lock
        )
        if newest is None:
            raise KeysUnavailable("the key store has no master key")
        self._prove(newest[0], bytes(newest[1]))
        for name in names:
            row = tx.row("SELECT destroyed FROM record_key WHERE record_id = :id", {"id": name})
            if row is None:
                key = secrets.token_bytes(KEY_SIZE)
                tx.execute(
                    "INSERT INTO record_key (record_id, master, wrapped, created)"
                    " VALUES (:id, :master, :wrapped, :now) ON CONFLICT DO NOTHING",
                    {
                        "id": name,
                        "master": newest[0],
                        "wrapped": self.masters.wrap(newest[0], name, key),
                        "now": now_ms,
                    },
                )
            elif row[0] is not None:
                raise KeyDestroyed("the key of this record was destroyed")

    def _prove(self, version: int, proof: bytes) -> None:
        """This master key is the one of its version. Wrapped by a wrong one, a new key would be lost."""
        try:
            self.masters.unwrap(version, _PROOF, proof)
        except KeysUnavailable:
            self.masters.reload()
            self.masters.unwrap(version, _PROOF, proof)

    def trace_key(self) -> TraceKey | None:
        """The key that seals the entries of the trace; None before `begin_trace`."""
        with self.database.snapshot() as reader:
            row = reader.row(_TRACE_KEY)
        return TraceKey(self.key(row[0]), int(row[0].removeprefix(TRACE))) if row else None

    def begin_trace(self, size: int, now_ms: int) -> None:
        """Make the key of the trace, for entries from position `size` on, unless there is one. `size` was read before
        this is called: whoever is faster begins at the same one."""

        def begin(tx: Transaction) -> None:
            if tx.row(_TRACE_KEY) is None:
                self._make(tx, [f"{TRACE}{size}"], now_ms)

        self.database.write(begin)

    # --- destruction ----------------------------------------------------------------------------------

    def destroy(self, record_ids: Iterable[str], now_ms: int) -> int:
        """Destroy keys for good; how many were there. SQLite overwrites the row and empties its log."""
        self._still_here()
        names = [name for name in record_ids if name and not name.startswith(LOOKUP)]

        def work(tx: Transaction) -> int:
            if tx.dialect == "sqlite":
                tx.rows("PRAGMA secure_delete = ON")
            return sum(
                tx.execute(
                    "UPDATE record_key SET wrapped = NULL, master = NULL, destroyed = :now"
                    " WHERE record_id = :id AND destroyed IS NULL",
                    {"id": name, "now": now_ms},
                )
                for name in names
            )

        destroyed = self.database.write(work) if names else 0
        if destroyed and self.database.dialect == "sqlite":
            self.database.close()
            empty_log(path_of(self.url))
        return destroyed

    def destroyed(self) -> list[str]:
        """The records whose key was destroyed."""
        with self.database.snapshot() as reader:
            rows = reader.rows("SELECT record_id FROM record_key WHERE destroyed IS NOT NULL ORDER BY record_id")
        return [row[0] for row in rows]

    # --- master keys ----------------------------------------------------------------------------------

    def _begin(self, version: int, now_ms: int) -> None:
        """The first master key with the keys that every registry has, at once: a process that looks meanwhile sees no
        store that is not whole."""

        def begin(tx: Transaction) -> None:
            self._register(tx, version, now_ms)
            self._make(tx, [DIRECTORY, LOOKUP], now_ms)

        self.database.write(begin)

    def register(self, version: int, now_ms: int) -> None:
        """From now on new keys are wrapped by this version."""
        self.database.write(lambda tx: self._register(tx, version, now_ms))

    def _register(self, tx: Transaction, version: int, now_ms: int) -> None:
        values = {"version": version, "proof": self.masters.wrap(version, _PROOF, bytes(KEY_SIZE)), "now": now_ms}
        tx.execute(
            "INSERT INTO master_key (version, proof, created) VALUES (:version, :proof, :now) ON CONFLICT DO NOTHING",
            values,
        )

    def _newest(self) -> int | None:
        with self.database.snapshot() as reader:
            return _newest_of(reader)

    def states(self) -> list[MasterState]:
        """Every master key version ever used, oldest first."""
        self.masters.reload()
        with self.database.snapshot() as reader:
            wraps: dict[int, int] = dict(
                reader.rows("SELECT master, COUNT(*) FROM record_key WHERE master IS NOT NULL GROUP BY master")
            )
            rows = reader.rows("SELECT version, created, retired FROM master_key ORDER BY version")
        return [
            MasterState(version, int(wraps.get(version, 0)), version in self.masters.versions, created, retired)
            for version, created, retired in rows
        ]

    def begin_rotation(self, now_ms: int) -> tuple[int, int]:
        """The version that keys are to be wrapped by, and how many are not yet. A rotation that was cut off goes on;
        else a new version begins."""
        self.masters.reload()
        newest = self._newest() or 0
        behind = self._behind(newest)
        if behind == 0:
            given = self.masters.versions[-1] if self.masters.versions else 0
            newest = given if given > newest else self.masters.add()
            self.register(newest, now_ms)
            behind = self._behind(newest)
        return newest, behind

    def _behind(self, version: int) -> int:
        with self.database.snapshot() as reader:
            row = reader.row("SELECT COUNT(*) FROM record_key WHERE master < :version", {"version": version})
        return int(row[0]) if row else 0

    def rewrap(self, version: int, done: Callable[[int], object] = lambda number: None) -> int:
        """Wrap all keys by `version`, a batch in each transaction; how many. `done` is told after each batch."""
        total = 0
        while number := self.database.write(lambda tx: self._rewrap(tx, version)):
            total += number
            done(number)
        return total

    def _rewrap(self, tx: Transaction, version: int) -> int:
        rows = tx.rows(
            f"SELECT record_id, master, wrapped FROM record_key WHERE master < :version LIMIT {BATCH}",
            {"version": version},
        )
        for record_id, master, wrapped in rows:
            key = self.masters.unwrap(master, record_id, bytes(wrapped))
            tx.execute(
                "UPDATE record_key SET master = :version, wrapped = :wrapped"
                " WHERE record_id = :id AND master = :master",
                {
                    "version": version,
                    "wrapped": self.masters.wrap(version, record_id, key),
                    "id": record_id,
                    "master": master,
                },
            )
        return len(rows)

    def retire(self, version: int, now_ms: int) -> None:
        """Destroy a master key version that wraps nothing any more; KeysRefused when it does, or is the newest."""

        def work(tx: Transaction) -> None:
            lock = " FOR UPDATE" if tx.dialect == "postgresql" else ""
            row = tx.row(f"SELECT retired FROM master_key WHERE version = :version{lock}", {"version": version})
            if row is None:
                raise KeysRefused(f"there is no master key version {version}")
            if version == _newest_of(tx):
                raise KeysRefused(f"master key version {version} is the one in use: rotate first")
            left = tx.row("SELECT COUNT(*) FROM record_key WHERE master = :version", {"version": version})
            if left and left[0]:
                raise KeysRefused(f"master key version {version} still wraps {left[0]} keys: rotate first")
            if row[0] is None:
                tx.execute(
                    "UPDATE master_key SET retired = :now WHERE version = :version", {"now": now_ms, "version": version}
                )

        self.database.write(work)
        self.masters.forget(version)

    def close(self) -> None:
        self.database.close()


def exists(url: str) -> bool:
    """Whether there is a key store at this address."""
    if dialect_of(url) == "sqlite" and not Path(path_of(url)).exists():
        return False
    database = Database(url)
    try:
        with database.snapshot() as reader:
            return reader.row(_EXISTS[reader.dialect]) is not None
    finally:
        database.close()


def _file_of(url: str) -> tuple[int, int] | None:
    """Which file is at the address of a key store; None when there is none, and for PostgreSQL."""
    if dialect_of(url) != "sqlite":
        return None
    try:
        found = os.stat(path_of(url))
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def copy(url: str, target: Path) -> None:
    """A copy of a key store of SQLite as it is at one moment, readable by its owner only."""
    _make_file(target)
    connection = apsw.Connection(path_of(url), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()


def empty_log(path: str) -> None:
    """Move what SQLite's write-ahead log holds into the file and cut the log to nothing: old pages go with it. Readers
    of another process can keep it; the next destruction does it again."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(2000)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.BusyError:
        pass
    finally:
        connection.close()


def _newest_of(reader: Reader) -> int | None:
    row = reader.row("SELECT MAX(version) FROM master_key WHERE retired IS NULL")
    return row[0] if row else None


def _make_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreUnavailable(f"key store not made: {error.strerror}") from error
