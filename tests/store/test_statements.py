"""One SQL text for two drivers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.store.statements import for_psycopg, insert_into


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("SELECT :a::bigint, x::text", "SELECT %(a)s::bigint, x::text"),
        ("SELECT ':a', 'it''s :b' || :c", "SELECT ':a', 'it''s :b' || %(c)s"),
        ('SELECT ":a" FROM t', 'SELECT ":a" FROM t'),
        ("SELECT 5 % 3, '%' , :a", "SELECT 5 %% 3, '%%' , %(a)s"),
        ("SELECT 1 -- :a 100%\n, :b", "SELECT 1 -- :a 100%%\n, %(b)s"),
        ("SELECT 1 /* :a */ , :b", "SELECT 1 /* :a */ , %(b)s"),
        ("SELECT x[1:2], '12:30'", "SELECT x[1:2], '12:30'"),
    ],
)
def test_parameters_of_psycopg(sql: str, expected: str) -> None:
    assert for_psycopg(sql) == expected


@given(st.text(alphabet="a:%(s) '", max_size=30))
def test_a_quoted_text_says_the_same_to_psycopg(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert for_psycopg(f"SELECT {quoted}") % {} == f"SELECT {quoted}"


def test_insert_names_only_what_the_schema_has() -> None:
    assert insert_into("ins", ("system", "value")) == 'INSERT INTO "ins" ("system", "value") VALUES (:system, :value)'
    with pytest.raises(KeyError):
        insert_into("ins", ("system", "value) --"))
    with pytest.raises(KeyError):
        insert_into("ins; DROP TABLE ins", ("system",))
