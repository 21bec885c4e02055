"""Signed tree heads: what the log was at an instant, signed with Ed25519, and kept outside the database as well.

A head is signed in the transaction of each thousandth entry, every minute when there is something new (sealer.py), and
by `dmp-fhir audit seal`. What is signed is a text of four lines, a checkpoint as of https://c2sp.org/tlog-checkpoint
with the instant as extension:

    dmp-fhir-audit
    [size of the tree]
    [root, base64]
    [instant, milliseconds since 1970 UTC]

The keys are in `keys/audit` of the data folder: `signing.pem`, and `public.jwks.json` with every key that ever signed
(RFC 8037), since when and until when.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dmp_fhir.audit.placing import lock_tree
from dmp_fhir.audit.tree import Frontier
from dmp_fhir.files import replace_whole
from dmp_fhir.instants import Clock, system_clock
from dmp_fhir.store.database import Database, Reader, Transaction

_log = logging.getLogger("dmp_fhir.audit")

ORIGIN = "dmp-fhir-audit"
SIGNING_KEY = "signing.pem"
PUBLIC_KEYS = "public.jwks.json"
HEADS_FILE = "heads.jsonl"
SEAL_EVERY_MS = 60_000
# Heads that go out in one go; a file that was away for long is caught up in several.
_SHIPPED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Head:
    """The tree at an instant (milliseconds), and who says so."""

    size: int
    root: bytes
    time: int
    key_id: str
    signature: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return head_text(self.size, self.root, self.time)

    @property
    def line(self) -> str:
        """A line of the file outside."""
        shown = {"size": self.size, "root": self.root.hex(), "time": self.time, "key": self.key_id}
        return json.dumps(shown | {"signature": self.signature.hex()}) + "\n"

    @classmethod
    def of_line(cls, line: str) -> Head:
        """ValueError, KeyError or TypeError when it is none."""
        read = json.loads(line)
        root, signature = bytes.fromhex(read["root"]), bytes.fromhex(read["signature"])
        return cls(int(read["size"]), root, int(read["time"]), str(read["key"]), signature)


def head_text(size: int, root: bytes, time: int) -> str:
    return f"{ORIGIN}\n{size}\n{b64encode(root).decode()}\n{time}\n"


def latest_head(reader: Reader) -> Head | None:
    row = reader.row("SELECT size, root, time, key_id, signature FROM audit_head ORDER BY size DESC LIMIT 1")
    return Head(*row) if row else None


def head_of_size(reader: Reader, size: int) -> Head | None:
    row = reader.row("SELECT size, root, time, key_id, signature FROM audit_head WHERE size = :size", {"size": size})
    return Head(*row) if row else None


# --- keys -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signs or signed, from `since` on and, when it was replaced, until `until`."""

    id: str
    key: Ed25519PublicKey
    since: int
    until: int | None = None

    def signed(self, text: str, signature: bytes) -> bool:
        try:
            self.key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True

    @property
    def jwk(self) -> dict[str, Any]:
        raw = self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        shown = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id, "x": _base64url(raw)}
        return shown | {"since": self.since} | ({"until": self.until} if self.until is not None else {})

    @classmethod
    def of_jwk(cls, jwk: dict[str, Any]) -> PublicKey:
        raw = urlsafe_b64decode(jwk["x"] + "==")
        return cls(jwk["kid"], Ed25519PublicKey.from_public_bytes(raw), jwk["since"], jwk.get("until"))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def key_id_of(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the key."""
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


class HeadKeys:
    """The keys of one folder; the first one is made on first use. Several processes may start at once."""

    def __init__(self, folder: Path, clock: Clock = system_clock) -> None:
        self.folder = folder / "audit"
        self._clock = clock
        if not (self.folder / PUBLIC_KEYS).exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self.folder / ".lock"):
                if not (self.folder / PUBLIC_KEYS).exists():
                    self._make([])
        signing = load_pem_private_key((self.folder / SIGNING_KEY).read_bytes(), None)
        if not isinstance(signing, Ed25519PrivateKey):
            raise ValueError(f"{self.folder / SIGNING_KEY} is not an Ed25519 key")
        self._signing = signing
        self.id = key_id_of(signing.public_key())

    def sign(self, size: int, root: bytes) -> Head:
        time = self._clock()
        return Head(size, root, time, self.id, self._signing.sign(head_text(size, root, time).encode()))

    def public(self) -> dict[str, PublicKey]:
        """Every key that ever signed, by its id, oldest first."""
        keys = json.loads((self.folder / PUBLIC_KEYS).read_bytes())["keys"]
        return {each["kid"]: PublicKey.of_jwk(each) for each in keys}

    def replace(self) -> str:
        """Sign with a new key from now on; the id of the new one. Servers use it from their next start."""
        with _locked(self.folder / ".lock"):
            before = list(self.public().values())
            last, now = before[-1], self._clock()
            before[-1] = PublicKey(last.id, last.key, last.since, now)
            return self._make(before)

    def _make(self, before: list[PublicKey]) -> str:
        signing = Ed25519PrivateKey.generate()
        public = PublicKey(key_id_of(signing.public_key()), signing.public_key(), self._clock())
        pem = signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        replace_whole(self.folder / SIGNING_KEY, pem)
        jwks = {"keys": [each.jwk for each in (*before, public)]}
        replace_whole(self.folder / PUBLIC_KEYS, json.dumps(jwks, indent=1).encode(), 0o644)
        return public.id


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# --- sealing ----------------------------------------------------------------------------------------


class Sealing:
    """Signs heads of one database and ships them; `Database.sealing` of the processes that have the keys."""

    def __init__(self, database: Database, keys: HeadKeys, folder: Path) -> None:
        self.database = database
        self.keys = keys
        self.witness = Witness(folder)

    def seal(self, tx: Transaction, tree: Frontier) -> Head:
        """Sign the head of a tree that this transaction locked; shipped once committed."""
        head = self.keys.sign(tree.size, tree.root)
        tx.insert(
            "audit_head",
            {
                "size": head.size,
                "root": head.root,
                "time": head.time,
                "key_id": head.key_id,
                "signature": head.signature,
            },
        )
        tx.once_committed(self.ship)
        return head

    def seal_now(self) -> Head | None:
        """The head of the log as it is, signed now unless it is signed already; None for an empty log."""
        return self.database.write(lambda tx: self._seal(tx, None))

    def seal_if_due(self, now_ms: int) -> Head | None:
        """What the sealer of each worker does again and again: a head when there is something new and the latest one
        is a minute old. The lock of the tree elects one of the workers."""
        with self.database.snapshot() as reader:
            (size,) = reader.row("SELECT size FROM audit_tree WHERE id = 1") or (0,)
            latest = latest_head(reader)
        if latest is not None and now_ms < latest.time - 1_000:
            _log.error("ALERT: the clock is %d ms behind the latest head of the trace", latest.time - now_ms)
        if _is_due(size, latest, now_ms):
            return self.database.write(lambda tx: self._seal(tx, now_ms))
        self.ship()
        return None

    def _seal(self, tx: Transaction, now_ms: int | None) -> Head | None:
        tree, latest = lock_tree(tx), latest_head(tx)
        signed = latest is not None and latest.size == tree.size
        if signed or not tree.size or (now_ms is not None and not _is_due(tree.size, latest, now_ms)):
            return latest
        return self.seal(tx, tree)

    def ship(self) -> None:
        """Bring the file outside up to date. What can't be shipped is kept in the database, and goes with the next."""
        try:
            self.witness.catch_up(self.database, self.keys)
        except OSError as fault:
            _log.error("ALERT: heads of the trace can't be written outside: %s", fault.strerror)


def _is_due(size: int, latest: Head | None, now_ms: int) -> bool:
    if latest is None or latest.size >= size:
        return latest is None and size > 0
    return not latest.time <= now_ms < latest.time + SEAL_EVERY_MS


class Witness:
    """The append-only file of heads outside the database: a JSON line for each head, and for each key before its first
    head; flushed to the disk. A line that a power cut left half-written is followed by the whole one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / HEADS_FILE

    def catch_up(self, database: Database, keys: HeadKeys) -> None:
        """Append what is not there yet, in order; OSError when that can't be done."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last, key_id, torn = _end_of(file)
            with database.snapshot() as reader:
                rows = reader.rows(
                    "SELECT size, root, time, key_id, signature FROM audit_head WHERE size > :size"
                    f" ORDER BY size LIMIT {_SHIPPED_AT_ONCE}",
                    {"size": last.size if last else 0},
                )
            lines = ["\n"] if torn and rows else []
            for head in (Head(*row) for row in rows):
                if head.key_id != key_id:
                    lines.append(json.dumps(keys.public()[head.key_id].jwk) + "\n")
                    key_id = head.key_id
                lines.append(head.line)
            if lines:
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())

    def latest(self) -> Head | None:
        """The last whole head of the file; None when there is none."""
        try:
            with self.path.open("rb") as file:
                return _end_of(file)[0]
        except FileNotFoundError:
            return None

    def lines(self) -> list[str]:
        """The lines of the file; none when there is no file."""
        return self.path.read_text(errors="replace").splitlines() if self.path.exists() else []


def _end_of(file: BinaryIO) -> tuple[Head | None, str, bool]:
    """The last whole head, the key told last, and whether something unfinished follows."""
    end = file.seek(0, os.SEEK_END)
    reach = 4_096
    while True:
        file.seek(max(0, end - reach))
        *lines, rest = file.read().split(b"\n")
        told = ""
        for line in reversed(lines):
            try:
                read = json.loads(line)
                if "kid" in read:
                    told = told or read["kid"]
                    continue
                head = Head.of_line(line.decode())
            except (ValueError, KeyError, TypeError):
                continue
            return head, told or head.key_id, bool(rest)
        if reach >= end:
            return None, told, bool(rest)
        reach *= 8


def attach(database: Database, key_folder: Path, heads_folder: Path, clock: Clock = system_clock) -> Database:
    """Let a database sign and ship the heads of its trace."""
    database.sealing = Sealing(database, HeadKeys(key_folder, clock), heads_folder)
    return database
