"""ITI-20 as syslog over TLS: RFC 5424 messages in the frames of RFC 5425.

https://profiles.ihe.net/ITI/TF/Volume2/ITI-20.html, 3.20.4.1.2: facility 10, MSGID IHE+RFC-3881, no structured data,
the XML in UTF-8 without byte order mark. Syslog has no acknowledgement. What stands for one is the end of the
connection (RFC 5425, 4.4): the receiver answers our close_notify when it has read all before it. So each batch is a
connection, which also ends one that is half open (decision 0052).
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson

from dmp_fhir.audit.audit_message import audit_message
from dmp_fhir.audit.repository import Repository, place_of

APP_NAME = "dmp-fhir"
MSGID = "IHE+RFC-3881"
# To connect, and for each message.
TIMEOUT_S = 10
# For the receiver to read what is on its way.
CLOSE_S = 30
# Facility 10 (security), severity 5 (notice) or 4 (warning).
_SUCCESS, _FAILURE = 85, 84


class SyslogFeed:
    def __init__(self, repository: Repository) -> None:
        _, self._host, self._port = place_of(repository.address)
        self._context = repository.tls()

    def hand_over(self, bodies: list[bytes]) -> int:
        with socket.create_connection((self._host, self._port), TIMEOUT_S) as plain:
            connection = _Connection(plain, self._context, self._host)
            for each in bodies:
                connection.send(frame(syslog_message(orjson.loads(each))))
            plain.settimeout(CLOSE_S)
            connection.finish()
        return len(bodies)

    def close(self) -> None:
        """Every batch closed its connection."""


class _Connection:
    """TLS as an `ssl.SSLSocket` cannot do it: its `unwrap` takes a fatal alert, for instance of a receiver that refuses
    our certificate, for the receiver's close_notify."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._plain, self._incoming, self._outgoing = plain, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._exchange()

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._plain.sendall(self._outgoing.read())

    def finish(self) -> None:
        """Say close_notify, and wait for that of the other end."""
        if self._closed():
            raise ConnectionAbortedError("closed while we were sending")
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        while not self._closed():
            self._exchange()

    def _exchange(self) -> None:
        self._plain.sendall(self._outgoing.read())
        if not (data := self._plain.recv(16_384)):
            raise ConnectionAbortedError("closed without close_notify")
        self._incoming.write(data)

    def _closed(self) -> bool:
        """Whether close_notify is among what came; SSLError for any other alert."""
        try:
            while self._tls.read(16_384):
                pass
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLZeroReturnError:
            pass
        return True


def frame(message: bytes) -> bytes:
    """RFC 5425, 4.3: the number of octets, a space, the message."""
    return b"%d %s" % (len(message), message)


def syslog_message(event: dict[str, Any]) -> bytes:
    """One AuditEvent as a message of RFC 5424; the same event always gives the same octets."""
    priority = _SUCCESS if event["outcome"] == "0" else _FAILURE
    host = urlsplit(event["source"].get("site", "")).hostname or "-"
    header = f"<{priority}>1 {event['recorded']} {host} {APP_NAME} - {MSGID} - "
    return header.encode("ascii", "replace") + audit_message(event)
