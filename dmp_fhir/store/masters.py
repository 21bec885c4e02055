"""Master keys: what wraps the keys of the records. They are never in the database nor in a backup (TF-236, TF-250).

`MasterKeys` is what another keeper of keys (a KMS, an HSM) has to offer; two are here: files in a folder, and an
environment variable. A version that was given out is never made again with another key.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dmp_fhir.files import flush_folder, make_once
from dmp_fhir.store.errors import KeysRefused, KeysUnavailable
from dmp_fhir.store.sealing import KEY_SIZE

# A random key has about 30 different bytes of 32; fewer than this many is a key that somebody typed.
_FEWEST_DIFFERENT = 16
_NONCE = 12


class MasterKeys(Protocol):
    """Wraps and unwraps keys of 32 bytes. `versions` are those at hand, oldest first; the newest wraps."""

    @property
    def versions(self) -> tuple[int, ...]: ...

    def wrap(self, version: int, name: str, key: bytes) -> bytes:
        """The wrapped key, bound to its name."""
        ...

    def unwrap(self, version: int, name: str, wrapped: bytes) -> bytes:
        """The key; KeysUnavailable for a version that is not at hand or a keeper that is away, KeysRefused when the
        master key is not the one that wrapped it."""
        ...

    def add(self) -> int:
        """Make one more version; KeysRefused when the operator has to give it."""
        ...

    def forget(self, version: int) -> None:
        """Destroy a version that nothing uses any more; KeysRefused when the operator has to."""
        ...

    def reload(self) -> None:
        """Look again which versions are at hand."""
        ...


class _Held:
    """Versions whose bytes this process holds. AES-256-GCM with a random nonce: a version wraps one key per record and
    rotation, far below the 2^32 of NIST SP 800-38D."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        self._keys = keys

    def __repr__(self) -> str:
        return f"{type(self).__name__}(versions {self.versions})"

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted(self._keys))

    def wrap(self, version: int, name: str, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._held(version)).encrypt(nonce, key, _bound(version, name))

    def unwrap(self, version: int, name: str, wrapped: bytes) -> bytes:
        try:
            return AESGCM(self._held(version)).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], _bound(version, name))
        except (InvalidTag, ValueError):
            raise KeysRefused(
                f"master key version {version} is not the one that wrapped the keys of this registry, or the key store"
                " is damaged: put the right keys back; nothing was changed"
            ) from None

    def _held(self, version: int) -> bytes:
        try:
            return self._keys[version]
        except KeyError:
            raise KeysUnavailable(f"master key version {version} is not at hand") from None


class MasterKeyFiles(_Held):
    """`master-<version>.key` in a folder: 64 hexadecimal digits, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__({})
        self.reload()

    def reload(self) -> None:
        found = {}
        for path in self._folder.glob("master-*.key"):
            number = path.stem.removeprefix("master-")
            if number.isascii() and number.isdigit():
                found[int(number)] = self._read(path)
        self._keys = found

    def _read(self, path: Path) -> bytes:
        if path.stat().st_mode & 0o077:
            raise KeysRefused(f"{path}: others may read this master key; chmod 600 it")
        try:
            return checked(bytes.fromhex(path.read_text("ascii").strip()), str(path))
        except ValueError:
            raise KeysRefused(f"{path}: a master key is 64 hexadecimal digits; put the right file back") from None

    def add(self) -> int:
        version = (self.versions or (0,))[-1] + 1
        # A key that is there is never replaced: another process may have been faster.
        make_once(self._folder / f"master-{version}.key", (secrets.token_bytes(KEY_SIZE).hex() + "\n").encode())
        self.reload()
        return version

    def forget(self, version: int) -> None:
        path = self._folder / f"master-{version}.key"
        if path.exists():
            with path.open("r+b") as file:  # what a disk keeps of an old block is beyond us (docs/operating.md)
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            flush_folder(self._folder)
        self.reload()


class MasterKeyList(_Held):
    """Versions given in a setting: `2:<base64 of 32 bytes> 1:<…>`. The operator adds and removes them."""

    def __init__(self, text: str) -> None:
        super().__init__({})
        for part in re.split(r"[\s,]+", text.strip()):
            number, colon, encoded = part.partition(":")
            if not (colon and number.isascii() and number.isdigit() and int(number) > 0):
                raise KeysRefused(
                    "DMP_FHIR_MASTER_KEYS: write VERSION:BASE64 for each master key, for example 1:… (32 random bytes)"
                )
            try:
                key = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise KeysRefused(f"DMP_FHIR_MASTER_KEYS: version {number} is not base64") from None
            if int(number) in self._keys:
                raise KeysRefused(f"DMP_FHIR_MASTER_KEYS: version {number} is given twice")
            self._keys[int(number)] = checked(key, f"DMP_FHIR_MASTER_KEYS: version {number}")

    def reload(self) -> None:
        """The environment of a process does not change."""

    def add(self) -> int:
        raise KeysRefused(
            "DMP_FHIR_MASTER_KEYS holds the master keys: add a version to it, restart the servers with it, and rotate"
        )

    def forget(self, version: int) -> None:
        """What the setting holds is the operator's to remove; nothing uses it any more."""


def checked(key: bytes, where: str) -> bytes:
    """The key, refused when it is empty, short, or one that somebody typed rather than drew."""
    if not key:
        raise KeysRefused(f"{where}: the master key is empty; put the right one back")
    if len(key) != KEY_SIZE:
        raise KeysRefused(f"{where}: a master key has 32 bytes, this one {len(key)}")
    if len(set(key)) < _FEWEST_DIFFERENT or _is_a_walk(key) or all(32 <= each < 127 for each in key):
        raise KeysRefused(f"{where}: this master key is no random one; draw one: openssl rand -base64 32")
    return key


def _is_a_walk(key: bytes) -> bool:
    """Equal steps from byte to byte, as in an example."""
    return len({(after - before) % 256 for before, after in pairwise(key)}) <= 2


def _bound(version: int, name: str) -> bytes:
    return f"dmp-fhir key {version} {name}".encode()
