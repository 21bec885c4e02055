"""What an AuditEvent is found by beside its typed columns: the values with several per event, or rarely asked for, in
one column as a JSON array of words, each a letter that says what it is and the value.

https://hl7.org/fhir/R4/auditevent.html#search. An entry of before this column (entries.py, first form) has none, and is
not found by these.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import orjson

from dmp_fhir.audit import codes
from dmp_fhir.canonicals import TRE_G15, TRE_R38, URI

ADDRESS, ALT_ID, POLICY, SOFTWARE, ENTITY = "n", "a", "p", "i", "="
# The code systems of each of these, by the letters of its words.
AGENT_ROLES = MappingProxyType({TRE_G15: "g", TRE_R38: "s"})
ENTITY_ROLES = MappingProxyType({codes.OBJECT_ROLE: "@"})
ENTITY_TYPES = MappingProxyType(
    {codes.ENTITY_TYPE: "e", codes.RESOURCE_TYPES: "r", codes.OAUTH: "o", codes.REQUEST_ID["system"]: "b"}
)
# Interactions are in a column of their own.
SUBTYPES = MappingProxyType({codes.DCM: "y", codes.AUTHZ_SUBTYPE["system"]: "z", codes.ADMINISTRATION_SYSTEM: "x"})
SERVER = f"{SOFTWARE}{URI}|"
"""How the words of a server begin: its address follows."""

Tree = dict[str, Any]


def words_of(event: Tree) -> str:
    return orjson.dumps(list(dict.fromkeys(_words(event)))).decode()


def _words(event: Tree) -> Iterator[str]:
    for each in event["subtype"]:
        if letter := SUBTYPES.get(each["system"]):
            yield letter + each["code"]
    for agent in event["agent"]:
        yield from _agent(agent)
    for entity in event["entity"]:
        kind = entity["type"]
        yield ENTITY_TYPES[kind["system"]] + kind["code"]
        if role := entity.get("role"):
            yield ENTITY_ROLES[role["system"]] + role["code"]
        if reference := entity.get("what", {}).get("reference"):
            yield ENTITY + reference.partition("/_history/")[0]


def _agent(agent: Tree) -> Iterator[str]:
    if network := agent.get("network"):
        yield ADDRESS + network["address"]
    if alt_id := agent.get("altId"):
        yield ALT_ID + alt_id
    for policy in agent.get("policy", ()):
        yield POLICY + policy
    for role in agent.get("role", ()):
        for each in role["coding"]:
            yield AGENT_ROLES[each["system"]] + each["code"]
    # People and organisations are in columns; a program says no national identifier.
    identifier = agent["who"].get("identifier")
    if identifier and not agent["requestor"] and (system := identifier.get("system", "")) in ("", URI):
        yield f"{SOFTWARE}{system}|{identifier['value']}"
