"""Conditions of requests: versions, dates, preferences. Looked at only after the right was decided (decision 6).

https://hl7.org/fhir/R4/http.html#concurrency and #cread
"""

from __future__ import annotations

import re
from typing import Any

from dmp_fhir.instants import parse_http_date
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.outcome import information, operation_outcome, refuse
from dmp_fhir.registry.versions import Found

Tree = dict[str, Any]

# Separators that no backslash escapes.
_BAR = re.compile(r"(?<!\\)\|")
_COMMA = re.compile(r"(?<!\\),")
_UNESCAPE = re.compile(r"\\([\\,|$])")
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"', re.ASCII)


def one_identifier(token: str) -> Tree | None:
    """The one identifier that `system|value` or `value` names, as {system, value}; None when the text names several,
    or none (https://hl7.org/fhir/R4/search.html#token, #escaping)."""
    parts = [_UNESCAPE.sub(r"\1", part) for part in _BAR.split(token)]
    if _COMMA.search(token) or len(parts) > 2 or not all(parts):
        return None
    return {"system": parts[0] if len(parts) == 2 else "", "value": parts[-1]}


def etag(version: int) -> str:
    return f'W/"{version}"'


def require_match(request: Request, version: int) -> None:
    """The conditions of a write: 412 when they do not hold, 400 when they can't be read or held (TF-189). `If-Match`
    names the version that the client has; a date can't tell two changes within one second apart."""
    _require_version(request, version)
    if request.if_unmodified_since is not None:
        refuse(
            400,
            "not-supported",
            "If-Unmodified-Since ne protège pas une écriture (deux changements tiennent dans une seconde) :"
            " employez If-Match.",
            "If-Unmodified-Since does not protect a write (one second may see two changes): use If-Match.",
            rule="TF-189",
        )
    if request.if_none_match is not None and (request.if_none_match.strip() == "*" or version in _versions(request)):
        refuse(
            412,
            "conflict",
            "La ressource existe déjà dans cette version : If-None-Match l'exclut.",
            "The resource is here already in this version: If-None-Match excludes it.",
            rule="TF-189",
        )


def _require_version(request: Request, version: int) -> None:
    if request.if_match is None:
        return
    match = _ETAG.fullmatch(request.if_match.strip())
    if match is None:
        refuse(
            400,
            "value",
            'L\'en-tête If-Match doit nommer une version, par exemple W/"3".',
            'The If-Match header must name one version, for example W/"3".',
            rule="TF-189",
        )
    if int(match[1]) != version:
        refuse(
            412,
            "conflict",
            f"La ressource a changé : sa version est {version}. Relisez-la, puis recommencez.",
            f"The resource has changed: its version is {version}. Read it again, then retry.",
            rule="TF-189",
        )


def _versions(request: Request) -> set[int]:
    """The versions that If-None-Match names."""
    return {int(each) for each in _ETAG.findall(request.if_none_match or "")}


def require_unmodified(request: Request, found: Found) -> None:
    """`If-Match` and `If-Unmodified-Since` of a read: 412 when what is here is not what the client wants to read (RFC
    9110, 13.1)."""
    _require_version(request, found.version)
    if request.if_unmodified_since is None or request.if_match is not None:
        return
    limit = parse_http_date(request.if_unmodified_since)
    if limit is None:
        refuse(
            400,
            "value",
            "If-Unmodified-Since n'est pas une date HTTP, par exemple Sun, 22 Nov 2026 08:00:00 GMT.",
            "If-Unmodified-Since is not an HTTP date, for example Sun, 22 Nov 2026 08:00:00 GMT.",
            rule="TF-189",
        )
    if found.last_updated // 1000 * 1000 > limit:
        refuse(
            412,
            "conflict",
            "La ressource a changé depuis cette date.",
            "The resource has changed since that date.",
            rule="TF-189",
        )


def is_unchanged(request: Request, found: Found) -> bool:
    """`If-None-Match`, else `If-Modified-Since`: does the client already have this version?"""
    if request.if_none_match is not None:
        return request.if_none_match.strip() == "*" or found.version in _versions(request)
    if request.if_modified_since is not None:
        since = parse_http_date(request.if_modified_since)
        return since is not None and found.last_updated // 1000 * 1000 <= since
    return False


def answer_found(request: Request, found: Found) -> Response:
    """200 with the resource, or 304."""
    require_unmodified(request, found)
    if is_unchanged(request, found):
        return Response(304, etag=etag(found.version), last_modified=found.last_updated)
    return Response(200, json=found.body, etag=etag(found.version), last_modified=found.last_updated)


def answer_written(request: Request, found: Found, status: int) -> Response:
    """The answer to a write, as `Prefer: return=` asks (https://hl7.org/fhir/R4/http.html#ops)."""
    response = Response(
        status,
        etag=etag(found.version),
        last_modified=found.last_updated,
        location=f"{found.resource_type}/{found.id}/_history/{found.version}",
    )
    if request.prefer_return == "minimal":
        return response
    if request.prefer_return == "OperationOutcome":
        response.tree = operation_outcome([information("informational", "Enregistré.", "Stored.")])
        return response
    response.json = found.body
    return response
