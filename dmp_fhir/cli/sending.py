"""What leaves the registry by itself, from the settings: messages, and the trace to an audit repository."""

from __future__ import annotations

from dmp_fhir.audit.repository import Repository
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
    try:
        return Repository.of(
            settings.audit_repository,
            settings.audit_repository_ca,
            settings.audit_repository_certificate,
            settings.audit_repository_token_file,
        )
    except (ValueError, OSError) as fault:
        raise BadSetting(f"DMP_FHIR_AUDIT_REPOSITORY: {fault}") from fault
