"""What leaves the registry by itself, from the settings: messages, and the trace to an audit repository."""

from __future__ import annotations

from pathlib import Path

from dmp_fhir.audit.forwarding import Repository
from dmp_fhir.notify.sender import FileSender, Sender
from dmp_fhir.notify.smtp import MailServer, SmtpSender
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store.database import Database


def sender_of(settings: Settings, database: Database) -> Sender:
    """By mail when a mail server is set, for those who have an address; files for the others."""
    files = FileSender(settings.outbox_folder)
    if not settings.smtp:
        return files
    try:
        server = MailServer.of(settings.smtp, settings.smtp_from, settings.smtp_password_file, settings.smtp_ca)
    except (ValueError, OSError) as fault:
        raise BadSetting(f"DMP_FHIR_SMTP: {fault}") from fault
    return SmtpSender(server, database, files)


def repository_of(settings: Settings) -> Repository | None:
    """Where the trace is forwarded to, if anywhere."""
    if not settings.audit_repository:
        return None
    if not settings.audit_repository.startswith("https://"):
        raise BadSetting("DMP_FHIR_AUDIT_REPOSITORY: an https address is expected")
    token = None
    if settings.audit_repository_token_file:
        try:
            token = Path(settings.audit_repository_token_file).read_text("utf-8").strip()
        except OSError as fault:
            raise BadSetting(f"DMP_FHIR_AUDIT_REPOSITORY_TOKEN_FILE: {fault.strerror}") from fault
    return Repository(
        settings.audit_repository.rstrip("/"),
        Path(settings.audit_repository_ca) if settings.audit_repository_ca else None,
        Path(settings.audit_repository_certificate) if settings.audit_repository_certificate else None,
        token,
    )
