"""Conditions of requests: versions, dates, preferences. Looked at only after the right was decided (decision 6).

https://hl7.org/fhir/R4/http.html#concurrency and #cread
"""

from __future__ import annotations

import re

from dmp_fhir.instants import parse_http_date
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.outcome import information, operation_outcome, refuse
from dmp_fhir.registry.versions import Found

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"', re.ASCII)


def etag(version: int) -> str:
    return f'W/"{version}"'


def require_match(request: Request, version: int) -> None:
    """`If-Match`: 412 when the current version is another one, 400 when the header can't be read (TF-189)."""
    if request.if_match is None:
        return
    match = _ETAG.fullmatch(request.if_match.strip())
    if match is None:
        refuse(
            400,
            "value",
            'L\'en-tête If-Match doit nommer une version, par exemple W/"3".',
            'The If-Match header must name one version, for example W/"3".',
        )
    if int(match[1]) != version:
        refuse(
            412,
            "conflict",
            f"La ressource a changé : sa version est {version}. Relisez-la, puis recommencez.",
            f"The resource has changed: its version is {version}. Read it again, then retry.",
        )


def is_unchanged(request: Request, found: Found) -> bool:
    """`If-None-Match`, else `If-Modified-Since`: does the client already have this version?"""
    if request.if_none_match is not None:
        versions = _ETAG.findall(request.if_none_match)
        return request.if_none_match.strip() == "*" or str(found.version) in versions
    if request.if_modified_since is not None:
        since = parse_http_date(request.if_modified_since)
        return since is not None and found.last_updated // 1000 * 1000 <= since
    return False


def answer_found(request: Request, found: Found) -> Response:
    """200 with the resource, or 304."""
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
