"""Messages by mail: SMTP with TLS (RFC 5321, RFC 3207, RFC 8314).

A mail says what notify/messages.py says, in French and English, and nothing else: no name, no document, no link
(TF-157). Its Message-ID is the id of the message, so that one sent twice after a kill is known as the same.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit

from dmp_fhir.notify.messages import TEXTS
from dmp_fhir.notify.sender import Sender
from dmp_fhir.registry.contacts import email_of
from dmp_fhir.registry.notifications import Notification
from dmp_fhir.store.database import Database

TIMEOUT_S = 10
SUBJECT = "Votre dossier médical partagé / Your shared medical record"


@dataclass(frozen=True, slots=True)
class MailServer:
    """`implicit_tls` (smtps) or STARTTLS, one of the two always; without `user`, no login."""

    host: str
    port: int
    implicit_tls: bool
    sender: str
    user: str | None = None
    password: str | None = None
    authorities: Path | None = None

    @classmethod
    def of(cls, address: str, sender: str, password_file: str, authorities: str) -> MailServer:
        """From the settings; ValueError when they don't say enough."""
        parts = urlsplit(address)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.password:
            raise ValueError("smtp://[USER@]HOST[:PORT] or smtps://… is expected, without password")
        if "@" not in sender:
            raise ValueError("the address of the sender is missing")
        implicit = parts.scheme == "smtps"
        password = Path(password_file).read_text("utf-8").strip() if password_file else None
        trusted = Path(authorities) if authorities else None
        port = parts.port or (465 if implicit else 587)
        return cls(parts.hostname, port, implicit, sender, parts.username, password, trusted)


class SmtpSender:
    """Sends by mail to whoever has an address in the record, by `otherwise` to the others. Raises OSError (which
    smtplib's errors are) when a message could not be handed over now: it stays in the outbox."""

    def __init__(self, server: MailServer, database: Database, otherwise: Sender) -> None:
        self._server, self._database, self._otherwise = server, database, otherwise
        self._connection: smtplib.SMTP | None = None

    def send(self, message: Notification) -> None:
        with self._database.snapshot() as reader:
            address = email_of(reader, message)
        if address is None:
            self._otherwise.send(message)
            return
        try:
            self._connected().send_message(self._mail(message, address))
        except smtplib.SMTPRecipientsRefused as refused:
            code = next(iter(refused.recipients.values()))[0]
            self._connected().rset()
            if code < 500:
                raise
            self._otherwise.send(message)  # nobody has that address: the message is not lost
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.quit()
            connection.close()

    def _connected(self) -> smtplib.SMTP:
        if self._connection is None:
            server = self._server
            context = ssl.create_default_context(cafile=server.authorities)
            if server.implicit_tls:
                self._connection = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
            else:
                self._connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
                self._connection.starttls(context=context)
            if server.user is not None:
                self._connection.login(server.user, server.password or "")
        return self._connection

    def _mail(self, message: Notification, address: str) -> EmailMessage:
        mail, text = EmailMessage(policy=SMTP), TEXTS[message.kind]
        mail["From"], mail["To"], mail["Subject"] = self._server.sender, address, SUBJECT
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.created // 1000, UTC))
        mail["Message-ID"] = f"<{message.id}@{self._server.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{text.fr}\n\n{text.en}\n")
        return mail
