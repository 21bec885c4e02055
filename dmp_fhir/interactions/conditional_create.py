"""Conditional create: `If-None-Exist: identifier=system|value`.  https://hl7.org/fhir/R4/http.html#ccreate

The identifier is looked for among what the caller may see (TF-044); two creations at the same moment are told apart
by a unique constraint, not by that search (TF-186).
"""

from __future__ import annotations

from typing import Any

from dmp_fhir.interactions.conditions import one_identifier
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.references import record_of
from dmp_fhir.outcome import refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.registry.identifiers import UNIQUE_ID, key_of, owner_of
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.query import PatientByIdentifier
from dmp_fhir.registry.search.values import bounded
from dmp_fhir.registry.shelves import DIRECTORY_TYPES, current
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.tables import DIRECTORY
from dmp_fhir.wire.queries import query_pairs

Tree = dict[str, Any]
Place = tuple[str, str]  # record and id

_BY_UNIQUE_ID = frozenset({"DocumentReference", "List"})
# Types whose condition is claimed at creation; the others have a constraint of their own (INS, uniqueId).
CLAIMED = DIRECTORY_TYPES | {"RelatedPerson", "CareTeam", "Consent"}


def condition_of(request: Request) -> Tree | None:
    """The identifier of the header, the one condition that a constraint can hold; None without the header."""
    if request.if_none_exist is None:
        return None
    pairs = query_pairs(request.if_none_exist.strip().lstrip("?")) or ()
    if len(pairs) == 1 and pairs[0][0] == "identifier" and (identifier := one_identifier(pairs[0][1])):
        return identifier
    refuse(
        400,
        "not-supported",
        "If-None-Exist porte sur un identifiant complet : identifier=<système>|<valeur>.",
        "If-None-Exist is about one whole identifier: identifier=<system>|<value>.",
        rule="TF-186",
    )


def existing_resource(gate: Writing, tree: Tree, identifier: Tree) -> tuple[str, Found] | None:
    """(record, resource) that has the identifier already and that the caller may see; 412 when there are several."""
    resource_type = tree["resourceType"]
    found = [each for place in _places(gate, tree, identifier) if (each := _visible(gate, resource_type, place))]
    if len(found) > 1:
        refuse(
            412,
            "multiple-matches",
            "Plusieurs ressources portent cet identifiant : rien n'a été créé.",
            "Several resources carry this identifier: nothing was created.",
            rule="TF-186",
        )
    return found[0] if found else None


def _places(gate: Writing, tree: Tree, identifier: Tree) -> list[Place]:
    resource_type = tree["resourceType"]
    if resource_type == "Patient":
        record = find_record(gate.reader, PatientByIdentifier(identifier["system"] or None, identifier["value"]))
        return [(record, record)] if record else []
    if resource_type in _BY_UNIQUE_ID:
        owner = owner_of(gate.reader, UNIQUE_ID, key_of(identifier) or "")
        return [(owner.record_id, owner.resource_id)] if owner and owner.resource_type == resource_type else []
    owner = owner_of(gate.reader, resource_type, claim_key(gate, tree, identifier))
    if owner:
        return [(owner.record_id, owner.resource_id)]
    record_id = DIRECTORY if resource_type in DIRECTORY_TYPES else record_of(gate, tree)
    rows = gate.reader.rows(
        "SELECT DISTINCT resource_id FROM search_token WHERE record_id = :record_id AND resource_type = :resource_type"
        " AND parameter = 'identifier' AND code = :code AND (:system = '' OR system = :system)",
        {
            "record_id": record_id,
            "resource_type": resource_type,
            "code": bounded(identifier["value"]),
            "system": bounded(identifier["system"]),
        },
    )
    return [(record_id, row[0]) for row in rows]


def claim_key(gate: Writing, tree: Tree, identifier: Tree) -> str:
    """What is claimed: people of the directory are known once in the registry, what is around a patient once in the
    record."""
    key = key_of(identifier) or ""
    return key if tree["resourceType"] in DIRECTORY_TYPES else f"{record_of(gate, tree)} {key}"


def _visible(gate: Writing, resource_type: str, place: Place) -> tuple[str, Found] | None:
    record_id, resource_id = place
    predicate = None
    if record_id == DIRECTORY:
        gate.permit(Action.PARTY_READ, None)
    else:
        predicate = gate.predicates(record_id, Action.DOC_FINDID).get(resource_type)
        if predicate is None and not gate.decide(Action.RECORD_READ, record_id).permit:
            return None
    found = current(gate.reader, record_id, resource_type, resource_id, predicate)
    return (record_id, found) if found and found.method != "DELETE" else None
