"""Opening a registry with its keys, and giving it keys.

The database says which key store is its own (`keys_in_use`). Whatever is missing, or does not go with the rest, stops
the start with a sentence; nothing is made anew over data, and nothing is ever written in clear (TF-242).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.instants import Clock
from dmp_fhir.store.database import Database, Reader, Transaction
from dmp_fhir.store.errors import KeysRefused
from dmp_fhir.store.identifiers import ins_row
from dmp_fhir.store.key_ring import KeyRing
from dmp_fhir.store.key_store import KeyStore, exists
from dmp_fhir.store.masters import MasterKeyFiles, MasterKeyList, MasterKeys


def master_keys(folder: Path, given: str) -> MasterKeys:
    """Those of the setting when there are any, else those of the folder."""
    return MasterKeyList(given) if given.strip() else MasterKeyFiles(folder)


def open_registry(url: str, key_url: str, masters: MasterKeys, clock: Clock) -> Database:
    """The database with its keys. An empty one is given keys; KeysRefused when keys are missing or are not its own."""
    database = Database.open(url)
    try:
        in_use = _in_use(database)
        if in_use is None:
            if _holds_data(database):
                raise KeysRefused("this registry has no keys yet; stop the server and run: dmp-fhir init")
            give_keys(database, key_url, masters, clock())
            in_use = _in_use(database)
        assert in_use is not None
        store = KeyStore.open(key_url, masters)
        if store.id != in_use[0]:
            raise KeysRefused(
                f"the key store is not the one of this registry (it is {store.id}, the registry needs {in_use[0]}):"
                " put the right one back"
            )
        if store.trace_key() is None:
            store.begin_trace(_size_of_trace(database), clock())
        database.keys = KeyRing(store, plain_readable=in_use[1])
    except BaseException:
        database.close()
        raise
    return database


def give_keys(
    database: Database,
    key_url: str,
    masters: MasterKeys,
    now_ms: int,
    progress: Callable[[str], object] = lambda line: None,
) -> bool:
    """Give a registry its keys, one for each record, and take its matricules out of the clear; whether there were any.
    They may still lie in the files then, behind what replaced them (schema.forget). What else an older registry holds
    stays readable (`dmp-fhir keys encrypt` goes on from here). Nothing happens to one that has its keys, whether they
    are at hand or not."""
    if _in_use(database) is not None:
        return False
    if key_url == database.url:
        raise KeysRefused(
            "DMP_FHIR_KEY_DATABASE: the keys need a database of their own, which backups of the registry do not hold"
        )
    if exists(key_url):
        progress("a key store is here already: it is used")
    store = KeyStore.create(key_url, masters, now_ms)
    try:
        with database.snapshot() as reader:
            records = [row[0] for row in reader.rows("SELECT id FROM record WHERE status <> 'directory'")]
            records += [
                row[0]
                for row in reader.rows(
                    "SELECT DISTINCT a.record_id FROM audit_event a WHERE a.record_id <> ''"
                    " AND NOT EXISTS (SELECT 1 FROM record r WHERE r.id = a.record_id)"
                )
            ]
        store.make(records, now_ms)
        keys = KeyRing(store)
        return database.write(lambda tx: _begin(tx, keys, now_ms))
    finally:
        store.close()


TABLES_WITH_MATRICULES = ("ins", "search_token")


def _begin(tx: Transaction, keys: KeyRing, now_ms: int) -> bool:
    old = tx.row("SELECT 1 FROM resource_version LIMIT 1") is not None
    row = {"id": 1, "key_store": keys.store.id, "plain_readable": old, "since": now_ms}
    if not tx.claim("keys_in_use", row):
        return False  # another process was faster
    plain = tx.rows("SELECT system, value, record_id FROM ins WHERE sealed IS NULL")
    for system, value, record_id in plain:
        tx.execute("DELETE FROM ins WHERE system = :system AND value = :value", {"system": system, "value": value})
        tx.insert("ins", ins_row(keys, record_id, system, value))
    systems = {f"s{n}": system for n, system in enumerate(sorted(INS_SYSTEMS))}
    which = (
        "resource_type = 'Patient' AND parameter = 'identifier'"
        f" AND system IN ({', '.join(f':{name}' for name in systems)})"
    )
    for record_id, resource_id, code in tx.rows(
        f"SELECT record_id, resource_id, code FROM search_token WHERE {which}", systems
    ):
        tx.execute(
            "UPDATE search_token SET code = :hidden WHERE record_id = :record_id AND resource_id = :resource_id"
            f" AND code = :code AND {which}",
            systems | {"hidden": keys.hidden(code), "record_id": record_id, "resource_id": resource_id, "code": code},
        )
    return bool(plain)


def _in_use(database: Database) -> tuple[str, bool] | None:
    with database.snapshot() as reader:
        row = reader.row("SELECT key_store, plain_readable FROM keys_in_use")
    return (row[0], bool(row[1])) if row else None


def _size_of_trace(database: Database) -> int:
    with database.snapshot() as reader:
        row = reader.row("SELECT size FROM audit_tree WHERE id = 1")
    return int(row[0]) if row else 0


def _holds_data(database: Database) -> bool:
    def any_of(reader: Reader, table: str) -> bool:
        return reader.row(f"SELECT 1 FROM {table} LIMIT 1") is not None

    with database.snapshot() as reader:
        return any_of(reader, "resource_version") or any_of(reader, "audit_event") or any_of(reader, "ins")
