"""A CDA and its DocumentReference that agree, and ways to make them disagree at one place."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from lxml import etree

from tests.fixtures.world import documents

Tree = dict[str, Any]
NAMESPACES = {"c": "urn:hl7-org:v3", "dicom": "urn:dicom-org:ps3-20"}


@cache
def _world() -> dict[str, tuple[Tree, bytes]]:
    return {tree["masterIdentifier"]["value"]: (tree, data) for _, tree, data in documents()}


# A mammography of Claire Martin: one author, a PDF inside, order and accession numbers, an act with an end.
MAMMOGRAPHY = "urn:oid:2.16.840.1.113883.19.250.1.1.5"
# The second version of a blood test, and the first.
SECOND, FIRST = "urn:oid:2.16.840.1.113883.19.250.1.1.14", "urn:oid:2.16.840.1.113883.19.250.1.1.13"


def world_cda(unique_id: str = MAMMOGRAPHY) -> tuple[Tree, bytes]:
    """The metadata and the bytes of a document of the demonstration world."""
    tree, data = _world()[unique_id]
    return copy.deepcopy(tree), data


def _nodes(data: bytes, path: str) -> tuple[etree._Element, list[Any]]:
    root = etree.fromstring(data)
    found = root.xpath(f"/c:ClinicalDocument/{path}", namespaces=NAMESPACES)
    assert found, path
    return root, found


def said_at(data: bytes, path: str) -> str:
    """The value of an attribute, or the text of an element, below ClinicalDocument; prefixes `c` and `dicom`."""
    (node,) = _nodes(data, path)[1]
    return str(node) if isinstance(node, str) else node.text


def with_value(data: bytes, path: str, value: str) -> bytes:
    """The document with another value there."""
    root, (node,) = _nodes(data, path)
    if isinstance(node, str):
        node.getparent().set(node.attrname, value)
    else:
        node.text = value
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def without(data: bytes, path: str) -> bytes:
    """The document without these elements or attributes."""
    root, nodes = _nodes(data, path)
    for node in nodes:
        parent = node.getparent()
        if isinstance(node, str):
            del parent.attrib[node.attrname]
        else:
            parent.remove(node)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def with_more(data: bytes, path: str, xml: str) -> bytes:
    """The document with an element inserted before that one."""
    root, (node,) = _nodes(data, path)
    node.addprevious(etree.fromstring(xml))
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
