"""HTTPS servers that play the services of an issuer, well or badly: keys, introspection, userinfo."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trustme

Handler = Callable[["Asked", BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Asked:
    """One request that the service received."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class Service:
    """A service on a free port. `respond` answers each request; `asked` keeps them."""

    url: str
    authority: str
    respond: Handler
    asked: list[Asked] = field(default_factory=list)


def sends(tree: Any, *, status: int = 200, kind: str = "application/json", **headers: str) -> Handler:
    """Answers this, as JSON or as it is."""
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()

    def respond(_asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        pass  # a client that went away is what many tests are about


@contextmanager
def serving(respond: Handler, folder: Path, *, host: str = "127.0.0.1", trusted: bool = True) -> Iterator[Service]:
    """A service under way; with `trusted` false its certificate is of an authority that is not `authority`."""
    known = trustme.CA()
    issued = (known if trusted else trustme.CA()).issue_cert(host)
    authority = folder / f"authority-{id(known)}.pem"
    known.cert_pem.write_to_path(str(authority))
    service = Service("", str(authority), respond)

    class Endpoint(BaseHTTPRequestHandler):
        timeout = 5

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            asked = Asked(self.command, self.path, dict(self.headers.items()), dict(parse_qsl(body)))
            service.asked.append(asked)
            service.respond(asked, self)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    server = _Server((host, 0), Endpoint)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    service.url = f"https://{host}:{server.server_address[1]}/service"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
