"""Migrations on both databases."""

from dmp_fhir.store import schema


def test_a_new_database_becomes_current(empty_url: str) -> None:
    assert schema.current(empty_url) is None
    schema.upgrade(empty_url)
    assert schema.is_current(empty_url)
