"""One owner per identifier, held by a unique constraint and not by a search (TF-186, engineering decision 8)."""

from __future__ import annotations

from typing import Any, NamedTuple

from dmp_fhir.canonicals import IDNPS, IDNST, URI
from dmp_fhir.store.database import Reader, Transaction

UNIQUE_ID = "uniqueId"
# Who the directory knows once: their national identifier has one owner.
_NATIONAL = {"Practitioner": IDNPS, "Organization": IDNST}


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


def release(tx: Transaction, scope: str, resource_id: str, key: str | None = None) -> None:
    """Give up one identifier that a resource owns in a scope, or all of them."""
    tx.execute(
        "DELETE FROM unique_identifier WHERE scope = :scope AND resource_id = :id"
        + (" AND value = :value" if key else ""),
        {"scope": scope, "id": resource_id} | ({"value": key} if key else {}),
    )


def national_keys(tree: dict[str, Any]) -> set[str]:
    """The identifiers by which the directory knows somebody once."""
    system = _NATIONAL.get(tree["resourceType"])
    return {key for each in tree.get("identifier", []) if each.get("system") == system and (key := key_of(each))}
