"""Short texts as they are kept, sealed under the key of the record: national numbers of patients, which are looked up
by a keyed hash, and motives of emergency accesses."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from dmp_fhir.store.database import Reader
from dmp_fhir.store.errors import KeysUnavailable
from dmp_fhir.store.key_ring import KeyRing
from dmp_fhir.store.sealing import BODY

SEALED = "sealed:"


def keys_of(reader: Reader) -> KeyRing:
    """The keys of the database; KeysUnavailable when it was opened without them."""
    if reader.keys is None:
        raise KeysUnavailable("this database was opened without its keys")
    return reader.keys


def hidden(reader: Reader, value: str) -> str:
    """The keyed hash that stands for a matricule."""
    return keys_of(reader).hidden(value)


def ins_row(keys: KeyRing, record_id: str, system: str, value: str) -> dict[str, Any]:
    """The row of `ins` of a matricule."""
    return {
        "system": system,
        "value": keys.hidden(value),
        "record_id": record_id,
        "sealed": seal_text(keys, record_id, _place(record_id, system), value),
    }


def matricule(keys: KeyRing | None, record_id: str, system: str, sealed: str) -> str:
    """The matricule of a row of `ins`."""
    return open_text(keys, record_id, _place(record_id, system), sealed)


def seal_text(keys: KeyRing, record_id: str, place: str, text: str) -> str:
    """A text that opens at `place` only."""
    return b64encode(keys.of(record_id).seal(BODY, place, text.encode())).decode("ascii")


def open_text(keys: KeyRing | None, record_id: str, place: str, sealed: str) -> str:
    """The text of a sealed one; SealBroken when it is not that of the place."""
    if keys is None:
        raise KeysUnavailable("this database was opened without its keys")
    return keys.of(record_id).open(BODY, place, b64decode(sealed)).decode()


def sealed_motive(keys: KeyRing, record_id: str, grant_id: str, motive: str) -> str:
    """The motive of an emergency access, as its row has it."""
    return SEALED + seal_text(keys, record_id, _grant_place(record_id, grant_id), motive)


def motive_of(keys: KeyRing | None, record_id: str, grant_id: str, sealed: str) -> str:
    """The motive in a row of `emergency_grant`. An older version wrote it in clear, which `dmp-fhir init` ends."""
    if not sealed.startswith(SEALED):
        return sealed
    return open_text(keys, record_id, _grant_place(record_id, grant_id), sealed.removeprefix(SEALED))


def _grant_place(record_id: str, grant_id: str) -> str:
    return f"emergency_grant|{record_id}|{grant_id}"


def _place(record_id: str, system: str) -> str:
    return f"ins|{record_id}|{system}"
