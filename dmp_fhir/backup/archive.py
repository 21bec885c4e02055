"""The inside of a backup: a tar of parts, in the order in which they are written and read.

    backup.json                   version, revision of the schema, instant, tables with their columns
    tables/<table>/<number>.zst   lines of rows (store/dump.py), zstd, some megabytes each
    documents/<sha256>            documents as they are stored
    manifest.json                 rows and SHA-256 of each table, number, bytes and SHA-256 of the documents

All rows are of one snapshot, taken while the server works. A document's file is written before the row that names it
and stays, so the files are copied after the rows.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, cast

import orjson
import zstandard

from dmp_fhir import __version__
from dmp_fhir.backup.sealed import BackupDamaged, SealedReader, SealedWriter
from dmp_fhir.store.database import Database
from dmp_fhir.store.dump import Digest, Shape, lines_of, shapes, without_limit
from dmp_fhir.store.payloads import PayloadDamaged, PayloadStore

FORMAT = 1
HEAD, MANIFEST = "backup.json", "manifest.json"
_TABLES, _DOCUMENTS = "tables/", "documents/"
_PART = 8 << 20
_MOST = 1 << 31


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself: made by which version of the program, at which revision of the schema, when
    (milliseconds), of which database."""

    version: str
    revision: str
    made: int
    dialect: str
    tables: tuple[Shape, ...]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Documents:
    """Number, bytes and one SHA-256 over the names and SHA-256 of all; `absent` are those that were missing or altered
    in the registry itself, by name."""

    count: int
    bytes: int
    sha256: str
    absent: tuple[str, ...] = ()


@dataclass(slots=True)
class Manifest:
    """What a backup holds."""

    tables: dict[str, Digest] = field(default_factory=dict)
    documents: Documents = Documents(0, 0, hashlib.sha256().hexdigest())


# --- writing --------------------------------------------------------------------------------------------------------


def write(
    file: BinaryIO, key: bytes, database: Database, payloads: PayloadStore, revision: str, now_ms: int
) -> Manifest:
    """Write a backup of everything as it is now."""
    sealed = SealedWriter(file, key)
    writer = _Writer(sealed)
    manifest = Manifest()
    digests: set[bytes] = set()
    with database.snapshot() as reader:
        without_limit(reader)
        tables = tuple(shapes())
        head = Head(__version__, revision, now_ms, reader.dialect, tables)
        writer.add(HEAD, orjson.dumps(asdict(head)))
        for shape in tables:
            manifest.tables[shape.name] = writer.add_table(shape.name, lines_of(reader, shape))
        # One name per content; all of them are of the snapshot, the files may be copied without it.
        digests.update(row[0] for row in reader.rows("SELECT DISTINCT sha256 FROM payload"))
    manifest.documents = writer.add_documents(sorted(digests), payloads)
    writer.add(MANIFEST, orjson.dumps(asdict(manifest)))
    writer.close()
    sealed.close()
    return manifest


class _Writer:
    def __init__(self, sealed: SealedWriter) -> None:
        self._tar = tarfile.open(fileobj=cast(BinaryIO, sealed), mode="w|")  # noqa: SIM115 - closed by close
        self._compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)

    def add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))

    def add_table(self, name: str, lines: Iterator[bytes]) -> Digest:
        digest, count, part, number = hashlib.sha256(), 0, bytearray(), 0
        for line in lines:
            digest.update(line)
            count += 1
            part += line
            if len(part) > _PART:
                number += 1
                self.add(f"{_TABLES}{name}/{number:06d}.zst", self._compressor.compress(bytes(part)))
                part.clear()
        if part:
            self.add(f"{_TABLES}{name}/{number + 1:06d}.zst", self._compressor.compress(bytes(part)))
        return Digest(count, digest.hexdigest())

    def add_documents(self, digests: list[bytes], payloads: PayloadStore) -> Documents:
        sums, absent = _Documents(), []
        for digest in digests:
            try:
                stored = payloads.stored(digest)
            except PayloadDamaged:
                absent.append(digest.hex())
                continue
            self.add(_DOCUMENTS + digest.hex(), stored)
            sums.add(digest.hex(), stored)
        return sums.found(tuple(absent))

    def close(self) -> None:
        self._tar.close()


class _Documents:
    """Adds documents up."""

    def __init__(self) -> None:
        self._digest, self._count, self._bytes = hashlib.sha256(), 0, 0

    def add(self, name: str, stored: bytes) -> None:
        self._digest.update(name.encode() + hashlib.sha256(stored).digest())
        self._count += 1
        self._bytes += len(stored)

    def found(self, absent: tuple[str, ...]) -> Documents:
        return Documents(self._count, self._bytes, self._digest.hexdigest(), absent)


# --- reading --------------------------------------------------------------------------------------------------------

OnTable = Callable[[Shape, Iterator[bytes]], None]
OnDocument = Callable[[bytes, bytes], None]


