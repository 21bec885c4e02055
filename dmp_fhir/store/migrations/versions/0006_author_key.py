"""Who counts as author, in the row of the document: the predicate of a search reads nothing else (AR-59)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BATCH = 1_000


def upgrade() -> None:
    binary = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("document", sa.Column("author_key", binary, nullable=False, server_default=sa.text("''")))
    connection = op.get_bind()
    update = sa.text("UPDATE document SET author_key = :author_key WHERE record_id = :record_id AND id = :document_id")
    batch = []
    for row in list(_keys(connection)):
        batch.append(row)
        if len(batch) == _BATCH:
            connection.execute(update, batch)
            batch = []
    if batch:
        connection.execute(update, batch)


def _keys(connection: sa.Connection) -> Iterator[dict[str, str]]:
    # The form of policy/facts.py, author_key, as it was when this migration was written.
    rows = connection.execute(
        sa.text(
            "SELECT record_id, document_id, kind, identifier FROM document_author"
            " WHERE kind IN ('person', 'structure') ORDER BY record_id, document_id, kind, identifier"
        )
    )
    for (record_id, document_id), group in groupby(rows, key=lambda row: (row[0], row[1])):
        named = list(group)
        counting = [row for row in named if row[2] == "person"] or named
        keys = sorted(f"{kind}:{identifier.replace('|', '%7C')}" for _, _, kind, identifier in counting)
        text = keys[0] if len(keys) == 1 else f"|{'|'.join(keys)}|"
        yield {"record_id": record_id, "document_id": document_id, "author_key": text}


def downgrade() -> None:
    op.drop_column("document", "author_key")
