"""Resource bodies as they are kept: one zstd frame each, with a checksum, optionally against a dictionary; sealed
under the key of their record (store/sealing.py). The first byte tells a sealed body from a frame in clear, which only a
registry older than its keys holds.

A frame names its dictionary, so that bodies packed before a new dictionary was shipped stay readable: a dictionary
file in this folder (`bodies-<n>.zdict`) is added, never changed. New bodies use the one with the highest number.
https://www.rfc-editor.org/rfc/rfc8878
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from dmp_fhir.store.errors import KeysUnavailable
from dmp_fhir.store.sealing import BODY, DIRECTORY_BODY, SealBroken
from dmp_fhir.store.tables import DIRECTORY

if TYPE_CHECKING:
    from dmp_fhir.store.key_ring import KeyRing

LEVEL = 3
# Far above any resource that the wire lets in; a damaged length must not claim the memory of the machine.
MAX_BODY = 64 * 1024 * 1024


class BodyDamaged(Exception):
    """A stored body that does not decompress to what was packed: it is never served (TF-207)."""


def _dictionaries() -> dict[int, zstandard.ZstdCompressionDict]:
    files = sorted(Path(__file__).parent.glob("bodies-*.zdict"), key=lambda file: int(file.stem.partition("-")[2]))
    loaded = (zstandard.ZstdCompressionDict(file.read_bytes()) for file in files)
    return {dictionary.dict_id(): dictionary for dictionary in loaded}


_DICTIONARIES = _dictionaries()
_NEWEST = next(reversed(_DICTIONARIES.values()), None)
if _NEWEST is not None:
    _NEWEST.precompute_compress(level=LEVEL)


class _Tools(threading.local):
    """The compressor and the decompressors of one thread: building them costs more than using them."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(
            level=LEVEL, dict_data=_NEWEST, write_checksum=True, write_content_size=True
        )
        self.decompressors = {
            number: zstandard.ZstdDecompressor(dict_data=dictionary)
            for number, dictionary in ({0: None} | _DICTIONARIES).items()
        }


_tools = _Tools()


def pack(body: bytes) -> bytes:
    """The compressed frame of a body."""
    return _tools.compressor.compress(body)


def unpack(frame: bytes) -> bytes:
    """The body of a frame, byte for byte; BodyDamaged when it cannot be what was packed."""
    try:
        header = zstandard.get_frame_parameters(frame)
        if header.content_size > MAX_BODY or not header.has_checksum:
            raise BodyDamaged("impossible frame header")
        return _tools.decompressors[header.dict_id].decompress(frame)
    except zstandard.ZstdError as error:
        raise BodyDamaged("the frame does not decompress") from error
    except KeyError as error:
        raise BodyDamaged("the frame names an unknown dictionary") from error


# --- sealed ---------------------------------------------------------------------------------------


def version_place(record_id: str, resource_type: str, resource_id: str, version: int) -> str:
    """Where the body of a version belongs: it opens nowhere else."""
    return f"resource_version|{record_id}|{resource_type}|{resource_id}|{version}"


def event_place(record_id: str, event_id: str) -> str:
    """The same for an entry of the trace."""
    return f"audit_event|{record_id}|{event_id}"


def document_place(record_id: str, resource_type: str, payload_id: str) -> str:
    """The same for the bytes of a document (registry/payloads.py)."""
    return f"payload|{record_id}|{resource_type}|{payload_id}"


def seal_body(keys: KeyRing | None, record_id: str, place: str, body: bytes, *, lasting: bool = False) -> bytes:
    """The stored form of a body. A `lasting` one is under the directory's key, and so outlives the erasure of its
    record. Never in clear: KeysUnavailable without keys."""
    if keys is None:
        raise KeysUnavailable("this database was opened without its keys: nothing can be written")
    if record_id == DIRECTORY or lasting:
        return keys.of(DIRECTORY).seal(DIRECTORY_BODY, place, pack(body))
    return keys.of(record_id).seal(BODY, place, pack(body))


def open_body(keys: KeyRing | None, record_id: str, place: str, stored: bytes) -> bytes:
    """The body of its stored form, byte for byte. BodyDamaged when it cannot be what was stored there (an alert:
    TF-243), KeyDestroyed when its record was erased, KeysUnavailable without keys."""
    kind = stored[:1]
    if kind != BODY and kind != DIRECTORY_BODY:
        if keys is not None and not keys.plain_readable:
            alert("a stored body is not sealed")
            raise BodyDamaged("not sealed")
        return unpack(stored)
    if keys is None:
        raise KeysUnavailable("this database was opened without its keys: what is sealed cannot be read")
    try:
        return unpack(keys.of(record_id if kind == BODY else DIRECTORY).open(kind, place, stored))
    except SealBroken as broken:
        alert("a stored body does not open: altered, moved, or sealed by another key")
        raise BodyDamaged("the seal is broken") from broken


def alert(what: str) -> None:
    """For the operator to look at now; without any value (TF-243)."""
    logging.getLogger("dmp_fhir.alert").critical(what)
