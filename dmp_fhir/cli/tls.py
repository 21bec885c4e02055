"""Serving with TLS that ends here, for client certificates (Gunicorn: Granian does not tell them to the
application)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from logging.config import dictConfig
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from dmp_fhir.app import create_worker, log_configuration
from dmp_fhir.identity.watched import Watched
from dmp_fhir.instants import system_clock
from dmp_fhir.settings import Settings

# TLS 1.2 with forward secrecy and authenticated encryption; those of TLS 1.3 all are (TF-074).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_READ_SECONDS = 15


class _ImpatientSocket(ssl.SSLSocket):
    """Never waits for a client for ever, whatever the server sets."""

    def setblocking(self, flag: bool) -> None:
        self.settimeout(_READ_SECONDS if flag else 0.0)


class _Context(ssl.SSLContext):
    sslsocket_class = _ImpatientSocket

    def wrap_socket(self, sock: socket.socket, *args: Any, **how: Any) -> ssl.SSLSocket:
        sock.settimeout(_READ_SECONDS)  # the handshake too
        return super().wrap_socket(sock, *args, **how)


def tls_context(certificate: str, key: str, client_ca: str | None) -> ssl.SSLContext:
    """TLS 1.2 or later. A client certificate may be absent, since the endpoint says who needs one; one that is there
    must lead to `client_ca`. Its revocation is looked at with each request (identity/certificates.py)."""
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class _Lines(Logger):
    """Its lines go the way of all others (telemetry/logs.py)."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in list(log.handlers):
                log.removeHandler(handler)
            log.propagate = True


class _Server(BaseApplication):
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return create_worker()


def serve_tls(settings: Settings, host: str, port: int, workers: int, threads: int, certificate: str, key: str) -> None:
    """Serve until told to stop. The settings are read again by each worker, the files by each connection once they
    have changed. Raises ssl.SSLError for a bad file."""
    authorities = settings.client_ca or None
    beside = [Path(each) for each in (key, authorities) if each]
    contexts = Watched(
        Path(certificate), lambda path: tls_context(str(path), key, authorities), system_clock, beside=beside
    )
    dictConfig(log_configuration(settings))

    def ssl_context(_config: Any, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return contexts.current()

    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _Server(
        {
            "bind": bind,
            "workers": workers,
            "worker_class": "gthread",
            "threads": threads,
            "backlog": 1024,
            "timeout": 60,
            "graceful_timeout": 30,
            "keepalive": 15,
            "certfile": certificate,
            "keyfile": key,
            "ssl_context": ssl_context,
            "limit_request_line": 8190,
            "header_map": "drop",
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "logger_class": _Lines,
            "loglevel": "warning",
        }
    ).run()