class Backup:
    """A backup that is being read, once, from its beginning to its end."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._sealed = SealedReader(file, key)
        self._tar = tarfile.open(fileobj=cast(BinaryIO, self._sealed), mode="r|")  # noqa: SIM115 - holds nothing
        self._decompressor = zstandard.ZstdDecompressor()
        self._found = Manifest()
        self.head = self._read_head()

    def _read_head(self) -> Head:
        name, content = next(self._parts(), ("", b""))
        if name != HEAD:
            raise BackupDamaged(f"it begins with {name or 'nothing'}, not with {HEAD}")
        told: dict[str, Any] = orjson.loads(content)
        if told["format"] != FORMAT:
            raise BackupDamaged(f"its format is {told['format']}; this program reads format {FORMAT}")
        tables = tuple(
            Shape(each["name"], tuple(each["key"]), tuple(each["columns"]), tuple(each["kinds"]))
            for each in told.pop("tables")
        )
        return Head(tables=tables, **told)

    def read(self, on_table: OnTable, on_document: OnDocument) -> Manifest:
        """Give every part to its taker, in order; what the backup holds, which is then what its manifest says.
        BackupDamaged when it is not."""
        shapes_by_name = {shape.name: shape for shape in self.head.tables}
        documents = _Documents()
        told: Manifest | None = None
        parts = _Ahead(self._parts())
        for shape in self.head.tables:
            lines = _Lines(self._lines(parts, shape.name))
            on_table(shapes_by_name[shape.name], iter(lines))
            self._found.tables[shape.name] = lines.digest()
        for name, content in parts:
            if name == MANIFEST:
                told = _manifest(content)
            elif name.startswith(_DOCUMENTS) and told is None:
                documents.add(name.removeprefix(_DOCUMENTS), content)
                on_document(bytes.fromhex(name.removeprefix(_DOCUMENTS)), content)
            else:
                raise BackupDamaged(f"{name} is not expected here")
        self._sealed.finish()
        if told is None:
            raise BackupDamaged("it has no manifest")
        self._found.documents = documents.found(told.documents.absent)
        _compare(told, self._found)
        return told

    def _parts(self) -> Iterator[tuple[str, bytes]]:
        try:
            while (member := self._tar.next()) is not None:
                if not member.isreg() or member.size > _MOST:
                    raise BackupDamaged(f"{member.name} is no part of a backup")
                file = self._tar.extractfile(member)
                yield member.name, file.read() if file else b""
        except tarfile.TarError as error:
            raise BackupDamaged(f"its parts can't be told apart ({type(error).__name__})") from error

    def _lines(self, parts: _Ahead, table: str) -> Iterator[bytes]:
        for content in parts.while_in(f"{_TABLES}{table}/"):
            yield from self._decompressor.decompress(content, max_output_size=_MOST).splitlines(keepends=True)


class _Ahead:
    """Parts, looked at before they are taken."""

    def __init__(self, parts: Iterator[tuple[str, bytes]]) -> None:
        self._parts = parts
        self._next: tuple[str, bytes] | None = next(parts, None)

    def while_in(self, folder: str) -> Iterator[bytes]:
        while self._next is not None and self._next[0].startswith(folder):
            yield self._next[1]
            self._next = next(self._parts, None)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        while self._next is not None:
            yield self._next
            self._next = next(self._parts, None)


class _Lines:
    """Lines, counted and added up while they are taken."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._count, self._sum = lines, 0, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._sum.update(line)
            self._count += 1
            yield line

    def digest(self) -> Digest:
        for _ in self:  # what the taker left
            pass
        return Digest(self._count, self._sum.hexdigest())


def _manifest(content: bytes) -> Manifest:
    told = orjson.loads(content)
    documents = told["documents"] | {"absent": tuple(told["documents"]["absent"])}
    return Manifest({name: Digest(**each) for name, each in told["tables"].items()}, Documents(**documents))


def _compare(told: Manifest, found: Manifest) -> None:
    if found.documents != told.documents:
        counts = f"{found.documents.count} documents, {told.documents.count} announced"
        raise BackupDamaged(f"its documents are not those of its manifest: {counts}")
    for name in told.tables.keys() | found.tables.keys():
        here, there = found.tables.get(name), told.tables.get(name)
        if here != there:
            counts = f"{here.rows if here else 'no'} rows, {there.rows if there else 'none'} announced"
            raise BackupDamaged(f"table {name} is not that of its manifest: {counts}")


@contextmanager
def opened(path: Any, key: bytes) -> Iterator[Backup]:
    """The backup in a file."""
    with open(path, "rb") as file:
        yield Backup(file, key)


def verify(path: Any, key: bytes) -> tuple[Head, Manifest]:
    """Read a backup from its beginning to its end; BackupDamaged with the cause when it is not as it was written."""
    with opened(path, key) as backup:
        return backup.head, backup.read(lambda shape, lines: None, lambda digest, stored: None)
