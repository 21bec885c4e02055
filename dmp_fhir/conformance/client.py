"""One exchange with the server under test: what was sent, what came back, ready for checks and reports."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import requests

from dmp_fhir.conformance.xml import NotFhir, read_xml

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
MOST_TEXT = 20_000
HIDDEN = "•••"


@dataclass
class Exchange:
    """A request and its answer; `status` is 0 when no answer came, `fault` says why."""

    method: str
    url: str
    sent_headers: Mapping[str, str]
    sent: bytes
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    fault: str = ""
    seconds: float = 0.0

    @property
    def media_type(self) -> str:
        return self.header("Content-Type").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        return next((value for each, value in self.headers.items() if each.lower() == name.lower()), "")

    @cached_property
    def tree(self) -> dict[str, Any] | None:
        """The resource of the body, JSON or XML; None when there is none."""
        try:
            if self.media_type in (FHIR_XML, "application/xml", "text/xml"):
                return read_xml(self.content)
            if self.media_type in (FHIR_JSON, "application/json"):
                tree = json.loads(self.content)
                return tree if isinstance(tree, dict) else None
        except (NotFhir, ValueError, RecursionError):
            pass
        return None


def send(
    session: requests.Session,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
) -> Exchange:
    """Send one request, follow nothing, never raise for what the server does."""
    exchange = Exchange(method, url, dict(headers), body)
    started = time.monotonic()
    try:
        answer = session.request(
            method,
            url,
            headers=dict(headers),
            data=body or None,
            timeout=timeout_s,
            allow_redirects=False,
            verify=session.verify,
        )
        exchange.status, exchange.headers, exchange.content = answer.status_code, dict(answer.headers), answer.content
    except requests.RequestException as fault:
        exchange.fault = f"{type(fault).__name__}: {fault}"
    exchange.seconds = time.monotonic() - started
    return exchange


def shown(content: bytes, media_type: str, secrets: set[str]) -> str:
    """A body for people: indented when it is JSON, cut when it is long, without secrets."""
    text = content.decode("utf-8", "replace")
    if "json" in media_type:
        try:
            text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
        except ValueError:
            pass
    text = without_secrets(text, secrets)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + f"\n… ({len(text)})"


def without_secrets(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, HIDDEN)
    return text


def shown_headers(headers: Mapping[str, str], secrets: set[str]) -> list[tuple[str, str]]:
    """Headers for people: what authenticates or opens a session is never shown."""
    private = ("authorization", "cookie", "set-cookie", "proxy-authorization")
    return [
        (name, HIDDEN if name.lower() in private else without_secrets(value, secrets))
        for name, value in headers.items()
    ]
