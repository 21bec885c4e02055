"""FHIR documents: what a Composition names, and what its Bundle holds. https://hl7.org/fhir/R4/documents.html#content"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dmp_fhir.profiles.references import rest_address

Tree = dict[str, Any]


def named_by(composition: Tree) -> Iterator[tuple[str, str]]:
    """The literal references that make up a document: way in the composition, and reference."""
    yield from _references(composition, ("subject", "encounter", "author", "custodian"), "")
    for way, attester in _items(composition, "attester"):
        yield from _references(attester, ("party",), way + ".")
    for way, event in _items(composition, "event"):
        yield from _references(event, ("detail",), way + ".")
    yield from _sections(composition, "")


def _sections(holder: Tree, above: str) -> Iterator[tuple[str, str]]:
    for way, section in _items(holder, "section"):
        yield from _references(section, ("author", "focus", "entry"), above + way + ".")
        yield from _sections(section, above + way + ".")


def _references(holder: Tree, names: tuple[str, ...], above: str) -> Iterator[tuple[str, str]]:
    for name in names:
        for way, value in _items(holder, name):
            if type(value.get("reference")) is str:
                yield above + way, value["reference"]


def _items(holder: Tree, name: str) -> Iterator[tuple[str, Tree]]:
    value = holder.get(name)
    if type(value) is dict:
        yield name, value
    for n, each in enumerate(value if type(value) is list else ()):
        if type(each) is dict:
            yield f"{name}[{n}]", each


def addresses(entries: list[Tree]) -> set[str]:
    """The addresses under which the resources of a bundle may be named."""
    found: set[str] = set()
    for entry in entries:
        resource = entry.get("resource")
        if type(entry.get("fullUrl")) is str:
            found.add(entry["fullUrl"])
        if type(resource) is dict:
            found.add(f"{resource.get('resourceType')}/{resource.get('id')}")
    return found


def server_of(url: Any) -> str:
    """The address of the server in that of a resource, to which relative references are added; empty for another."""
    address = rest_address(url) if type(url) is str else None
    return "" if address is None else url[: url.rindex("/".join(address))]
