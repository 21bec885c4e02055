"""Titles of documents leave their table: they are in the bodies, which are sealed. Motives of emergency accesses are
emptied, to be sealed from now on; those of before are in the trace.

What was there lies on in the files until `dmp-fhir init` writes the tables anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("document", "title")
    op.execute("UPDATE emergency_grant SET motive = ''")


def downgrade() -> None:
    # The version before would show sealed motives as they are; titles come back with the next version of a document.
    op.execute("UPDATE emergency_grant SET motive = ''")
    op.add_column("document", sa.Column("title", sa.Text().with_variant(sa.Text(collation="C"), "postgresql")))
