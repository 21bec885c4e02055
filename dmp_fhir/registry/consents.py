"""What a Consent does beyond being stored: a block revokes, an opening or closing changes the record's status."""

from __future__ import annotations

from typing import Any

from dmp_fhir.canonicals import EXT_CLOSURE
from dmp_fhir.registry.columns import consent_columns
from dmp_fhir.registry.shelves import current, put_next
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.database import Transaction
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]


def consequences(tx: Transaction, record_id: str, consent: Tree, instant: int) -> list[Found]:
    """Everything else that changes with a consent just written; the new versions."""
    return [
        *_revoke_blocked(tx, record_id, consent, instant),
        *_follow_opening(tx, record_id, consent, instant),
    ]


def _revoke_blocked(tx: Transaction, record_id: str, consent: Tree, instant: int) -> list[Found]:
    """A block ends the authorisations and the treating-physician status of the same actor, in the same transaction
    (AR-43); nothing restores them."""
    columns = consent_columns(consent)
    if columns["kind"] != "BLOCAGE" or columns["status"] != "active":
        return []
    rows = tx.rows(
        "SELECT id, version FROM consent WHERE record_id = :record_id AND status = 'active' AND actor_id = :actor"
        " AND kind IN ('AUTORISATION', 'EQUIPE', 'MEDECIN_TRAITANT')",
        {"record_id": record_id, "actor": columns["actor_id"]},
    )
    ended = []
    for consent_id, version in rows:
        found = current(tx, record_id, "Consent", consent_id)
        if found:
            tree = parse_json(found.body) | {"status": "inactive"}
            ended.append(put_next(tx, record_id, tree, version, instant, "PUT"))
    return ended


def _follow_opening(tx: Transaction, record_id: str, consent: Tree, instant: int) -> list[Found]:
    """OUVERTURE denied closes the record, OUVERTURE permitted opens it (AR-08 to AR-11); Patient.active stays in
    step, with the closing told as the draft of TD0.2 does (D22)."""
    columns = consent_columns(consent)
    if columns["kind"] != "OUVERTURE" or columns["status"] != "active":
        return []
    found = current(tx, record_id, "Patient", record_id)
    if found is None:
        raise LookupError(f"record {record_id} has no Patient")
    is_open = columns["decision"] == "permit"
    patient = parse_json(found.body) | {"active": is_open}
    extensions = [each for each in patient.pop("extension", []) if each.get("url") != EXT_CLOSURE]
    if not is_open:
        extensions += [each for each in consent.get("extension", []) if each.get("url") == EXT_CLOSURE]
    if extensions:
        patient["extension"] = extensions
    return [put_next(tx, record_id, patient, found.version, instant, "PUT")]
