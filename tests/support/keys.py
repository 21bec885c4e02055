"""Keys for the databases of tests: real ones, in a folder of the test.

Tests of the store put rows straight into the tables, for records that nobody opened: `MakingRing` makes the key of such
a record when it is first needed, where a registry refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

from dmp_fhir.store.database import Database
from dmp_fhir.store.errors import KeysRefused, KeysUnavailable
from dmp_fhir.store.key_ring import KeyRing
from dmp_fhir.store.key_store import KeyStore
from dmp_fhir.store.masters import MasterKeyFiles
from dmp_fhir.store.opening import open_registry
from dmp_fhir.store.sealing import SealingKey


class MakingRing(KeyRing):
    """`plain_readable`: so are rows that a test wrote without sealing them."""

    def __init__(self, store: KeyStore) -> None:
        store.begin_trace(0, 0)  # unless it was begun
        super().__init__(store, plain_readable=True)

    def of(self, record_id: str) -> SealingKey:
        try:
            return super().of(record_id)
        except KeysRefused:
            raise
        except KeysUnavailable:
            self.make(record_id, 0)
            return super().of(record_id)


def key_url(folder: Path) -> str:
    return f"sqlite:///{folder}/record-keys.sqlite"


def make_keys(folder: Path) -> Path:
    """A folder with a key store and its master key."""
    KeyStore.create(key_url(folder), MasterKeyFiles(folder), 0).close()
    return folder


def with_keys(url: str, template: Path, folder: Path) -> Database:
    """The database, with a copy of the keys of `template`."""
    if not folder.exists():
        shutil.copytree(template, folder)
    database = Database.open(url)
    database.keys = MakingRing(KeyStore.open(key_url(folder), MasterKeyFiles(folder)))
    return database


def with_new_keys(url: str, folder: Path | None = None, *, sealed_from: int = 0) -> Database:
    """The database, with keys in a folder of their own, made when there are none; its trace is sealed from a
    position on."""
    folder = folder or Path(mkdtemp(prefix="dmp-fhir-keys-"))
    database = Database.open(url)
    store = KeyStore.create(key_url(folder), MasterKeyFiles(folder), 0)
    store.begin_trace(sealed_from, 0)
    database.keys = MakingRing(store)
    return database


def settle_keys(database: Database, data_folder: Path) -> None:
    """Make the keys of a database those of a data folder, for the commands that open it."""
    assert database.keys is not None
    store = database.keys.store
    shutil.copytree(Path(store.url.removeprefix("sqlite:///")).parent, data_folder / "keys", dirs_exist_ok=True)
    row = {"id": 1, "key_store": store.id, "plain_readable": True, "since": 0}
    database.write(lambda tx: tx.claim("keys_in_use", row))


def looked_up(database: Database, number: str) -> str:
    """The keyed hash by which a matricule is in the table `ins`."""
    assert database.keys is not None
    return database.keys.hidden(number.rpartition("|")[2])


def reopened(url: str, data_folder: Path) -> Database:
    """The database of a data folder, with its keys, as another process opens it."""
    keys = data_folder / "keys"
    return open_registry(url, key_url(keys), MasterKeyFiles(keys), lambda: 0)
