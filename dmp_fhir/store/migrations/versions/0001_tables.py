"""The tables of the registry, and the row of the directory.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(length: int | None = None) -> TypeEngine[str]:
    """Text compared byte by byte on PostgreSQL as on SQLite."""
    kind = sa.String if length else sa.Text
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("recorded", sa.BigInteger(), nullable=False),
        sa.Column("type", _text(32), nullable=False),
        sa.Column("subtype", _text(32), nullable=False),
        sa.Column("action", _text(1), nullable=False),
        sa.Column("outcome", _text(2), nullable=False),
        sa.Column("agent_category", _text(16), nullable=False),
        sa.Column("agent_id", _text(64), nullable=False),
        sa.Column("agent_name", _text(), nullable=False),
        sa.Column("structure_id", _text(64), nullable=False),
        sa.Column("purpose", _text(20), nullable=False),
        sa.Column("entity_type", _text(32), nullable=False),
        sa.Column("entity_id", _text(64), nullable=False),
        sa.Column("secret", sa.Boolean(create_constraint=True, name="secret_is_boolean"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("audit_event_by_agent", "audit_event", ["record_id", "agent_id", "recorded"], unique=False)
    op.create_index("audit_event_by_id", "audit_event", ["id"], unique=False)
    op.create_table(
        "consent",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("status", _text(20), nullable=False),
        sa.Column("kind", _text(32), nullable=False),
        sa.Column("decision", _text(8), nullable=False),
        sa.Column("actor_kind", _text(20), nullable=True),
        sa.Column("actor_id", _text(64), nullable=True),
        sa.Column("decided", sa.BigInteger(), nullable=False),
        sa.Column("period_low", sa.BigInteger(), nullable=True),
        sa.Column("period_high", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("decision IN ('permit', 'deny')", name="consent_decision"),
        sa.PrimaryKeyConstraint("record_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("status", _text(20), nullable=False),
        sa.Column("archived", sa.Boolean(create_constraint=True, name="archived_is_boolean"), nullable=False),
        sa.Column(
            "masked_professionals",
            sa.Boolean(create_constraint=True, name="masked_professionals_is_boolean"),
            nullable=False,
        ),
        sa.Column(
            "hidden_patient", sa.Boolean(create_constraint=True, name="hidden_patient_is_boolean"), nullable=False
        ),
        sa.Column(
            "hidden_representatives",
            sa.Boolean(create_constraint=True, name="hidden_representatives_is_boolean"),
            nullable=False,
        ),
        sa.Column("type_system", _text(), nullable=True),
        sa.Column("type_code", _text(64), nullable=True),
        sa.Column("title", _text(), nullable=True),
        sa.Column("date_low", sa.BigInteger(), nullable=True),
        sa.Column("date_high", sa.BigInteger(), nullable=True),
        sa.Column("creation_low", sa.BigInteger(), nullable=True),
        sa.Column("creation_high", sa.BigInteger(), nullable=True),
        sa.Column("start_low", sa.BigInteger(), nullable=True),
        sa.Column("start_high", sa.BigInteger(), nullable=True),
        sa.Column("end_low", sa.BigInteger(), nullable=True),
        sa.Column("end_high", sa.BigInteger(), nullable=True),
        sa.Column("submission_set_id", _text(64), nullable=True),
        sa.Column("replaced_by", _text(64), nullable=True),
        sa.CheckConstraint("status IN ('current', 'superseded', 'entered-in-error')", name="document_status"),
        sa.PrimaryKeyConstraint("record_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("document_by_change", "document", ["record_id", "last_updated"], unique=False)
    op.create_table(
        "document_author",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("document_id", _text(64), nullable=False),
        sa.Column("kind", _text(12), nullable=False),
        sa.Column("identifier", _text(64), nullable=False),
        sa.CheckConstraint("kind IN ('person', 'structure', 'patient', 'system')", name="document_author_kind"),
        sa.PrimaryKeyConstraint("record_id", "document_id", "kind", "identifier"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document_list",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("status", _text(20), nullable=False),
        sa.Column("archived", sa.Boolean(create_constraint=True, name="archived_is_boolean"), nullable=False),
        sa.Column("date_low", sa.BigInteger(), nullable=True),
        sa.Column("date_high", sa.BigInteger(), nullable=True),
        sa.Column("title", _text(), nullable=True),
        sa.Column("depositor_kind", _text(12), nullable=False),
        sa.Column("depositor_id", _text(64), nullable=False),
        sa.CheckConstraint("kind IN ('submissionset', 'folder')", name="document_list_kind"),
        sa.CheckConstraint("status IN ('current', 'retired', 'entered-in-error')", name="document_list_status"),
        sa.PrimaryKeyConstraint("record_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("document_list_by_change", "document_list", ["record_id", "last_updated"], unique=False)
    op.create_table(
        "ins",
        sa.Column("system", _text(64), nullable=False),
        sa.Column("value", _text(32), nullable=False),
        sa.Column("record_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("system", "value"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "list_entry",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("list_id", _text(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("target_type", _text(32), nullable=False),
        sa.Column("target_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "list_id", "position"),
        sqlite_with_rowid=False,
    )
    op.create_index("list_entry_by_target", "list_entry", ["record_id", "target_id"], unique=False)
    op.create_table(
        "party",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(create_constraint=True, name="active_is_boolean"), nullable=False),
        sa.Column("deleted", sa.Boolean(create_constraint=True, name="deleted_is_boolean"), nullable=False),
        sa.Column("period_low", sa.BigInteger(), nullable=True),
        sa.Column("period_high", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("record_id", "resource_type", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "payload",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("document_id", _text(64), nullable=False),
        sa.Column("content_type", _text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha1", sa.LargeBinary(length=20), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("resource_type IN ('Binary', 'Bundle')", name="payload_resource_type"),
        sa.CheckConstraint("size >= 0", name="payload_size"),
        sa.PrimaryKeyConstraint("record_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("payload_by_content", "payload", ["sha256"], unique=False)
    op.create_index("payload_by_document", "payload", ["record_id", "document_id"], unique=False)
    op.create_table(
        "record",
        sa.Column("id", _text(64), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("birth_date", _text(10), nullable=True),
        sa.Column("gender", _text(16), nullable=True),
        sa.CheckConstraint("status IN ('open', 'closed', 'suspended', 'directory')", name="record_status"),
        sa.CheckConstraint("version >= 0", name="record_version"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "resource_home",
        sa.Column("id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("record_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("id", "resource_type"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "resource_version",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("resource_id", _text(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("method", _text(8), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("method IN ('POST', 'PUT', 'PATCH', 'DELETE')", name="resource_version_method"),
        sa.CheckConstraint("version >= 1", name="resource_version_number"),
        sa.PrimaryKeyConstraint("record_id", "resource_type", "resource_id", "version"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_reference",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("parameter", _text(32), nullable=False),
        sa.Column("target_type", _text(32), nullable=False),
        sa.Column("target_id", _text(64), nullable=False),
        sa.Column("identifier_value", _text(), nullable=False),
        sa.Column("identifier_system", _text(), nullable=False),
        sa.Column("resource_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint(
            "record_id",
            "resource_type",
            "parameter",
            "target_id",
            "target_type",
            "identifier_value",
            "identifier_system",
            "resource_id",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("search_reference_by_resource", "search_reference", ["record_id", "resource_id"], unique=False)
    op.create_table(
        "search_text",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("parameter", _text(32), nullable=False),
        sa.Column("folded", _text(), nullable=False),
        sa.Column("exact", _text(), nullable=False),
        sa.Column("resource_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "resource_type", "parameter", "folded", "exact", "resource_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("search_text_by_resource", "search_text", ["record_id", "resource_id"], unique=False)
    op.create_table(
        "search_token",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("parameter", _text(32), nullable=False),
        sa.Column("code", _text(), nullable=False),
        sa.Column("system", _text(), nullable=False),
        sa.Column("resource_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "resource_type", "parameter", "code", "system", "resource_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("search_token_by_resource", "search_token", ["record_id", "resource_id"], unique=False)
    op.create_table(
        "unique_identifier",
        sa.Column("scope", _text(32), nullable=False),
        sa.Column("value", _text(), nullable=False),
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("resource_type", _text(32), nullable=False),
        sa.Column("resource_id", _text(64), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("scope", "value"),
        sqlite_with_rowid=False,
    )
    # What belongs to no patient is written under this row, and locks it (store/clock.py).
    op.execute(
        "INSERT INTO record (id, status, version, created, last_updated, clock) VALUES ('', 'directory', 0, 0, 0, 0)"
    )


def downgrade() -> None:

    op.drop_table("unique_identifier")
    op.drop_index("search_token_by_resource", table_name="search_token")
    op.drop_table("search_token")
    op.drop_index("search_text_by_resource", table_name="search_text")
    op.drop_table("search_text")
    op.drop_index("search_reference_by_resource", table_name="search_reference")
    op.drop_table("search_reference")
    op.drop_table("resource_version")
    op.drop_table("resource_home")
    op.drop_table("record")
    op.drop_index("payload_by_document", table_name="payload")
    op.drop_index("payload_by_content", table_name="payload")
    op.drop_table("payload")
    op.drop_table("party")
    op.drop_index("list_entry_by_target", table_name="list_entry")
    op.drop_table("list_entry")
    op.drop_table("ins")
    op.drop_index("document_list_by_change", table_name="document_list")
    op.drop_table("document_list")
    op.drop_table("document_author")
    op.drop_index("document_by_change", table_name="document")
    op.drop_table("document")
    op.drop_table("consent")
    op.drop_index("audit_event_by_agent", table_name="audit_event")
    op.drop_table("audit_event")
