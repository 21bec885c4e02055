"""National numbers of patients as they are kept: a keyed hash where they are looked up by equality, sealed under the
key of the record where they have to be told again."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from dmp_fhir.store.database import Reader
from dmp_fhir.store.errors import KeysUnavailable
from dmp_fhir.store.key_ring import KeyRing
from dmp_fhir.store.sealing import BODY


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
    sealed = keys.of(record_id).seal(BODY, _place(record_id, system), value.encode())
    return {
        "system": system,
        "value": keys.hidden(value),
        "record_id": record_id,
        "sealed": b64encode(sealed).decode("ascii"),
    }


def matricule(keys: KeyRing | None, record_id: str, system: str, sealed: str) -> str:
    """The matricule of a row of `ins`."""
    if keys is None:
        raise KeysUnavailable("this database was opened without its keys")
    return keys.of(record_id).open(BODY, _place(record_id, system), b64decode(sealed)).decode()


def _place(record_id: str, system: str) -> str:
    return f"ins|{record_id}|{system}"
