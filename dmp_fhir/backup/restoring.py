"""Making and restoring backups: files, databases, and the checks on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmp_fhir.backup.archive import Head, Manifest, opened, verify, write
from dmp_fhir.backup.sealed import BackupDamaged
from dmp_fhir.instants import instant_text
from dmp_fhir.store import schema
from dmp_fhir.store.check import check
from dmp_fhir.store.database import Database
from dmp_fhir.store.dump import Shape, digest_of, empty, holdings, insert_lines, is_empty, without_limit
from dmp_fhir.store.payloads import PayloadStore


class NotRestored(Exception):
    """A restore that is refused, or that did not bring back what the backup holds; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought back."""

    head: Head
    manifest: Manifest
    findings: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.manifest.tables.values())


def make(path: Path, key: bytes, database: Database, payloads: PayloadStore, now_ms: int) -> Manifest:
    """Write a backup to a file that is not there yet. It appears whole, or not at all, and for its owner only."""
    if path.exists():
        raise FileExistsError(path)
    revision = schema.current(database.url)
    if revision != schema.head():
        raise NotRestored("the database is not of this version of the program; run: dmp-fhir init")
    draft = path.with_name(f".{path.name}.part")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            manifest = write(file, key, database, payloads, revision, now_ms)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, fails when somebody was faster
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def restore(
    path: Path,
    key: bytes,
    url: str,
    payloads: PayloadStore,
    *,
    replace: bool = False,
    opening: Callable[[str], Database] = Database.open,
) -> Restored:
    """Put a backup into the database at `url`, SQLite or PostgreSQL, and its documents into `payloads`.

    The whole backup is verified before anything is touched. Rows are put in one transaction, after the documents: a
    restore that is interrupted leaves an empty registry. With `replace`, what was there is dropped first. Stop the
    server before. `opening` opens the restored registry with the keys of its records, which are in no backup.
    BackupDamaged or NotRestored when it can't be done, or did not bring back the same.
    """
    head, _ = verify(path, key)
    if head.revision > schema.head():
        raise NotRestored(f"made by version {head.version}, which is later than this one: use that version")
    _prepare(url, head, replace=replace)
    database = Database.open(url)
    try:
        manifest = _load(path, key, database, payloads)
        _compare(database, head, manifest)
    finally:
        database.close()
    schema.upgrade(url)
    database = opening(url)
    try:
        return Restored(head, manifest, tuple(check(database, payloads)))
    finally:
        database.close()


def _prepare(url: str, head: Head, *, replace: bool) -> None:
    """An empty database at the revision of the backup."""
    if schema.current(url) is not None:
        database = Database.open(url)
        try:
            with database.snapshot() as reader:
                without_limit(reader)
                lost = None if is_empty(reader) else (holdings(reader, -1), holdings(reader, head.made))
        finally:
            database.close()
        if lost and not replace:
            raise NotRestored(
                f"this registry is not empty: it holds {lost[0]}. Since the backup, made on {instant_text(head.made)},"
                f" there are {lost[1]}. With --replace, all that is here is dropped, and lost"
            )
        schema.drop(url)
    schema.upgrade(url, head.revision)


def _load(path: Path, key: bytes, database: Database, payloads: PayloadStore) -> Manifest:
    with opened(path, key) as backup, database.transaction() as tx:
        without_limit(tx)

        def put(shape: Shape, lines: Iterator[bytes]) -> None:
            empty(tx, shape)
            insert_lines(tx, shape, lines)

        return backup.read(put, payloads.adopt)


def _compare(database: Database, head: Head, manifest: Manifest) -> None:
    """What is in the database now, against the digests of the backup."""
    with database.snapshot() as reader:
        without_limit(reader)
        different = [shape.name for shape in head.tables if digest_of(reader, shape) != manifest.tables[shape.name]]
    if different:
        raise NotRestored(f"restored, but not the same: {', '.join(different)}")


__all__ = ["BackupDamaged", "NotRestored", "Restored", "make", "restore", "verify"]
