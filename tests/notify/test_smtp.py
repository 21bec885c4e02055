"""Messages by mail: neutral words, to those with an address, retried, never lost (TF-157, TF-177)."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from dmp_fhir.cli.sending import repository_of, sender_of
from dmp_fhir.notify.messages import TEXTS
from dmp_fhir.notify.sender import MOST_FAILURES, FileSender, Sender, send_all
from dmp_fhir.notify.smtp import MailServer, SmtpSender
from dmp_fhir.registry.notifications import post
from dmp_fhir.registry.shelves import put_new
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store.database import Database
from dmp_fhir.store.tables import DIRECTORY
from tests.support import tally

NOW = 1_790_000_000_000
DOCTOR = "899700000112"


class Box:
    """What the mail server took; `refuse` is answered to every recipient."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Message]] = []
        self.refuse = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


class WithTls(Controller):
    """STARTTLS before anything else; with `password`, nothing without it."""

    def __init__(self, box: Box, context: ssl.SSLContext, password: str = "") -> None:
        self.context, self.password = context, password
        super().__init__(box, hostname="127.0.0.1", port=_free())

    def factory(self) -> SMTP:
        return SMTP(
            self.handler,
            tls_context=self.context,
            require_starttls=True,
            auth_required=bool(self.password),
            authenticator=self._authenticate,
        )

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"registre", self.password.encode()))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def mail(box: Box, authority: trustme.CA, tmp_path: Path) -> Iterator[MailServer]:
    controller = WithTls(box, _context(authority))
    controller.start()
    ca = _written(authority, tmp_path)
    yield MailServer.of(f"smtp://127.0.0.1:{controller.port}", "registre@dmp.example", "", str(ca))
    controller.stop()


def _context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def _written(authority: trustme.CA, folder: Path) -> Path:
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder / "ca.pem"


