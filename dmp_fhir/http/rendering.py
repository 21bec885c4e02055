"""From an answer to bytes and headers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header
from werkzeug.wrappers import Response as HttpResponse

from dmp_fhir.instants import http_date
from dmp_fhir.interactions.messages import Response
from dmp_fhir.settings import Settings
from dmp_fhir.wire.json import dump_json, parse_json
from dmp_fhir.wire.limits import Limits
from dmp_fhir.wire.negotiation import Format
from dmp_fhir.wire.xml import dump_xml

# Answers hold health data: kept nowhere, guessed by nobody (engineering notes, section 2).
_ALWAYS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
)
_HTTPS_FOR_GOOD = ("Strict-Transport-Security", "max-age=31536000")  # RFC 6797, TF-074
# attachment.url is stored relative to the base, and leaves absolute as MHD wants (ITI-67). What comes after its letter:
_URL, _PAYLOAD = b'"url":"B', re.compile(rb'(?:inary|undle)/[A-Za-z0-9.-]{1,64}"')
_OWN_LIMITS = Limits(body=1 << 31, resource=1 << 31)


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer as HTTP sends it. Without content type when there is no body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def http(self) -> HttpResponse:
        http = HttpResponse(self.body, status=self.status, headers=self.headers)
        if "Content-Type" not in dict(self.headers):
            del http.headers["Content-Type"]
        return http


def render(
    response: Response, form: Format, settings: Settings, request_id: str, languages: str | None = None
) -> Rendered:
    """`languages` is the header Accept-Language: remarks and refusals are in French unless English is preferred."""
    if languages and prefers_english(languages):
        response = response.in_english()
    body, content_type = _body(response, form, settings)
    headers = [*_ALWAYS, ("X-Request-Id", request_id), *response.headers]
    if settings.base_url.startswith("https:"):
        headers.append(_HTTPS_FOR_GOOD)
    if content_type:
        headers.append(("Content-Type", content_type))
    if response.content is not None:
        # Documents are given to be kept, not shown in our origin (TF-131).
        headers.append(("Content-Disposition", "attachment"))
    if response.etag:
        headers.append(("ETag", response.etag))
    if response.last_modified is not None:
        headers.append(("Last-Modified", http_date(response.last_modified)))
    if response.location:
        headers.append(("Location", f"{settings.base_url}/{response.location}"))
    return Rendered(response.status, headers, body)


def prefers_english(languages: str) -> bool:
    """Whether a header Accept-Language puts English before French."""
    weights = {"fr": 0.0, "en": 0.0}
    for language, weight in parse_accept_header(languages[:200], LanguageAccept):
        primary = language.partition("-")[0].lower()  # en-GB is English
        if primary in weights:
            weights[primary] = max(weights[primary], weight)
    return weights["en"] > weights["fr"]


def _with_whole_addresses(json: bytes, base_url: bytes) -> bytes:
    first, *rest = json.split(_URL)
    if not rest:
        return json
    whole = b'"url":"%s/B' % base_url
    pieces = [first]
    for each in rest:
        pieces += (whole if _PAYLOAD.match(each) else _URL, each)
    return b"".join(pieces)


def _body(response: Response, form: Format, settings: Settings) -> tuple[bytes, str | None]:
    if response.content is not None:
        return response.content, response.content_type
    if response.json is not None:
        json = _with_whole_addresses(response.json, settings.base_url.encode())
    elif response.tree is not None:
        json = dump_json(response.tree)
    else:
        return b"", None
    if form is Format.JSON:
        return json, form.content_type
    return dump_xml(parse_json(json, _OWN_LIMITS)), form.content_type
