"""The trace as a Merkle log: each entry gets its place, the tree is built over those that are there, in order of time.

Going down forgets places, tree and signed heads; going up again makes others. A file of heads kept outside belongs to
one life of the log: put it aside.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from zlib import crc32

import orjson
import sqlalchemy as sa
from alembic import op

from dmp_fhir.store.bodies import unpack

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BATCH = 2_000
_NEW = ("position", "sequence", "nonce", "digest", "marks", "leaf")
_GROWING = ("audit_tile", "audit_head")

# --- what nobody may do -----------------------------------------------------------------------------

_SQLITE_APPEND_ONLY = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
_SQLITE_GUARDS = (
    """
CREATE TRIGGER audit_event_position BEFORE INSERT ON audit_event
WHEN NEW.position <> (SELECT COALESCE(MAX(position), -1) + 1 FROM audit_event)
BEGIN SELECT RAISE(ABORT, 'audit_event grows at its end'); END
""",
    """
CREATE TRIGGER audit_tree_grows BEFORE UPDATE ON audit_tree WHEN NEW.id <> OLD.id OR NEW.size <= OLD.size
BEGIN SELECT RAISE(ABORT, 'audit_tree grows'); END
""",
    """
CREATE TRIGGER audit_tree_no_DELETE BEFORE DELETE ON audit_tree WHEN OLD.size > 0
BEGIN SELECT RAISE(ABORT, 'audit_tree is append-only'); END
""",
)
_POSTGRESQL_APPEND_ONLY = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""
_POSTGRESQL_GUARDS = """
CREATE FUNCTION refuse_other_position() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position = (SELECT COALESCE(MAX(position), -1) + 1 FROM audit_event) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_event grows at its end' USING ERRCODE = 'check_violation', TABLE = 'audit_event';
END $$;
CREATE FUNCTION refuse_to_shrink() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_tree grows' USING ERRCODE = 'check_violation', TABLE = 'audit_tree';
END $$;
CREATE TRIGGER audit_event_position BEFORE INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION refuse_other_position();
CREATE TRIGGER audit_tree_grows BEFORE UPDATE ON audit_tree
    FOR EACH ROW WHEN (NEW.id <> OLD.id OR NEW.size <= OLD.size) EXECUTE FUNCTION refuse_to_shrink();
CREATE TRIGGER audit_tree_no_delete BEFORE DELETE ON audit_tree
    FOR EACH ROW WHEN (OLD.size > 0) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_tree_no_truncate BEFORE TRUNCATE ON audit_tree
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""


def upgrade() -> None:
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    _tables()
    if sqlite:
        _widen_sqlite()
    else:
        _widen_postgresql()
    _place_all(connection)
    if not sqlite:
        nulls = ", ".join(f"ALTER COLUMN {name} SET NOT NULL" for name in _NEW)
        connection.exec_driver_sql(f"ALTER TABLE audit_event {nulls}")
    run = connection.exec_driver_sql
    for table in _GROWING:
        for statement in _append_only(table, sqlite):
            run(statement)
    if sqlite:
        for statement in (*_append_only("audit_event", sqlite), *_SQLITE_GUARDS):
            run(statement)
    else:
        run("ALTER TABLE audit_event ENABLE TRIGGER audit_event_append_only")
        run(_POSTGRESQL_GUARDS)


def _append_only(table: str, sqlite: bool) -> list[str]:
    if sqlite:
        return [_SQLITE_APPEND_ONLY.format(table=table, verb=verb) for verb in ("UPDATE", "DELETE")]
    return [_POSTGRESQL_APPEND_ONLY.format(table=table)]


def _text(length: int | None = None) -> sa.types.TypeEngine[str]:
    kind = sa.String if length else sa.Text
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def _tables() -> None:
    op.create_table(
        "audit_tree",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name="audit_tree_is_one"),
    )
    op.create_table(
        "audit_tile",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number"),
    )
    op.create_table(
        "audit_head",
        sa.Column("size", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
    )


# --- places of the entries that are there -----------------------------------------------------------

_OLD = (
    *("record_id", "id", "recorded", "type", "subtype", "action", "outcome", "agent_category", "agent_id"),
    *("agent_name", "structure_id", "purpose", "entity_type", "entity_id", "secret", "body"),
)
_POSITION = "ROW_NUMBER() OVER (ORDER BY recorded, id, record_id) - 1"
_SEQUENCE = "ROW_NUMBER() OVER (PARTITION BY record_id ORDER BY recorded, id)"


def _widen_sqlite() -> None:
    # A column that may not be empty needs a new table; the triggers go with the old one.
    op.rename_table("audit_event", "audit_event_before")
    lengths = {"record_id": 64, "id": 64, "type": 32, "subtype": 32, "action": 1, "outcome": 2, "agent_category": 16}
    lengths |= {"agent_id": 64, "structure_id": 64, "purpose": 20, "entity_type": 32, "entity_id": 64}
    op.create_table(
        "audit_event",
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in lengths.items()),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("recorded", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.Boolean(create_constraint=True, name="secret_is_boolean"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in _NEW[2:]),
        sa.PrimaryKeyConstraint("record_id", "id"),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO audit_event ({', '.join((*_OLD, *_NEW))})"
        f" SELECT {', '.join(_OLD)}, {_POSITION}, {_SEQUENCE}, x'', x'', x'', x'' FROM audit_event_before"
    )
    op.drop_table("audit_event_before")
    op.create_index("audit_event_by_agent", "audit_event", ["record_id", "agent_id", "recorded"])
    op.create_index("audit_event_by_id", "audit_event", ["id"])
    _indexes()


def _widen_postgresql() -> None:
    kinds = ("BIGINT", "BIGINT", *("BYTEA",) * 4)
    added = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in zip(_NEW, kinds, strict=True))
    op.execute(f"ALTER TABLE audit_event {added}")
    op.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only")
    op.execute(
        "UPDATE audit_event e SET position = n.position, sequence = n.sequence FROM"
        f" (SELECT record_id, id, {_POSITION} AS position, {_SEQUENCE} AS sequence FROM audit_event) n"
        " WHERE n.record_id = e.record_id AND n.id = e.id"
    )
    _indexes()


