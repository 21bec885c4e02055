"""What the text of a reference says of its target. https://hl7.org/fhir/R4/references.html"""

from __future__ import annotations

import re
from typing import Any

from dmp_fhir.profiles.definitions import resource_types

Tree = dict[str, Any]
REFERENCE = re.compile(
    r"(?:https?://[^\s?#]{1,1500}/)?([A-Z][A-Za-z]{1,40})/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?(?:#[^\s]*)?"
)
CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{1,40})\?[^\s]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_REST = re.compile(r"https?://[^\s?#]+/([A-Z][A-Za-z]{1,40})/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def is_absolute(uri: str) -> bool:
    """Whether a URI has a scheme (https://www.rfc-editor.org/rfc/rfc3986#section-4.3)."""
    return uri.startswith(("http://", "https://", "urn:")) or _SCHEME.fullmatch(uri) is not None


def rest_address(url: str) -> tuple[str, str] | None:
    """Type and id in the address of a resource on a server; None for another URI."""
    match = _REST.fullmatch(url)
    return (match[1], match[2]) if match is not None and match[1] in resource_types() else None


def type_named_by(reference: str) -> str | None:
    """The resource type in the text of a literal or conditional reference; None when it names none."""
    match = REFERENCE.fullmatch(reference) or CONDITIONAL.fullmatch(reference)
    return match[1] if match is not None and match[1] in resource_types() else None


def entry_types(bundle: Tree) -> dict[str, str]:
    """Addresses of the entries of a bundle and the types of their resources."""
    found: dict[str, str] = {}
    entries = bundle.get("entry")
    for entry in entries if type(entries) is list else []:
        resource = entry.get("resource") if type(entry) is dict else None
        if type(resource) is dict and type(entry.get("fullUrl")) is str:
            found[entry["fullUrl"]] = str(resource.get("resourceType"))
    return found
