"""The schema, one set of tables for SQLite and PostgreSQL.

What belongs to a record carries the record's id as the first column of its key and of its indexes; a record's id is the
id of its Patient. People and organisations that belong to no record are in the directory, whose record id is
`DIRECTORY`. The few global questions (INS -> record, resource id -> record, identifier -> owner) have small tables
of their own.

Instants are milliseconds since 1970 UTC; an interval `[x_low, x_high)` is what a FHIR date of some precision covers.
Resource bodies are the exact JSON bytes that are served, compressed and sealed (store/bodies.py). Which columns hold
readable words all the same, and why, is in docs/decisions/0038-encryption-at-rest.md.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    and_,
    false,
    text,
)
from sqlalchemy.schema import SchemaItem

DIRECTORY = ""

metadata = MetaData()


def _instant(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(create_constraint=True, name=f"{name}_is_boolean"), nullable=False)


def _owned_by_record(name: str, *columns: SchemaItem, key: tuple[str, ...] = ("record_id", "id")) -> Table:
    """A table clustered by record (WITHOUT ROWID on SQLite)."""
    return Table(
        name,
        metadata,
        Column("record_id", String(64), nullable=False),
        *columns,
        PrimaryKeyConstraint(*key),
        sqlite_with_rowid=False,
    )


def _index_of_some(which: str, name: str, *columns: Column) -> Index:
    """An index of the rows for which `which` is true; used by queries that say the same without parameters."""
    return Index(name, *columns, sqlite_where=text(which), postgresql_where=text(which))


# --- records ---------------------------------------------------------------------------------------------------------

record = Table(
    "record",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    _instant("created"),
    _instant("last_updated"),
    # The clock of the record: the instant of its latest write. Strictly increasing, so it also numbers the writes.
    _instant("clock"),
    Column("birth_date", String(10)),
    Column("gender", String(16)),
    CheckConstraint("status IN ('open', 'closed', 'suspended', 'directory')", name="record_status"),
    CheckConstraint("version >= 0", name="record_version"),
    sqlite_with_rowid=False,
)

# `value` is a keyed hash of the matricule (KeyRing.hidden), `sealed` the matricule itself under the key of the record,
# in base64.
ins = Table(
    "ins",
    metadata,
    Column("system", String(64), nullable=False),
    Column("value", String(32), nullable=False),
    Column("record_id", String(64), nullable=False),
    _text("sealed", nullable=True),
    PrimaryKeyConstraint("system", "value"),
    sqlite_with_rowid=False,
)

# Which key store holds the keys of this registry (store/opening.py): one row. `plain_readable` when it is older than
# its keys: bodies and documents of that time may be here in clear.
keys_in_use = Table(
    "keys_in_use",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key_store", String(64), nullable=False),
    _flag("plain_readable"),
    _instant("since"),
    CheckConstraint("id = 1", name="keys_in_use_is_one"),
)

# --- global questions ------------------------------------------------------------------------------------------------

resource_home = Table(
    "resource_home",
    metadata,
    Column("id", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("record_id", String(64), nullable=False),
    PrimaryKeyConstraint("id", "resource_type"),
    sqlite_with_rowid=False,
)

# One owner per identifier: the uniqueId of documents and submission sets, the national identifiers of the directory,
# the conditions of conditional creates. `fingerprint` is the SHA-256 of what was submitted, for D17.
unique_identifier = Table(
    "unique_identifier",
    metadata,
    Column("scope", String(32), nullable=False),
    _text("value"),
    Column("record_id", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(64), nullable=False),
    Column("fingerprint", LargeBinary(32)),
    PrimaryKeyConstraint("scope", "value"),
    sqlite_with_rowid=False,
)

# --- every version of every resource ---------------------------------------------------------------------------------

resource_version = _owned_by_record(
    "resource_version",
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    _instant("last_updated"),
    Column("method", String(8), nullable=False),
    Column("body", LargeBinary, nullable=False),
    CheckConstraint("method IN ('POST', 'PUT', 'PATCH', 'DELETE')", name="resource_version_method"),
    CheckConstraint("version >= 1", name="resource_version_number"),
    key=("record_id", "resource_type", "resource_id", "version"),
)

# --- documents -------------------------------------------------------------------------------------------------------

document = _owned_by_record(
    "document",
    Column("id", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    _instant("created"),
    _instant("last_updated"),
    Column("status", String(20), nullable=False),
    _flag("archived"),
    _flag("masked_professionals"),
    _flag("hidden_patient"),
    _flag("hidden_representatives"),
    Column("type_system", Text),
    Column("type_code", String(64)),
    # Empty: titles are in the bodies, which are sealed. An older version wrote them here (registry/clear.py).
    _text("title", nullable=True),
    _instant("date_low", nullable=True),
    _instant("date_high", nullable=True),
    _instant("creation_low", nullable=True),
    _instant("creation_high", nullable=True),
    _instant("start_low", nullable=True),
    _instant("start_high", nullable=True),
    _instant("end_low", nullable=True),
    _instant("end_high", nullable=True),
    Column("submission_set_id", String(64)),
    Column("replaced_by", String(64)),
    # The type is in none of the lists that the habilitation matrix is about (D10): the matrix opens it to nobody.
    Column(
        "type_unknown",
        Boolean(create_constraint=True, name="type_unknown_is_boolean"),
        nullable=False,
        server_default=false(),
    ),
    # Who counts as author for a professional (policy/facts.py, author_key), so that the predicate of every search need
    # not look into document_author.
    Column("author_key", Text, nullable=False, server_default=text("''")),
    CheckConstraint("status IN ('current', 'superseded', 'entered-in-error')", name="document_status"),
)
Index("document_by_change", document.c.record_id, document.c.last_updated)
# What awaits an announcement, for the notices at 14 days and the automatic lift (AR-63, AR-64).
Index(
    "document_awaiting_announcement",
    document.c.created,
    sqlite_where=document.c.hidden_patient,
    postgresql_where=document.c.hidden_patient,
)

# Who may act as author of a document (AR-59, AR-70): national ids of persons, or of structures when no person is named.
document_author = _owned_by_record(
    "document_author",
    Column("document_id", String(64), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("identifier", String(64), nullable=False),
    CheckConstraint("kind IN ('person', 'structure', 'patient', 'system')", name="document_author_kind"),
    key=("record_id", "document_id", "kind", "identifier"),
)
# What an author deposited in a record, which the predicate of the rules asks once per query (policy/algebra.py).
Index(
    "document_author_by_author",
    document_author.c.record_id,
    document_author.c.identifier,
    document_author.c.kind,
    document_author.c.document_id,
)

# What attachment.url leads to: a Binary, or a Bundle of type document. Bytes are outside the rows (store/payloads.py),
# `sealed` in a file; `sha256` is that of the file and its name, `size` that of the document.
payload = _owned_by_record(
    "payload",
    Column("id", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("document_id", String(64), nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    _instant("created"),
    Column(
        "sealed",
        Boolean(create_constraint=True, name="sealed_is_boolean"),
        nullable=False,
        server_default=false(),
    ),
    CheckConstraint("resource_type IN ('Binary', 'Bundle')", name="payload_resource_type"),
    CheckConstraint("size >= 0", name="payload_size"),
)
Index("payload_by_document", payload.c.record_id, payload.c.document_id)
Index("payload_by_content", payload.c.sha256)

# --- submission sets and folders -------------------------------------------------------------------------------------

document_list = _owned_by_record(
    "document_list",
    Column("id", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    _instant("created"),
    _instant("last_updated"),
    Column("kind", String(16), nullable=False),
    Column("status", String(20), nullable=False),
    _flag("archived"),
    _instant("date_low", nullable=True),
    _instant("date_high", nullable=True),
    _text("title", nullable=True),
    Column("depositor_kind", String(12), nullable=False),
    Column("depositor_id", String(64), nullable=False),
    CheckConstraint("kind IN ('submissionset', 'folder')", name="document_list_kind"),
    CheckConstraint("status IN ('current', 'retired', 'entered-in-error')", name="document_list_status"),
)
Index("document_list_by_change", document_list.c.record_id, document_list.c.last_updated)

list_entry = _owned_by_record(
    "list_entry",
    Column("list_id", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("target_type", String(32), nullable=False),
    Column("target_id", String(64), nullable=False),
    key=("record_id", "list_id", "position"),
)
Index("list_entry_by_target", list_entry.c.record_id, list_entry.c.target_id)

# --- consents: one row is one line of the standing (policy/standing.py) ----------------------------------------------

consent = _owned_by_record(
    "consent",
    Column("id", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    _instant("created"),
    _instant("last_updated"),
    Column("status", String(20), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("decision", String(8), nullable=False),
    Column("actor_kind", String(20)),
    Column("actor_id", String(64)),
    _instant("decided"),
    _instant("period_low", nullable=True),
    _instant("period_high", nullable=True),
    CheckConstraint("decision IN ('permit', 'deny')", name="consent_decision"),
)
# How many records a helper follows (AR-85).
Index(
    "consent_by_helper",
    consent.c.actor_id,
    sqlite_where=consent.c.kind == "DELEGATION",
    postgresql_where=consent.c.kind == "DELEGATION",
)

# Emergency accesses, opened for one person in one structure and one session (AR-50); `review` when the privacy officer
# has to look at it, `reviewed` when they did (AR-51). `motive` is sealed (store/identifiers.py).
emergency_grant = _owned_by_record(
    "emergency_grant",
    Column("person", String(64), nullable=False),
    Column("structure", String(64), nullable=False),
    Column("session", String(256), nullable=False),
    Column("id", String(64), nullable=False),
    Column("purpose", String(20), nullable=False),
    _text("person_name"),
    _text("motive"),
    _instant("granted"),
    _instant("expires"),
    _flag("review"),
    _instant("reviewed", nullable=True),
    _text("reviewer", nullable=True),
    _text("finding", nullable=True),
    key=("record_id", "person", "structure", "session"),
)
Index(
    "emergency_grant_to_review",
    emergency_grant.c.granted,
    sqlite_where=and_(emergency_grant.c.review, emergency_grant.c.reviewed.is_(None)),
    postgresql_where=and_(emergency_grant.c.review, emergency_grant.c.reviewed.is_(None)),
)

# What the operator and the privacy officer must look into (TF-056, TF-178). Logs name it by its number; the account is
# here, and in the trace.
security_alert = Table(
    "security_alert",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(24), nullable=False),
    Column("agent_category", String(16), nullable=False),
    Column("agent_id", String(64), nullable=False),
    _text("agent_name"),
    Column("most", Integer, nullable=False),
    _instant("raised"),
    _instant("reviewed", nullable=True),
    _text("reviewer", nullable=True),
    _text("finding", nullable=True),
    sqlite_with_rowid=False,
)

# Messages to send (notify/): written with the act they tell about. `topic` makes one message of what must be told once.
notification = _owned_by_record(
    "notification",
    Column("topic", String(128), nullable=False),
    Column("recipient_kind", String(20), nullable=False),
    Column("recipient_id", String(64), nullable=False),
    Column("id", String(64), nullable=False),
    Column("kind", String(24), nullable=False),
    _instant("created"),
    _instant("sent", nullable=True),
    CheckConstraint(
        "recipient_kind IN ('patient', 'representative', 'treating_physician')", name="notification_recipient"
    ),
    key=("record_id", "topic", "recipient_kind", "recipient_id"),
)
Index(
    "notification_to_send",
    notification.c.created,
    sqlite_where=notification.c.sent.is_(None),
    postgresql_where=notification.c.sent.is_(None),
)

# What happened to a record as a whole (AR-08 to AR-12): since when it is closed or suspended, whether its erasure was
# asked for, and when it was erased. The only row that an erased record keeps, besides its trace.
record_state = Table(
    "record_state",
    metadata,
    Column("record_id", String(64), primary_key=True),
    _instant("closed", nullable=True),
    _instant("suspended", nullable=True),
    _instant("erasure_asked", nullable=True),
    _instant("erased", nullable=True),
    # Since when the record is under a legal hold: it is not erased meanwhile.
    _instant("held", nullable=True),
    sqlite_with_rowid=False,
)

# --- people and organisations: the directory, and those around a patient ---------------------------------------------

party = _owned_by_record(
    "party",
    Column("resource_type", String(32), nullable=False),
    Column("id", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    _instant("created"),
    _instant("last_updated"),
    _flag("active"),
    _flag("deleted"),
    _instant("period_low", nullable=True),
    _instant("period_high", nullable=True),
    key=("record_id", "resource_type", "id"),
)

# --- values that searches look for, many per resource ----------------------------------------------------------------

# What a resource is found by lies together: a publish touches few pages. In a record a search looks at each candidate;
# identifiers, and the directory, have an index by value.
search_token = _owned_by_record(
    "search_token",
    Column("resource_type", String(32), nullable=False),
    Column("parameter", String(32), nullable=False),
    _text("code"),
    _text("system"),
    Column("resource_id", String(64), nullable=False),
    key=("record_id", "resource_id", "resource_type", "parameter", "code", "system"),
)
_index_of_some(
    "parameter = 'identifier'",
    "search_token_by_identifier",
    *(search_token.c[name] for name in ("record_id", "resource_type", "code", "system", "resource_id")),
)
_index_of_some(
    "record_id = ''",
    "search_token_in_directory",
    *(search_token.c[name] for name in ("resource_type", "parameter", "code", "system", "resource_id")),
)

search_text = _owned_by_record(
    "search_text",
    Column("resource_type", String(32), nullable=False),
    Column("parameter", String(32), nullable=False),
    _text("folded"),
    _text("exact"),
    Column("resource_id", String(64), nullable=False),
    key=("record_id", "resource_id", "resource_type", "parameter", "folded", "exact"),
)
_index_of_some(
    "record_id = ''",
    "search_text_in_directory",
    *(search_text.c[name] for name in ("resource_type", "parameter", "folded", "exact", "resource_id")),
)

# A reference by literal target, by identifier, or both; absent parts are empty strings.
search_reference = _owned_by_record(
    "search_reference",
    Column("resource_type", String(32), nullable=False),
    Column("parameter", String(32), nullable=False),
    Column("target_type", String(32), nullable=False),
    Column("target_id", String(64), nullable=False),
    _text("identifier_value"),
    _text("identifier_system"),
    Column("resource_id", String(64), nullable=False),
    key=(
        "record_id",
        "resource_id",
        "resource_type",
        "parameter",
        "target_id",
        "target_type",
        "identifier_value",
        "identifier_system",
    ),
)
_index_of_some(
    "record_id = ''",
    "search_reference_in_directory",
    *(
        search_reference.c[name]
        for name in ("resource_type", "parameter", "target_id", "identifier_value", "resource_id")
    ),
)

# --- the trace -------------------------------------------------------------------------------------------------------

audit_event = _owned_by_record(
    "audit_event",
    Column("id", String(64), nullable=False),
    _instant("recorded"),
    Column("type", String(32), nullable=False),
    Column("subtype", String(32), nullable=False),
    Column("action", String(1), nullable=False),
    Column("outcome", String(2), nullable=False),
    Column("agent_category", String(16), nullable=False),
    Column("agent_id", String(64), nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("structure_id", String(64), nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("entity_type", String(32), nullable=False),
    Column("entity_id", String(64), nullable=False),
    # What else searches find it by (audit/words.py); NULL in entries of the first form (audit/entries.py).
    Column("words", Text, nullable=True),
    _flag("secret"),
    Column("body", LargeBinary, nullable=False),
    # The place of the entry in the log and in its record, and what proves it (audit/entries.py). `digest` is the
    # SHA-256 of the plain JSON; `marks` tells which column was touched, `leaf` is the hash in the tree.
    Column("position", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("marks", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    # That this registry wrote it, after all those before it; NULL in entries of before migration 0012.
    Column("seal", LargeBinary, nullable=True),
)
Index("audit_event_by_position", audit_event.c.position, unique=True)
Index("audit_event_by_sequence", audit_event.c.record_id, audit_event.c.sequence, unique=True)
Index("audit_event_by_agent", audit_event.c.record_id, audit_event.c.agent_id, audit_event.c.recorded)

# The tree over all entries (RFC 9162): one row, locked by whoever appends; `frontier` is the hashes of its complete
# subtrees.
audit_tree = Table(
    "audit_tree",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="audit_tree_is_one"),
)
# 256 hashes of the level below and the node above them, written when the last one comes: proofs read a few of these.
# `number` counts the tiles of a level from 0; level 0 holds leaves.
audit_tile = Table(
    "audit_tile",
    metadata,
    Column("level", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "number"),
)
# Signed tree heads, also kept outside the database (audit/heads.py).
audit_head = Table(
    "audit_head",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    _instant("time"),
    Column("key_id", String(64), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# Text is compared and ordered byte by byte on both databases, whatever the locale of the PostgreSQL server.
for _table in metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, String):
            _binary = type(_column.type)(_column.type.length, collation="C")
            _column.type = _column.type.with_variant(_binary, "postgresql")
Index("audit_event_by_id", audit_event.c.id)