def _indexes() -> None:
    op.create_index("audit_event_by_position", "audit_event", ["position"], unique=True)
    op.create_index("audit_event_by_sequence", "audit_event", ["record_id", "sequence"], unique=True)


def _place_all(connection: sa.Connection) -> None:
    columns = (*_OLD, "position", "sequence")
    select = sa.text(
        f"SELECT {', '.join(columns)} FROM audit_event"
        f" WHERE position >= :first AND position < :first + {_BATCH} ORDER BY position"
    )
    update = sa.text(
        "UPDATE audit_event SET nonce = :nonce, digest = :digest, marks = :marks, leaf = :leaf"
        " WHERE record_id = :record_id AND id = :id"
    )
    tree = _Tree()
    first = 0
    while rows := connection.execute(select, {"first": first}).mappings().all():
        placed = [_placed(dict(row)) for row in rows]
        connection.execute(update, placed)
        for each in placed:
            tree.append(each["leaf"])
        first += _BATCH
    if tree.tiles:
        tile = "INSERT INTO audit_tile (level, number, root, hashes) VALUES (:level, :number, :root, :hashes)"
        connection.execute(sa.text(tile), tree.tiles)
    connection.execute(
        sa.text("INSERT INTO audit_tree (id, size, frontier) VALUES (1, :size, :frontier)"),
        {"size": tree.size, "frontier": b"".join(tree.frontier)},
    )


# The forms of audit/entries.py and audit/tree.py, as they were when this migration was written.
_COLUMNS = (
    *("type", "subtype", "action", "outcome", "agent_category", "agent_id", "agent_name", "structure_id", "purpose"),
    *("entity_type", "entity_id", "secret"),
)


def _placed(row: Mapping[str, Any]) -> dict[str, Any]:
    nonce, digest = os.urandom(16), sha256(unpack(row["body"])).digest()
    values = {name: bool(row[name]) if name == "secret" else row[name] for name in _COLUMNS}
    texts = [str(row["record_id"]), str(row["id"]), str(row["recorded"]), *map(str, values.values())]
    texts[-1] = str(int(values["secret"]))
    line = [
        *("dmp-fhir-audit-1", row["position"], row["record_id"], row["id"], row["recorded"], digest.hex()),
        sha256(orjson.dumps(list(values.values()))).hexdigest(),
        sha256(nonce + str(row["sequence"]).encode()).hexdigest(),
    ]
    return {
        "record_id": row["record_id"],
        "id": row["id"],
        "nonce": nonce,
        "digest": digest,
        "marks": struct.pack(f">{len(texts)}H", *(crc32(each.encode()) & 0xFFFF for each in texts)),
        "leaf": sha256(b"\x00" + orjson.dumps(line)).digest(),
    }


class _Tree:
    """The tree while it is built: its frontier, and the tiles of 256 hashes that are complete."""

    def __init__(self) -> None:
        self.size = 0
        self.frontier: list[bytes] = []
        self.tiles: list[dict[str, Any]] = []
        self._open: list[list[bytes]] = []

    def append(self, leaf: bytes) -> None:
        self.frontier.append(leaf)
        self.size += 1
        for _ in range((self.size & -self.size).bit_length() - 1):
            right, left = self.frontier.pop(), self.frontier.pop()
            self.frontier.append(sha256(b"\x01" + left + right).digest())
        self._fill(0, leaf)

    def _fill(self, level: int, node: bytes) -> None:
        if level == len(self._open):
            self._open.append([])
        hashes = self._open[level]
        hashes.append(node)
        if len(hashes) == 256:
            number = (self.size >> 8 * (level + 1)) - 1
            root = _root(hashes)
            self.tiles.append({"level": level, "number": number, "root": root, "hashes": b"".join(hashes)})
            hashes.clear()
            self._fill(level + 1, root)


def _root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [sha256(b"\x01" + hashes[n] + hashes[n + 1]).digest() for n in range(0, len(hashes), 2)]
    return hashes[0]


def downgrade() -> None:
    connection = op.get_bind()
    run = connection.exec_driver_sql
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        run("DROP TRIGGER audit_event_position")
    else:
        run("DROP TRIGGER audit_event_position ON audit_event")
        run("DROP FUNCTION refuse_other_position()")
    for table in ("audit_head", "audit_tile", "audit_tree"):
        op.drop_table(table)
    if not sqlite:
        run("DROP FUNCTION refuse_to_shrink()")
    for index in ("audit_event_by_position", "audit_event_by_sequence"):
        run(f"DROP INDEX {index}")
    for name in _NEW:
        run(f"ALTER TABLE audit_event DROP COLUMN {name}")
