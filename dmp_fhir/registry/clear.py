"""What an older version left in clear and nothing needs so: titles of documents, which are in the sealed bodies, and
motives of emergency accesses (docs/decisions/0038-encryption-at-rest.md)."""

from __future__ import annotations

from dmp_fhir.store.database import Transaction
from dmp_fhir.store.identifiers import SEALED, keys_of, sealed_motive

TABLES = ("document", "emergency_grant")


def take_out_of_the_clear(tx: Transaction) -> bool:
    """Empty the titles and seal the motives; whether there were any. They lie in the files until their tables are
    written anew (store/schema.py, `forget`)."""
    emptied = tx.execute("UPDATE document SET title = NULL WHERE title IS NOT NULL")
    plain = [
        row
        for row in tx.rows("SELECT record_id, id, motive FROM emergency_grant")
        if row[2] and not row[2].startswith(SEALED)
    ]
    for record_id, grant_id, motive in plain:
        tx.execute(
            "UPDATE emergency_grant SET motive = :motive WHERE record_id = :record_id AND id = :id",
            {
                "motive": sealed_motive(keys_of(tx), record_id, grant_id, motive),
                "record_id": record_id,
                "id": grant_id,
            },
        )
    return bool(emptied or plain)
