"""FHIR documents: what a Composition names, and what its Bundle holds.

What it names is in the Bundle, and the Bundle holds nothing but the Composition, what that leads to (directly or
through others), style sheets, and the Provenance of these. https://hl7.org/fhir/R4/documents.html#content
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dmp_fhir.profiles.references import rest_address

Tree = dict[str, Any]
_LONGEST = 2000  # of an address


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


def strangers(bundle: Tree, entries: list[Tree]) -> Iterator[tuple[int, bool]]:
    """The entries that have no place in a document, by number, and whether they at least refer to it."""
    numbers: dict[str, int] = {}
    for n, entry in enumerate(entries):
        for address in addresses([entry]):
            numbers.setdefault(address, n)
    links = [set(_linked(entry.get("resource"), numbers, server_of(entry.get("fullUrl")))) for entry in entries]
    sheets = [each for _, each in _items(bundle, "link") if each.get("relation") == "stylesheet"]
    inside = _reached({0} | set(_linked(sheets, numbers, server_of(entries[0].get("fullUrl")))), links)
    for n, entry in enumerate(entries):
        resource = entry.get("resource")
        if type(resource) is dict and resource.get("resourceType") == "Provenance" and links[n] & inside:
            inside |= {n} | _reached({n}, links)
    for n, link in enumerate(links):
        if n not in inside and "resource" in entries[n]:
            yield n, bool(link & inside)


def _reached(start: set[int], links: list[set[int]]) -> set[int]:
    """What links lead to, from these on."""
    found, left = set(start), list(start)
    while left:
        new = links[left.pop()] - found
        found |= new
        left += new
    return found


def _linked(value: Any, numbers: dict[str, int], base: str) -> Iterator[int]:
    """The entries that a value names, as a reference or any other URI."""
    if type(value) is dict:
        for each in value.values():
            yield from _linked(each, numbers, base)
    elif type(value) is list:
        for each in value:
            yield from _linked(each, numbers, base)
    elif type(value) is str and len(value) <= _LONGEST:
        bare = value.split("/_history/")[0].split("#")[0]
        n = numbers.get(bare, numbers.get(base + bare))
        if n is not None:
            yield n


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
