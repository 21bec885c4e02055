"""Room for sealed content: which key store belongs to the registry, matricules as hashes, documents as sealed files.

Nothing is encrypted here: keys are outside the database, so `dmp-fhir init` does it after this migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dmp_fhir.store.errors import MigrationRefused

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ADD_FLAG = {
    "sqlite": "ALTER TABLE payload ADD COLUMN sealed BOOLEAN NOT NULL DEFAULT 0"
    " CONSTRAINT sealed_is_boolean CHECK (sealed IN (0, 1))",
    "postgresql": "ALTER TABLE payload ADD COLUMN sealed BOOLEAN NOT NULL DEFAULT false",
}


def _text(length: int | None = None) -> sa.types.TypeEngine[str]:
    """Text compared byte by byte on PostgreSQL as on SQLite."""
    kind = sa.String if length else sa.Text
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "keys_in_use",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key_store", _text(64), nullable=False),
        sa.Column(
            "plain_readable", sa.Boolean(create_constraint=True, name="plain_readable_is_boolean"), nullable=False
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="keys_in_use_is_one"),
    )
    op.add_column("ins", sa.Column("sealed", _text(), nullable=True))
    op.get_bind().exec_driver_sql(ADD_FLAG[op.get_context().dialect.name])
    # Nothing reads it, and a hash of a document in clear confirms a guess of what it says.
    op.drop_column("payload", "sha1")


def downgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM keys_in_use")).first():
        raise MigrationRefused(
            "this registry is encrypted, and version 0009 could read nothing of it: go back to a backup instead"
        )
    op.drop_table("keys_in_use")
    op.drop_column("ins", "sealed")
    op.drop_column("payload", "sealed")
    nothing = sa.text("X''" if op.get_context().dialect.name == "sqlite" else "''")
    op.add_column("payload", sa.Column("sha1", sa.LargeBinary(20), nullable=False, server_default=nothing))
