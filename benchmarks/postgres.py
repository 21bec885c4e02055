"""A PostgreSQL that loses nothing: the server of the tests, with the durability that tests may go without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.postgres import SETTINGS, PostgresServer

# fsync and full_page_writes are left at their default, on: `hurried` changes them while the server is running.
_LEFT = frozenset({"fsync", "full_page_writes", "shared_buffers"})
DURABLE = {name: value for name, value in SETTINGS.items() if name not in _LEFT} | {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
}


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer(DURABLE)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def hurried(server: PostgresServer) -> Iterator[None]:
    """Without waiting for the disk while the registry is filled; everything is on the disk when it ends."""
    _set(server, "off")
    try:
        yield
    finally:
        _set(server, "on")
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CHECKPOINT")


def _set(server: PostgresServer, value: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET fsync = {value}")
        connection.execute(f"ALTER SYSTEM SET full_page_writes = {value}")
        connection.execute("SELECT pg_reload_conf()")


def analyse(url: str) -> None:
    """What autovacuum does some minutes after a large load."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def durability(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_version')"
        ).fetchone()
    assert row is not None
    return f"PostgreSQL {row[2]}, fsync {row[0]}, synchronous_commit {row[1]}"
