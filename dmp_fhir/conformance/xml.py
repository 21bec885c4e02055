"""FHIR in XML, to and from the trees of FHIR JSON, without definitions.

Reading is loose on purpose: every element that comes back is a list or a text, since paths (paths.py) flatten lists
and compare texts. Writing keeps the order of the tree: the bodies of this suite are written in the order of R4.
https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from typing import Any

from lxml import etree

NAMESPACE = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
Tree = dict[str, Any]
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True)
# Where the first child is the resource itself.
_HOLDERS = frozenset({"resource", "contained", "outcome"})


class NotFhir(ValueError):
    """Bytes that are not a FHIR resource in XML."""


def read_xml(content: bytes) -> Tree:
    """The tree of a resource; NotFhir when there is none."""
    try:
        root = etree.fromstring(content, _PARSER)
    except etree.XMLSyntaxError as fault:
        raise NotFhir(str(fault)) from fault
    name = etree.QName(root)
    if name.namespace != NAMESPACE:
        raise NotFhir(f"the root is {root.tag}, not an element of {NAMESPACE}")
    return {"resourceType": name.localname} | _object(root)


def _object(element: Any) -> Tree:
    tree: Tree = {str(name): value for name, value in element.attrib.items() if name != "value"}
    for child in element:
        name = etree.QName(child)
        if name.namespace == XHTML:
            tree["div"] = etree.tostring(child, encoding="unicode", with_tail=False)
            continue
        value: Any = _object(child)
        if name.localname in _HOLDERS and len(child) == 1 and etree.QName(child[0]).localname[0].isupper():
            value = {"resourceType": etree.QName(child[0]).localname} | _object(child[0])
        elif "value" in child.attrib:
            if value:
                tree.setdefault(f"_{name.localname}", []).append(value)
            value = child.get("value")
        tree.setdefault(name.localname, []).append(value)
    return tree


def write_xml(tree: Tree) -> bytes:
    """A resource as XML, its elements in the order of the tree."""
    root = etree.Element(f"{{{NAMESPACE}}}{tree['resourceType']}", nsmap={None: NAMESPACE})
    _fill(root, tree, resource=True)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _fill(element: Any, tree: Tree, *, resource: bool = False) -> None:
    for name, value in tree.items():
        if name == "resourceType":
            continue
        if name == "div":
            element.append(etree.fromstring(value, _PARSER))
        elif (name == "id" and not resource) or (name == "url" and etree.QName(element).localname == "extension"):
            element.set(name, value)
        else:
            for each in value if isinstance(value, list) else [value]:
                _add(element, name, each)


def _add(parent: Any, name: str, value: Any) -> None:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    if not isinstance(value, dict):
        child.set("value", {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value))
    elif "resourceType" in value:
        inner = etree.SubElement(child, f"{{{NAMESPACE}}}{value['resourceType']}")
        _fill(inner, value, resource=True)
    else:
        _fill(child, value)
