"""One owner per identifier, held by a unique constraint and not by a search (TF-186, engineering decision 8)."""

from __future__ import annotations

from typing import Any, NamedTuple

from dmp_fhir.canonicals import URI
from dmp_fhir.store.database import Reader, Transaction

UNIQUE_ID = "uniqueId"


class Owner(NamedTuple):
    """The resource that holds an identifier, and the SHA-256 of what was submitted with it (None when unknown)."""

    record_id: str
    resource_type: str
    resource_id: str
    fingerprint: bytes | None


def key_of(identifier: dict[str, Any]) -> str | None:
    """`system|value`, the system left out when it says that the value is a URI; None without a value."""
    value = identifier.get("value")
    if not value:
        return None
    system = identifier.get("system", "")
    return value if system in ("", URI) else f"{system}|{value}"


def owner_of(reader: Reader, scope: str, key: str) -> Owner | None:
    row = reader.row(
        "SELECT record_id, resource_type, resource_id, fingerprint FROM unique_identifier"
        " WHERE scope = :scope AND value = :value",
        {"scope": scope, "value": key},
    )
    return Owner(*row) if row else None


def claim(tx: Transaction, scope: str, key: str, owner: Owner) -> None:
    """Make `owner` the owner. Raises `UniqueViolation` when somebody else already is."""
    tx.insert(
        "unique_identifier",
        {
            "scope": scope,
            "value": key,
            "record_id": owner.record_id,
            "resource_type": owner.resource_type,
            "resource_id": owner.resource_id,
            "fingerprint": owner.fingerprint,
        },
    )
