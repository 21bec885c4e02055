"""What is PostgreSQL's own: bounded waits, connections that break and are replaced."""

from __future__ import annotations

import psycopg
import pytest

from dmp_fhir.store.database import Database, StoreUnavailable
from tests.store import rows
from tests.store.test_database import records
from tests.support.postgres import PostgresServer


def test_a_statement_that_does_not_end_is_unavailable(postgres_server: PostgresServer, postgres_template: str) -> None:
    database = Database.open(postgres_server.create_database("slow", postgres_template))

    def sleep() -> None:
        with database.snapshot() as reader:
            reader.rows("SET LOCAL statement_timeout = '100ms'")
            reader.rows("SELECT pg_sleep(5)")

    with pytest.raises(StoreUnavailable):
        sleep()
    assert records(database) == []
    database.close()
    postgres_server.drop_database("slow")


def test_the_limits_of_a_postgresql_session_are_on(postgres_server: PostgresServer, postgres_template: str) -> None:
    database = Database.open(postgres_server.create_database("limits", postgres_template))
    with database.snapshot() as reader:
        shown = [reader.row(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout", "transaction_isolation")]
        assert shown == [("10s",), ("5s",), ("repeatable read",)]
        assert reader.row("SHOW transaction_read_only") == ("on",)
    with database.transaction() as tx:
        assert tx.row("SHOW transaction_isolation") == ("read committed",)
        assert tx.row("SHOW synchronous_commit") == ("on",)
    database.close()
    postgres_server.drop_database("limits")


def test_a_cut_connection_is_unavailable_once_then_replaced(
    postgres_server: PostgresServer, postgres_template: str
) -> None:
    database = Database.open(postgres_server.create_database("cut", postgres_template))

    def cut() -> None:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'cut'")

    def write(*after_the_cut: str) -> None:
        with database.transaction() as tx:
            tx.insert("record", rows.record("before"))
            cut()
            for name in after_the_cut:
                tx.insert("record", rows.record(name))

    for after_the_cut in (["after"], []):  # noticed by a statement, noticed by the commit
        with pytest.raises(StoreUnavailable):
            write(*after_the_cut)
        assert records(database) == []
    cut()  # while idle: the next session does not even notice
    assert records(database) == []
    database.close()
    postgres_server.drop_database("cut")
