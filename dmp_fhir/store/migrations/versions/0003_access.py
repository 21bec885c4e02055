"""Emergency grants, messages to send, the state of records, types unknown to the matrix; and erasure: the versions of
a record that is being erased may go, those of any other never.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ERASING = "EXISTS (SELECT 1 FROM record_state WHERE record_id = OLD.record_id AND erased IS NOT NULL)"
SQLITE_NEVER = """
CREATE TRIGGER resource_version_no_DELETE BEFORE DELETE ON resource_version
BEGIN SELECT RAISE(ABORT, 'resource_version is append-only'); END
"""
SQLITE_UNLESS_ERASED = f"""
CREATE TRIGGER resource_version_no_DELETE BEFORE DELETE ON resource_version
WHEN NOT {ERASING}
BEGIN SELECT RAISE(ABORT, 'resource_version is append-only'); END
"""
POSTGRESQL_UNLESS_ERASED = f"""
CREATE FUNCTION refuse_unless_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {ERASING} THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION USING
        MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;
DROP TRIGGER resource_version_append_only ON resource_version;
CREATE TRIGGER resource_version_append_only BEFORE UPDATE ON resource_version
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER resource_version_no_delete BEFORE DELETE ON resource_version
    FOR EACH ROW EXECUTE FUNCTION refuse_unless_erased()
"""
POSTGRESQL_NEVER = """
DROP TRIGGER resource_version_no_delete ON resource_version;
DROP TRIGGER resource_version_append_only ON resource_version;
DROP FUNCTION refuse_unless_erased();
CREATE TRIGGER resource_version_append_only BEFORE UPDATE OR DELETE ON resource_version
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
"""
ADD_FLAG = {
    "sqlite": "ALTER TABLE document ADD COLUMN type_unknown BOOLEAN NOT NULL DEFAULT 0"
    " CONSTRAINT type_unknown_is_boolean CHECK (type_unknown IN (0, 1))",
    "postgresql": "ALTER TABLE document ADD COLUMN type_unknown BOOLEAN NOT NULL DEFAULT false",
}


def _text(length: int | None = None) -> TypeEngine[str]:
    """Text compared byte by byte on PostgreSQL as on SQLite."""
    kind = sa.String if length else sa.Text
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    run = op.get_bind().exec_driver_sql
    run(ADD_FLAG[dialect])
    run("CREATE INDEX document_awaiting_announcement ON document (created) WHERE hidden_patient")
    run("CREATE INDEX consent_by_helper ON consent (actor_id) WHERE kind = 'DELEGATION'")
    op.create_table(
        "emergency_grant",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("person", _text(64), nullable=False),
        sa.Column("structure", _text(64), nullable=False),
        sa.Column("session", _text(256), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("purpose", _text(20), nullable=False),
        sa.Column("person_name", _text(), nullable=False),
        sa.Column("motive", _text(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("review", sa.Boolean(create_constraint=True, name="review_is_boolean"), nullable=False),
        sa.Column("reviewed", sa.BigInteger(), nullable=True),
        sa.Column("reviewer", _text(), nullable=True),
        sa.Column("finding", _text(), nullable=True),
        sa.PrimaryKeyConstraint("record_id", "person", "structure", "session"),
        sqlite_with_rowid=False,
    )
    run("CREATE INDEX emergency_grant_to_review ON emergency_grant (granted) WHERE review AND reviewed IS NULL")
    op.create_table(
        "notification",
        sa.Column("record_id", _text(64), nullable=False),
        sa.Column("topic", _text(128), nullable=False),
        sa.Column("recipient_kind", _text(20), nullable=False),
        sa.Column("recipient_id", _text(64), nullable=False),
        sa.Column("id", _text(64), nullable=False),
        sa.Column("kind", _text(24), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "recipient_kind IN ('patient', 'representative', 'treating_physician')", name="notification_recipient"
        ),
        sa.PrimaryKeyConstraint("record_id", "topic", "recipient_kind", "recipient_id"),
        sqlite_with_rowid=False,
    )
    run("CREATE INDEX notification_to_send ON notification (created) WHERE sent IS NULL")
    op.create_table(
        "record_state",
        sa.Column("record_id", _text(64), primary_key=True),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.Column("suspended", sa.BigInteger(), nullable=True),
        sa.Column("erasure_asked", sa.BigInteger(), nullable=True),
        sa.Column("erased", sa.BigInteger(), nullable=True),
        sqlite_with_rowid=False,
    )
    if dialect == "sqlite":
        run("DROP TRIGGER resource_version_no_DELETE")
        run(SQLITE_UNLESS_ERASED)
    else:
        run(POSTGRESQL_UNLESS_ERASED)
    # What was closed before is archived from its last change on.
    run("INSERT INTO record_state (record_id, closed) SELECT id, last_updated FROM record WHERE status = 'closed'")


def downgrade() -> None:
    run = op.get_bind().exec_driver_sql
    if op.get_context().dialect.name == "sqlite":
        run("DROP TRIGGER resource_version_no_DELETE")
        run(SQLITE_NEVER)
    else:
        run(POSTGRESQL_NEVER)
    op.drop_table("record_state")
    op.drop_table("notification")
    op.drop_table("emergency_grant")
    for index in ("consent_by_helper", "document_awaiting_announcement"):
        run(f"DROP INDEX {index}")
    run("ALTER TABLE document DROP COLUMN type_unknown")
