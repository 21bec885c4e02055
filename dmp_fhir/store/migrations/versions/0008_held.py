"""Records under a legal hold, which are not erased meanwhile (TF-245).

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record_state", sa.Column("held", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("record_state", "held")
