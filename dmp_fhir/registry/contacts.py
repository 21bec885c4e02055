"""Where people can be written to: the e-mail of the Patient, RelatedPerson or Practitioner, in their telecom."""

from __future__ import annotations

import re

from dmp_fhir.registry.notifications import Notification
from dmp_fhir.registry.shelves import current
from dmp_fhir.store.database import Reader
from dmp_fhir.store.tables import DIRECTORY
from dmp_fhir.wire.json import parse_json

# One mailbox and nothing else: what stands in a record must not become headers or a list (RFC 5321, section 4.1.2).
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,63}", re.ASCII)


def email_of(reader: Reader, message: Notification) -> str | None:
    """The address of the recipient of a message; None when none is known."""
    if message.recipient_kind == "patient":
        return _email(reader, message.record_id, "Patient", message.record_id)
    kind, home = ("RelatedPerson", message.record_id)
    if message.recipient_kind == "treating_physician":
        kind, home = ("Practitioner", DIRECTORY)
    rows = reader.rows(
        "SELECT resource_id FROM search_token WHERE record_id = :home AND resource_type = :kind"
        " AND parameter = 'identifier' AND code = :number ORDER BY resource_id",
        {"home": home, "kind": kind, "number": message.recipient_id},
    )
    return next((found for (name,) in rows if (found := _email(reader, home, kind, name))), None)


def _email(reader: Reader, record_id: str, resource_type: str, resource_id: str) -> str | None:
    found = current(reader, record_id, resource_type, resource_id)
    if found is None or found.method == "DELETE":
        return None
    for contact in parse_json(found.body).get("telecom", []):
        value = contact.get("value", "").removeprefix("mailto:")
        if contact.get("system") == "email" and contact.get("use") != "old" and _MAILBOX.fullmatch(value):
            return value
    return None
