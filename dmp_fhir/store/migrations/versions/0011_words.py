"""Room for what else an AuditEvent is found by: address, policy, software, roles, everything that it names.

Entries of before keep what was hashed of them, and have none of it: nothing may change an entry, and their bodies are
sealed with keys that a migration does not have.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dmp_fhir.store.errors import MigrationRefused

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_event", sa.Column("words", sa.Text().with_variant(sa.Text(collation="C"), "postgresql")))


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT 1 FROM audit_event WHERE words IS NOT NULL")).first():
        raise MigrationRefused(
            "the trace holds entries whose hashes cover audit_event.words: without it they could not be proven; go back"
            " to a backup instead"
        )
    op.drop_column("audit_event", "words")
