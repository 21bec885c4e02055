"""The XHTML of a narrative: only what shows text, nothing that acts.

https://hl7.org/fhir/R4/narrative.html (txt-1, txt-2)
"""

from __future__ import annotations

import re

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
_ELEMENT_NAMES = """
a abbr acronym address b bdo big blockquote br caption center cite code col colgroup dd dfn div dl dt em h1 h2
h3 h4 h5 h6 hr i img ins kbd li map area nav ol p pre q samp section small span strike strong sub sup table
tbody td tfoot th thead tr tt u ul var
"""
_ATTRIBUTE_NAMES = """
abbr accesskey align alt axis border cellhalign cellpadding cellspacing cellvalign char charoff charset cite
class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel
rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width
xml:lang
"""
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
# Links stay inside the resource or are plain web, mail and object addresses; no script, no data but pictures.
_SCHEMES = frozenset({"http", "https", "mailto", "tel", "urn", "cid"})
_PICTURE = re.compile(r"data:image/(?:png|gif|jpeg);base64,[A-Za-z0-9+/=]*")
_BROKEN_ADDRESS = re.compile(r"[\s\x00-\x20\\]")
_STYLE_FETCHES = re.compile(r"(?i)url\s*\(|expression\s*\(|@import|\\")
DEPTH = 64


def parser(*, huge: bool = False) -> etree.XMLParser:
    """An XML parser that reads the bytes and nothing else. `huge` lifts the library's own limits, for bodies whose
    size and number of tags have been checked. Not shared between threads."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        huge_tree=huge,
    )


def read_div(text: str) -> etree._Element:
    """Parse a `div` string. Raises ValueError, in English, when it is no safe narrative."""
    if "<!" in text.replace("<!--", "") or "<?" in text:
        raise ValueError("declarations, CDATA sections and processing instructions are not allowed")
    try:
        div = etree.fromstring(text.encode(), parser())
    except (etree.XMLSyntaxError, UnicodeEncodeError) as fault:
        raise ValueError("not well-formed XHTML") from fault
    check_div(div)
    return div


def check_div(div: etree._Element) -> None:
    """Raises ValueError naming the element or attribute that a narrative may not have."""
    if div.tag != f"{{{XHTML}}}div":
        raise ValueError("a div of the XHTML namespace is expected")
    if not "".join(div.itertext()).strip() and div.find(f".//{{{XHTML}}}img") is None:
        raise ValueError("the narrative is empty (txt-2)")
    pending = [(div, 1)]
    while pending:
        element, depth = pending.pop()
        if depth > DEPTH:
            raise ValueError("nested too deeply")
        name = _local(element)
        if name not in _ELEMENTS:
            raise ValueError(f"element <{name[:40]}> is not allowed (txt-1)")
        for attribute, value in element.attrib.items():
            _check_attribute(name, attribute, value)
        pending.extend((child, depth + 1) for child in element)


def _check_attribute(element: str, attribute: str, value: str) -> None:
    name = "xml:lang" if attribute == _XML_LANG else attribute
    if name not in _ATTRIBUTES:
        raise ValueError(f"attribute {name[:40]} of <{element}> is not allowed (txt-1)")
    if name in ("href", "src", "cite", "longdesc") and not _is_safe_address(value):
        raise ValueError(f"attribute {name} of <{element}> holds an address that is not allowed")
    if name == "style" and _STYLE_FETCHES.search(value):
        raise ValueError(f"attribute style of <{element}> fetches or hides something")


def _is_safe_address(address: str) -> bool:
    """Relative, or of a scheme that runs nothing; browsers drop blanks inside, so none is let through."""
    if _BROKEN_ADDRESS.search(address):
        return False
    scheme, colon, _ = address.partition(":")
    if not colon or any(mark in scheme for mark in "/?#"):
        return True
    return scheme.lower() in _SCHEMES or _PICTURE.fullmatch(address) is not None


def _local(element: etree._Element) -> str:
    tag = element.tag
    if not isinstance(tag, str):
        return "?"
    return tag[len(XHTML) + 2 :] if tag.startswith(f"{{{XHTML}}}") else tag


def write_div(div: etree._Element) -> str:
    """The one way we write a narrative: default namespace, no comments, text escaped."""
    out: list[str] = []
    _write(div, out, f' xmlns="{XHTML}"')
    return "".join(out)


def _write(element: etree._Element, out: list[str], declared: str = "") -> None:
    name = _local(element)
    out.append(f"<{name}{declared}")
    for attribute, value in element.attrib.items():
        out.append(f' {"xml:lang" if attribute == _XML_LANG else attribute}="{escape_attribute(value)}"')
    if not len(element) and not element.text:
        out.append("/>")
        return
    out.append(">" + escape_text(element.text or ""))
    for child in element:
        _write(child, out)
        out.append(escape_text(child.tail or ""))
    out.append(f"</{name}>")


def escape_text(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;") if "\r" in text else text


_ATTRIBUTE_SPECIAL = re.compile('[&<"\t\n\r]')
_ATTRIBUTE_ESCAPES = {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def escape_attribute(text: str) -> str:
    if _ATTRIBUTE_SPECIAL.search(text):
        return _ATTRIBUTE_SPECIAL.sub(lambda match: _ATTRIBUTE_ESCAPES[match[0]], text)
    return text
