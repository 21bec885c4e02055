"""The searches of this server, as data: parsed, run, declared in the CapabilityStatement and documented from here.

https://hl7.org/fhir/R4/searchparameter-registry.html, https://profiles.ihe.net/ITI/MHD/ITI-66.html and ITI-67.html, the
search parameters of PDSm, https://profiles.ihe.net/ITI/BALP/ (ITI-81). Nothing that is not listed is searched (D11).
"""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.registry.search import documents, people, rights, traces
from dmp_fhir.registry.search.definitions import Parameter


@dataclass(frozen=True, slots=True)
class SortKey:
    """What `_sort` may order by: an SQL expression that is never NULL. `changes` when it moves as resources change."""

    sql: str
    changes: bool = False


_OLDEST = "-4611686018427387904"

_DECLARED: dict[str, tuple[Parameter, ...]] = {
    "Patient": people.PATIENT,
    "Practitioner": people.PRACTITIONER,
    "PractitionerRole": people.PRACTITIONER_ROLE,
    "Organization": people.ORGANIZATION,
    "RelatedPerson": people.RELATED_PERSON,
    "Device": people.DEVICE,
    "CareTeam": people.CARE_TEAM,
    "DocumentReference": documents.DOCUMENT_REFERENCE,
    "List": documents.LIST,
    "Consent": rights.CONSENT,
    "AuditEvent": traces.AUDIT_EVENT,
}
_BY_CODE = {name: {each.code: each for each in parameters} for name, parameters in _DECLARED.items()}

INCLUDES: dict[str, tuple[str, ...]] = {
    "DocumentReference": (
        "DocumentReference:relatesto",
        "DocumentReference:patient",
        "DocumentReference:subject",
    ),
    "List": ("List:item", "List:patient", "List:subject"),
}
REVINCLUDES: dict[str, tuple[str, ...]] = {"DocumentReference": ("List:item",)}

_PARTY_SORTS = {"_id": SortKey("p.id"), "_lastUpdated": SortKey("p.last_updated", changes=True)}
SORTS: dict[str, dict[str, SortKey]] = {
    "DocumentReference": {
        "_id": SortKey("d.id"),
        "_lastUpdated": SortKey("d.last_updated", changes=True),
        "date": SortKey(f"COALESCE(d.date_low, {_OLDEST})"),
        "creation": SortKey(f"COALESCE(d.creation_low, {_OLDEST})"),
        "period": SortKey(f"COALESCE(d.start_low, {_OLDEST})"),
        "type": SortKey("COALESCE(d.type_code, '')"),
    },
    "List": {
        "_id": SortKey("l.id"),
        "_lastUpdated": SortKey("l.last_updated", changes=True),
        "date": SortKey(f"COALESCE(l.date_low, {_OLDEST})"),
        "title": SortKey("SUBSTR(COALESCE(l.title, ''), 1, 100)"),
    },
    "Consent": {
        "_id": SortKey("c.id"),
        "_lastUpdated": SortKey("c.last_updated", changes=True),
        "date": SortKey("c.decided"),
    },
    "AuditEvent": {"_id": SortKey("a.id"), "_lastUpdated": SortKey("a.recorded"), "date": SortKey("a.recorded")},
    "Patient": {"_id": SortKey("r.id"), "_lastUpdated": SortKey("r.last_updated", changes=True)},
} | dict.fromkeys(
    ("Practitioner", "PractitionerRole", "Organization", "RelatedPerson", "Device", "CareTeam"), _PARTY_SORTS
)

RESULT_PARAMETERS = ("_count", "_sort", "_total", "_summary", "_include", "_revinclude")


def declared(resource_type: str) -> tuple[Parameter, ...]:
    """The search parameters of a resource type; none for a type that is not searched."""
    return _DECLARED.get(resource_type, ())


def searched_types() -> tuple[str, ...]:
    return tuple(_DECLARED)


def parameter(resource_type: str, code: str) -> Parameter | None:
    return _BY_CODE[resource_type].get(code)
