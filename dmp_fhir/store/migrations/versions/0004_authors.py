"""What an author deposited in a record, found without reading every document of the record."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("document_author_by_author", "document_author", ["record_id", "identifier", "kind", "document_id"])


def downgrade() -> None:
    op.drop_index("document_author_by_author", "document_author")
