"""What no program may do, ours included: change or remove a trace or a version, leave a hole in the version numbers.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_event", "resource_version")

SQLITE_FORBID = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
SQLITE_SEQUENCE = """
CREATE TRIGGER resource_version_sequence BEFORE INSERT ON resource_version
WHEN NEW.version > 1 AND NOT EXISTS (
    SELECT 1 FROM resource_version WHERE record_id = NEW.record_id AND resource_type = NEW.resource_type
    AND resource_id = NEW.resource_id AND version = NEW.version - 1
)
BEGIN SELECT RAISE(ABORT, 'resource_version numbers have no gap'); END
"""

POSTGRESQL_FUNCTIONS = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;
CREATE FUNCTION refuse_version_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM resource_version WHERE record_id = NEW.record_id AND resource_type = NEW.resource_type
        AND resource_id = NEW.resource_id AND version = NEW.version - 1
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'resource_version numbers have no gap'
        USING ERRCODE = 'check_violation', TABLE = 'resource_version';
END $$
"""
POSTGRESQL_FORBID = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""
POSTGRESQL_SEQUENCE = """
CREATE TRIGGER resource_version_sequence BEFORE INSERT ON resource_version
    FOR EACH ROW WHEN (NEW.version > 1) EXECUTE FUNCTION refuse_version_gap()
"""


def upgrade() -> None:
    run = op.get_bind().exec_driver_sql
    if op.get_context().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                run(SQLITE_FORBID.format(table=table, verb=verb))
        run(SQLITE_SEQUENCE)
        return
    run(POSTGRESQL_FUNCTIONS)
    for table in APPEND_ONLY:
        run(POSTGRESQL_FORBID.format(table=table))
    run(POSTGRESQL_SEQUENCE)


def downgrade() -> None:
    run = op.get_bind().exec_driver_sql
    if op.get_context().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                run(f"DROP TRIGGER {table}_no_{verb}")
        run("DROP TRIGGER resource_version_sequence")
        return
    for table in APPEND_ONLY:
        run(f"DROP TRIGGER {table}_append_only ON {table}")
        run(f"DROP TRIGGER {table}_no_truncate ON {table}")
    run("DROP TRIGGER resource_version_sequence ON resource_version")
    run("DROP FUNCTION refuse_change()")
    run("DROP FUNCTION refuse_version_gap()")
