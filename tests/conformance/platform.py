"""A platform under test, in process: the suite's requests go to a WSGI application instead of a socket."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

import requests
from requests.adapters import BaseAdapter
from werkzeug.test import Client, EnvironBuilder

from dmp_fhir.conformance.config import Persona
from dmp_fhir.conformance.tokens import Tokens
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.instants import Clock, system_clock

_FLAGS = {"--patient-request": "patient_request", "--patient-agreement": "patient_agreement", "--secret": "secret"}

# Options of `dmp-fhir token` that the claim calls otherwise.
CLAIMS = {"--motive": "reason"}


class WsgiAdapter(BaseAdapter):
    """Hands requests to an application."""

    def __init__(self, application: WSGIApplication) -> None:
        super().__init__()
        self.client = Client(application)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(str(request.url))
        body = request.body or b""
        builder = EnvironBuilder(
            path=parts.path,
            query_string=parts.query,
            base_url=f"{parts.scheme}://{parts.netloc}",
            method=str(request.method),
            headers=dict(request.headers),
            data=body if isinstance(body, bytes) else body.encode(),
        )
        environ = builder.get_environ()
        # As sent: werkzeug would decode the path.
        answer = self.client.run_wsgi_app(environ, buffered=True)
        response = requests.Response()
        response.status_code = int(answer[1].split()[0])
        response.headers.update(dict(answer[2]))
        response.raw = BytesIO(b"".join(_chunks(answer[0])))
        response.url = str(request.url)
        response.request = request
        return response

    def close(self) -> None:
        pass


def _chunks(body: Iterable[bytes]) -> Iterable[bytes]:
    yield from body


def session_on(application: WSGIApplication) -> requests.Session:
    session = requests.Session()
    session.mount("http://", WsgiAdapter(application))
    return session


class SandboxTokens(Tokens):
    """What `dmp-fhir token` gives, without a process for each."""

    def __init__(self, key_folder: Path, clock: Clock = system_clock) -> None:
        super().__init__()
        self.sandbox, self.clock = Sandbox(key_folder), clock

    def ask(self, persona: Persona) -> str:
        claims: dict[str, Any] = {}
        options = iter(persona.options)
        for option in options:
            if option in _FLAGS:
                claims[_FLAGS[option]] = True
            else:
                claims[CLAIMS.get(option, option.removeprefix("--"))] = next(options).replace(
                    "{fresh}", str(self.clock())
                )
        return self.sandbox.issue(persona.fields["login"], now_ms=self.clock(), **claims)
