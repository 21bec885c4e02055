"""Who counts as the author of a document: those it names, and who deposits it (AR-59, AR-70)."""

from __future__ import annotations

from typing import Any

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.identity.identifiers import professional_id, structure_id
from dmp_fhir.store.database import Reader
from dmp_fhir.store.tables import DIRECTORY

Tree = dict[str, Any]
Author = tuple[str, str]


def authors_of(reader: Reader, tree: Tree, depositor: Author) -> list[Author]:
    """(kind, national identifier) of each author, contained, by identifier, or in the directory; the depositor last."""
    found: list[Author] = []
    contained = {f"#{each.get('id')}": each for each in tree.get("contained", [])}
    for reference in tree.get("author", []):
        resource = contained.get(reference.get("reference", ""), {})
        named = [reference.get("identifier", {}), *resource.get("identifier", [])]
        for link in ("practitioner", "organization"):
            inner = resource.get(link, {})
            named += [inner.get("identifier", {}), *contained.get(inner.get("reference", ""), {}).get("identifier", [])]
        found += [author for each in named if (author := _author(each.get("system", ""), each.get("value", "")))]
        if not resource:
            found += _in_directory(reader, reference.get("reference", ""))
    persons = [each for each in found if each[0] != "structure"]
    # A structure is the author only when no person is named (R1111-49, AR-59).
    return list(dict.fromkeys([*(persons or found), depositor]))


def _author(system: str, value: str) -> Author | None:
    if not value:
        return None
    if system in INS_SYSTEMS:
        return "patient", value
    if person := professional_id(system, value):
        return "person", person
    if structure := structure_id(system, value):
        return "structure", structure
    return None


def _in_directory(reader: Reader, reference: str) -> list[Author]:
    resource_type, _, resource_id = reference.partition("/")
    rows = reader.rows(
        "SELECT system, code FROM search_token WHERE record_id = :record_id AND resource_id = :resource_id"
        " AND resource_type = :resource_type AND parameter = 'identifier'",
        {"record_id": DIRECTORY, "resource_id": resource_id, "resource_type": resource_type},
    )
    return [author for system, code in rows if (author := _author(system, code))]
