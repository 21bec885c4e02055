"""Security alerts: what the operator and the privacy officer must look into (TF-056, TF-178)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _text(length: int | None = None) -> sa.types.TypeEngine[str]:
    kind: type[sa.Text] | type[sa.String] = sa.Text if length is None else sa.String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "security_alert",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", _text(24), nullable=False),
        sa.Column("agent_category", _text(16), nullable=False),
        sa.Column("agent_id", _text(64), nullable=False),
        sa.Column("agent_name", _text(), nullable=False),
        sa.Column("most", sa.Integer, nullable=False),
        sa.Column("raised", sa.BigInteger, nullable=False),
        sa.Column("reviewed", sa.BigInteger, nullable=True),
        sa.Column("reviewer", _text(), nullable=True),
        sa.Column("finding", _text(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("security_alert")
