"""What a resource is found by, kept together by resource instead of by value.

A publish then changes 5 pages of the search tables instead of 70.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = {
    "search_token": ("parameter", "code", "system"),
    "search_text": ("parameter", "folded", "exact"),
    "search_reference": ("parameter", "target_id", "target_type", "identifier_value", "identifier_system"),
}
_LENGTHS = {
    "record_id": 64,
    "resource_type": 32,
    "parameter": 32,
    "target_type": 32,
    "target_id": 64,
    "resource_id": 64,
}
_PLACES = (
    *("record_id", "resource_type", "parameter", "code", "system", "folded", "exact"),
    *("target_type", "target_id", "identifier_value", "identifier_system", "resource_id"),
)
_OF_SOME = (
    (
        "search_token_by_identifier",
        "search_token (record_id, resource_type, code, system, resource_id) WHERE parameter = 'identifier'",
    ),
    (
        "search_token_in_directory",
        "search_token (resource_type, parameter, code, system, resource_id) WHERE record_id = ''",
    ),
    (
        "search_text_in_directory",
        "search_text (resource_type, parameter, folded, exact, resource_id) WHERE record_id = ''",
    ),
    (
        "search_reference_in_directory",
        "search_reference (resource_type, parameter, target_id, identifier_value, resource_id) WHERE record_id = ''",
    ),
)


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        op.drop_index(f"{table}_by_resource", table)
        _cluster(table, ("record_id", "resource_id", "resource_type", *columns))
    for name, rows in _OF_SOME:
        op.execute(f"CREATE INDEX {name} ON {rows}")


def downgrade() -> None:
    for name, _ in _OF_SOME:
        op.execute(f"DROP INDEX {name}")
    for table, columns in _COLUMNS.items():
        _cluster(table, ("record_id", "resource_type", *columns, "resource_id"))
        op.create_index(f"{table}_by_resource", table, ["record_id", "resource_id"])


def _cluster(table: str, key: tuple[str, ...]) -> None:
    """Give the table another primary key. All columns are part of it."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY ({', '.join(key)})")
        return
    # SQLite keeps a table in the order of its key: it is written anew.
    columns = [name for name in _PLACES if name in key]
    op.rename_table(table, f"{table}_before")
    op.create_table(
        table,
        *(sa.Column(name, _type(name), nullable=False) for name in columns),
        sa.PrimaryKeyConstraint(*key),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO {table} SELECT {', '.join(columns)} FROM {table}_before")
    op.drop_table(f"{table}_before")


def _type(column: str) -> sa.types.TypeEngine:
    return sa.String(_LENGTHS[column]) if column in _LENGTHS else sa.Text()