def _free() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def registry(database: Database) -> Database:
    """A patient and a treating physician with addresses, a representative without."""

    def fill(tx: Any) -> None:
        address = {"system": "email", "value": "claire@patients.example"}
        old = {"system": "email", "use": "old", "value": "old@patients.example"}
        put_new(tx, "r", {"resourceType": "Patient", "id": "r", "telecom": [old, address]}, NOW, {"clock": NOW})
        doctor = {"resourceType": "Practitioner", "id": "p"}
        doctor["identifier"] = [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": DOCTOR}]  # type: ignore[assignment]
        doctor["telecom"] = [{"system": "email", "value": "moreau@medecins.example"}]  # type: ignore[assignment]
        put_new(tx, DIRECTORY, doctor, NOW)

    database.write(fill)
    return database


def messages(database: Database, kind: str, topic: str, *recipients: tuple[str, str], at: int = NOW) -> None:
    database.write(lambda tx: post(tx, "r", kind, topic, recipients, at))


PATIENT, PARENT, PHYSICIAN = ("patient", "274036912390153"), ("representative", "1"), ("treating_physician", DOCTOR)


def test_every_kind_of_message_is_sent_once_and_says_nothing(
    registry: Database, mail: MailServer, box: Box, tmp_path: Path
) -> None:
    for kind in TEXTS:
        messages(registry, kind, f"request|{kind}", PATIENT, PHYSICIAN, PARENT)
    files = tmp_path / "outbox"
    sender = SmtpSender(mail, registry, FileSender(files))
    assert send_all(registry, sender, NOW) == 3 * len(TEXTS)
    assert send_all(registry, sender, NOW) == 0
    addresses = [recipients for recipients, _ in box.mails]
    assert sorted(map(tuple, addresses)) == [
        *[("claire@patients.example",)] * len(TEXTS),
        *[("moreau@medecins.example",)] * len(TEXTS),
    ]
    assert len(list(files.iterdir())) == len(TEXTS)  # who has no address: the portal or the host's mailer
    canaries = ("274036912390153", DOCTOR, "Moreau", "Claire", "http", "psychiatr", "compte rendu")
    found = 0
    for _, each in box.mails:
        body = each.get_content()
        assert each["Subject"] == "Votre dossier médical partagé / Your shared medical record"
        assert each["Auto-Submitted"] == "auto-generated"
        found += sum(canary.lower() in f"{each['Subject']}{body}".lower() for canary in canaries)
    tally.count("G", "mails sent", len(box.mails))
    tally.count("G", "canaries in mails", found)
    assert found == 0
    assert len({each["Message-ID"] for _, each in box.mails}) == len(box.mails)
    with registry.snapshot() as reader:
        rows = reader.rows(
            "SELECT COUNT(*), COUNT(DISTINCT entity_id) FROM audit_event WHERE entity_type = 'Communication'"
        )
    assert rows == [(3 * len(TEXTS), 3 * len(TEXTS))]


def test_a_server_that_is_away_loses_nothing(registry: Database, mail: MailServer, box: Box, tmp_path: Path) -> None:
    messages(registry, "document", "request|1", PATIENT)
    messages(registry, "emergency", "request|2", PATIENT, PHYSICIAN)
    messages(registry, "first-access", "first-access|x", PATIENT)
    away = MailServer("127.0.0.1", _free(), False, "registre@dmp.example")
    assert send_all(registry, SmtpSender(away, registry, FileSender(tmp_path / "o")), NOW) == 0
    assert send_all(registry, SmtpSender(mail, registry, FileSender(tmp_path / "o")), NOW) == 4
    assert len(box.mails) == 4


def test_a_refused_address_goes_to_the_files_and_a_busy_server_is_asked_again(
    registry: Database, mail: MailServer, box: Box, tmp_path: Path
) -> None:
    messages(registry, "document", "request|1", PATIENT)
    sender = SmtpSender(mail, registry, FileSender(tmp_path / "o"))
    box.refuse = "451 later"
    assert send_all(registry, sender, NOW) == 0
    box.refuse = "550 nobody"
    assert send_all(registry, sender, NOW) == 1
    assert len(list((tmp_path / "o").iterdir())) == 1
    assert box.mails == []


def test_a_failing_sender_ends_the_run(registry: Database) -> None:
    class Broken:
        calls = 0

        def send(self, message: Any) -> None:
            self.calls += 1
            raise smtplib.SMTPServerDisconnected("x")

        def close(self) -> None:
            """Nothing to close."""

    for n in range(9):
        messages(registry, "document", f"request|{n}", PATIENT)
    broken = Broken()
    assert send_all(registry, broken, NOW) == 0
    assert broken.calls == MOST_FAILURES


def test_a_mail_is_never_sent_in_the_clear(registry: Database, box: Box, tmp_path: Path) -> None:
    plain = Controller(box, hostname="127.0.0.1", port=_free())
    plain.start()
    messages(registry, "document", "request|1", PATIENT)
    server = MailServer.of(f"smtp://127.0.0.1:{plain.port}", "registre@dmp.example", "", "")
    assert send_all(registry, SmtpSender(server, registry, FileSender(tmp_path / "o")), NOW) == 0
    plain.stop()
    assert box.mails == []


class Killed:
    """The process dies when this message was handed over, before it could be noted."""

    def __init__(self, sender: Sender, at: int) -> None:
        self.sender, self.left = sender, at

    def send(self, message: Any) -> None:
        self.sender.send(message)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def close(self) -> None:
        self.sender.close()


def test_killed_between_sending_and_noting(registry: Database, mail: MailServer, box: Box, tmp_path: Path) -> None:
    """First access, emergency and deposit, at each of their messages: none is lost, files are there once, one mail
    comes twice, by the same Message-ID."""
    kinds = ("first-access", "emergency", "document")
    twice = lost = 0
    for at in range(1, 7):
        box.mails.clear()
        # A mail and a file in turn: messages of one instant are sent in any order.
        for n, (kind, recipient) in enumerate(product(kinds, (PATIENT, PARENT))):
            messages(registry, kind, f"{kind}|{at}", recipient, at=NOW + n)
        files = FileSender(tmp_path / f"o{at}")
        sender = SmtpSender(mail, registry, files)
        with pytest.raises(KeyboardInterrupt):
            send_all(registry, Killed(sender, at), NOW)
        sender.close()
        assert send_all(registry, SmtpSender(mail, registry, files), NOW) == 7 - at
        ids = [each["Message-ID"] for _, each in box.mails]
        lost += 2 * len(kinds) - len(set(ids)) - len(list(files.folder.iterdir()))
        twice += len(ids) - len(set(ids))
    tally.count("G", "senders killed between sending and noting", 6)
    tally.count("G", "messages lost by it", lost)
    assert (lost, twice) == (0, 3)  # each mail twice when it was killed there; a file again is the same file
    with registry.snapshot() as reader:
        assert reader.rows("SELECT COUNT(*) FROM notification WHERE sent IS NULL") == [(0,)]


@pytest.mark.parametrize(("password", "sent"), [("right horse", 1), ("wrong horse", 0)])
def test_the_server_asks_for_a_password(
    registry: Database, box: Box, authority: trustme.CA, tmp_path: Path, password: str, sent: int
) -> None:
    messages(registry, "document", "request|1", PATIENT)
    controller = WithTls(box, _context(authority), "right horse")
    controller.start()
    file = tmp_path / "password"
    file.write_text(f"{password}\n")
    ca = str(_written(authority, tmp_path))
    server = MailServer.of(f"smtp://registre@127.0.0.1:{controller.port}", "registre@dmp.example", str(file), ca)
    assert send_all(registry, SmtpSender(server, registry, FileSender(tmp_path / "o")), NOW) == sent
    controller.stop()
    assert len(box.mails) == sent
    assert list((tmp_path / "o").iterdir()) == []


def test_tls_from_the_first_byte(registry: Database, box: Box, authority: trustme.CA, tmp_path: Path) -> None:
    messages(registry, "document", "request|1", PATIENT)
    controller = Controller(box, hostname="127.0.0.1", port=_free(), ssl_context=_context(authority))
    controller.start()
    address, ca = f"smtps://127.0.0.1:{controller.port}", str(_written(authority, tmp_path))
    trusting = MailServer.of(address, "registre@dmp.example", "", ca)
    strict = MailServer.of(address, "registre@dmp.example", "", "")
    assert send_all(registry, SmtpSender(strict, registry, FileSender(tmp_path / "o")), NOW) == 0
    assert send_all(registry, SmtpSender(trusting, registry, FileSender(tmp_path / "o")), NOW) == 1
    controller.stop()
    assert len(box.mails) == 1


@pytest.mark.parametrize("value", ["a@b.example\nBcc: x@y.example", "a@b.example,c@d.example", "nobody", "@b.example"])
def test_what_is_no_mailbox_is_not_written_to(
    registry: Database, mail: MailServer, box: Box, tmp_path: Path, value: str
) -> None:
    def fill(tx: Any) -> None:
        tree = {"resourceType": "Patient", "id": "s", "telecom": [{"system": "email", "value": value}]}
        put_new(tx, "s", tree, NOW, {"clock": NOW})
        post(tx, "s", "document", "request|1", [PATIENT], NOW)

    registry.write(fill)
    assert send_all(registry, SmtpSender(mail, registry, FileSender(tmp_path / "o")), NOW) == 1
    assert box.mails == []


@pytest.mark.parametrize(
    "values",
    [
        {"smtp": "http://x", "smtp_from": "a@b.example"},
        {"smtp": "smtp://x"},
        {"smtp": "smtp://user:secret@x", "smtp_from": "a@b.example"},
        {"smtp": "smtp://x", "smtp_from": "a@b.example", "smtp_password_file": "/nowhere"},
    ],
)
def test_bad_settings_are_told(values: dict[str, str], database: Database, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="DMP_FHIR_SMTP"):
        sender_of(Settings(data_folder=tmp_path, **values), database)


def test_a_repository_is_over_tls(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="DMP_FHIR_AUDIT_REPOSITORY"):
        repository_of(Settings(data_folder=tmp_path, audit_repository="http://x"))
    assert repository_of(Settings(data_folder=tmp_path)) is None
