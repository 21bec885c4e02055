"""Audit repositories for both feeds of ITI-20: FHIR over https, or syslog over TLS. They keep the ids of the events
they took in a file, each written before the next is read. `python -m tests.support.atna` is one that can be killed."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from lxml import etree

from dmp_fhir.audit.repository import Repository

RFC_5424 = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32})"
    rb" - (.*)",
    re.DOTALL,
)


class Receiver:
    """A repository on a port of its own. `most` messages are taken of a batch or connection (the rest refused, or the
    connection reset), `seconds` each takes, `lose` breaks off after everything was stored, `farewell` false closes a
    connection without close_notify."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder, self.port = folder, port
        self.most, self.seconds, self.lose, self.farewell = 1_000_000, 0.0, False, True
        self.stored = folder / "stored"
        self.stored.touch()
        self.tokens: set[str | None] = set()
        self.headers: list[tuple[bytes, ...]] = []
        self._threads: list[threading.Thread] = []

    @property
    def ids(self) -> list[str]:
        return self.stored.read_text().split()

    @property
    def scheme(self) -> str:
        return "syslog-tls" if isinstance(self, SyslogReceiver) else "https"

    @property
    def repository(self) -> Repository:
        path = "" if isinstance(self, SyslogReceiver) else "/fhir"
        token = None if isinstance(self, SyslogReceiver) else "repository-token"
        address = f"{self.scheme}://127.0.0.1:{self.port}{path}"
        return Repository(address, self.folder / "ca.pem", self.folder / "node.pem", token)

    def up(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.folder / "server.pem")
        self._context.load_verify_locations(self.folder / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._start(self._accept)

    def down(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._threads:
            each.join(20)

    def serve(self, connection: ssl.SSLSocket) -> None:
        raise NotImplementedError

    def take(self, event_id: str) -> None:
        time.sleep(self.seconds)
        with self.stored.open("a") as file:
            file.write(f"{event_id}\n")

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._answer, plain)

    def _answer(self, plain: socket.socket) -> None:
        plain.settimeout(20)
        try:
            with self._context.wrap_socket(plain, server_side=True) as connection:
                self.serve(connection)
        except OSError:
            plain.close()


class FhirReceiver(Receiver):
    def serve(self, connection: ssl.SSLSocket) -> None:
        file = connection.makefile("rb")
        while file.readline():
            headers = dict(line.decode().strip().split(": ", 1) for line in iter(file.readline, b"\r\n"))
            tree = json.loads(file.read(int(headers["Content-Length"])))
            self.tokens.add(headers.get("Authorization"))
            status, answer = self._batch(tree)
            data = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} -\r\nContent-Type: application/fhir+json\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)

    def _batch(self, tree: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert (tree["resourceType"], tree["type"]) == ("Bundle", "batch")
        statuses = []
        for n, entry in enumerate(tree["entry"]):
            assert entry["request"] == {"method": "POST", "url": "AuditEvent"}
            assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"
            if n < self.most:
                self.take(entry["resource"]["id"])
            statuses.append("201 Created" if n < self.most else "422 Unprocessable Entity")
        entries = [{"response": {"status": status}} for status in statuses]
        return (503 if self.lose else 200), {"resourceType": "Bundle", "type": "batch-response", "entry": entries}


class SyslogReceiver(Receiver):
    def serve(self, connection: ssl.SSLSocket) -> None:
        file, taken = connection.makefile("rb"), 0
        while size := self._size(file):
            message = RFC_5424.fullmatch(file.read(size))
            assert message is not None
            if taken == self.most:
                self._reset(connection)
                return
            self.headers.append(message.groups()[:-1])
            self.take(event_id_of(message[7]))
            taken += 1
        if self.lose:
            self._reset(connection)
        elif self.farewell:
            connection.unwrap()

    @staticmethod
    def _size(file: Any) -> int:
        digits = b""
        while (octet := file.read(1)) not in (b" ", b""):
            digits += octet
        return int(digits or 0)

    @staticmethod
    def _reset(connection: ssl.SSLSocket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def event_id_of(xml: bytes) -> str:
    details = etree.fromstring(xml).iter("ParticipantObjectDetail")
    return next(b64decode(each.get("value")).decode() for each in details if each.get("type") == "AuditEvent")


RECEIVERS: dict[str, type[Receiver]] = {"fhir": FhirReceiver, "syslog": SyslogReceiver}


def certificates(folder: Path) -> None:
    """ca.pem, server.pem (of 127.0.0.1) and node.pem (of the registry)."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, host in (("server", "127.0.0.1"), ("node", "registry.example")):
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")


def start_process(kind: str, folder: Path, port: int, seconds: float) -> tuple[subprocess.Popen[bytes], int]:
    """A repository as a process, and its port; killing it is the caller's."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.atna", kind, folder, str(port), str(seconds)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as told:
        return process, int(told.readline())


if __name__ == "__main__":
    kind, folder, port, seconds = sys.argv[1:]
    receiver = RECEIVERS[kind](Path(folder), int(port))
    receiver.seconds = float(seconds)
    receiver.up()
    print(receiver.port, flush=True)
    signal.pause()
