"""Resource bodies as they are kept: one zstd frame each, with a checksum, optionally against a dictionary.

A frame names its dictionary, so that bodies packed before a new dictionary was shipped stay readable: a dictionary
file in this folder (`bodies-<n>.zdict`) is added, never changed. New bodies use the one with the highest number.
https://www.rfc-editor.org/rfc/rfc8878
"""

from __future__ import annotations

import threading
from pathlib import Path

import zstandard

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
