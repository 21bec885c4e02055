"""What is answered beside the FHIR endpoint, for the operator: health, metrics, barometer.

`/health/live` and `/health/ready` say up or not to anybody, nothing else; `/metrics` is for the networks and the bearer
secret of the settings, and does not exist for others (TF-156); so is `/barometer`, unless it is public. Nothing of it
is in the trace: it touches no record. No turn is taken (store/turns.py), so a worker that computes for long still says
that it lives.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from dmp_fhir.http.barometer import page
from dmp_fhir.interactions.services import Services
from dmp_fhir.settings import Settings
from dmp_fhir.store.figures import is_ready
from dmp_fhir.telemetry.metrics import CONTENT_TYPE, Metrics
from dmp_fhir.telemetry.stopping import is_stopping

# With any of these a proxy says that it asks for somebody else: the network it asks from is not theirs.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
_WORDS = {200: "200 OK", 503: "503 Service Unavailable"}
_PLAIN = [("Content-Type", "text/plain; charset=utf-8")]

Answer = tuple[int, list[tuple[str, str]], bytes]


def operations_around(application: WSGIApplication, services: Services, metrics: Metrics) -> WSGIApplication:
    """The pages of the operator answered here, everything else by `application`."""
    pages: dict[str, Callable[[WSGIEnvironment], Answer | None]] = {
        "/health/live": lambda environ: _health(True),
        "/health/ready": lambda environ: _health(_ready(services)),
        "/metrics": lambda environ: _metrics(environ, services.settings, metrics),
        "/barometer": lambda environ: _barometer(environ, services.settings),
    }

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        page = pages.get(environ["PATH_INFO"])
        answer = page(environ) if page and environ["REQUEST_METHOD"] in ("GET", "HEAD") else None
        if answer is None:
            return application(environ, start_response)
        status, headers, body = answer
        start_response(_WORDS[status], [*_HEADERS, *headers, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return respond


def _health(well: bool) -> Answer:
    return (200, _PLAIN, b"up\n") if well else (503, _PLAIN, b"down\n")


def _ready(services: Services) -> bool:
    """Nobody told the server to stop, the database answers and is migrated, documents can be written, the keys are
    there."""
    keys = services.settings.key_folder
    if is_stopping() or not (keys / "page-links.key").exists():
        return False
    return is_ready(services.database, services.payloads)


def _metrics(environ: WSGIEnvironment, settings: Settings, metrics: Metrics) -> Answer | None:
    return (200, [("Content-Type", CONTENT_TYPE)], metrics.text()) if may_see_metrics(environ, settings) else None


def _barometer(environ: WSGIEnvironment, settings: Settings) -> Answer | None:
    if not (settings.public_barometer or may_see_metrics(environ, settings)):
        return None
    found = page(settings.data_folder, environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT_LANGUAGE"))
    return None if found is None else (200, found[1], found[0])


def may_see_metrics(environ: WSGIEnvironment, settings: Settings) -> bool:
    """Whether a request comes from a network of the settings and through no proxy, or bears their secret."""
    secret = settings.metrics_secret
    if secret:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if hmac.compare_digest(given, f"Bearer {secret}".encode()):
            return True
    if not settings.metrics_networks or any(name in environ for name in _FORWARDED):
        return False
    try:
        caller = ip_address(environ.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return any(caller in ip_network(network.strip()) for network in settings.metrics_networks.split(","))
