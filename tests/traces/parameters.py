"""The search parameters of AuditEvent (R4, ITI-81) read off the events themselves: what a search must find.

https://hl7.org/fhir/R4/auditevent.html#search says which elements each looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

Tree = dict[str, Any]


def token(coding: Tree) -> str:
    return f"{coding['system']}|{coding['code']}"


def references(event: Tree) -> Iterator[str]:
    for each in event["entity"]:
        if reference := each.get("what", {}).get("reference"):
            yield reference.partition("/_history/")[0]


def identifiers(references: list[Tree]) -> Iterator[str]:
    for each in references:
        if identifier := each.get("identifier"):
            yield f"{identifier.get('system', '')}|{identifier['value']}"


VALUES: dict[str, Callable[[Tree], Iterator[str] | list[str]]] = {
    "_id": lambda e: [e["id"]],
    "type": lambda e: [token(e["type"])],
    "subtype": lambda e: [token(each) for each in e["subtype"]],
    "action": lambda e: [e["action"]],
    "outcome": lambda e: [e["outcome"]],
    "address:exact": lambda e: [each["network"]["address"] for each in e["agent"] if "network" in each],
    "altid": lambda e: [each["altId"] for each in e["agent"] if "altId" in each],
    "policy": lambda e: [policy for each in e["agent"] for policy in each.get("policy", ())],
    "agent-role": lambda e: [
        token(coding) for each in e["agent"] for role in each.get("role", ()) for coding in role["coding"]
    ],
    "agent-name:exact": lambda e: [each["name"] for each in e["agent"] if "name" in each],
    "agent.identifier": lambda e: identifiers([each["who"] for each in e["agent"]]),
    "source.identifier": lambda e: identifiers([e["source"]["observer"]]),
    "site": lambda e: [e["source"]["site"]],
    "entity": references,
    "entity-type": lambda e: [token(each["type"]) for each in e["entity"]],
    "entity-role": lambda e: [token(each["role"]) for each in e["entity"] if "role" in each],
}
# Parameters whose values are told in another way, or are bounds.
OTHERS = {"_lastUpdated", "date", "patient", "purpose", "source"}


def searches(events: list[Tree]) -> Iterator[tuple[str, set[str]]]:
    """A search for every value of every parameter, and the ids of the events that it must find."""
    for code, values in VALUES.items():
        found: dict[str, set[str]] = {}
        for event in events:
            for value in values(event):
                found.setdefault(value, set()).add(event["id"])
        yield from ((f"{code}={escaped(value)}", ids) for value, ids in found.items())


def escaped(value: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping; the bar of a token stays."""
    return quote(value.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$"), safe="")
