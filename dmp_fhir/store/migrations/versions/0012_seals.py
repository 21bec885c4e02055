"""Room for the seals of the trace: entries of before have none, and stay what the signed heads say of them. The keys
are not at hand in a migration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dmp_fhir.store.errors import MigrationRefused

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_event", sa.Column("seal", sa.LargeBinary()))


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT 1 FROM audit_event WHERE seal IS NOT NULL")).first():
        raise MigrationRefused(
            "the trace holds sealed entries: without this column they could not be proven; go back to a backup instead"
        )
    op.drop_column("audit_event", "seal")
