"""SQL texts: the `:name` parameters of one text for both drivers, and the INSERT of a table.

A parameter is `:name` outside quotes and comments and not part of a `::type` cast. SQLite reads it as it is; psycopg
wants `%(name)s` and a doubled `%`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, String
from sqlalchemy.types import TypeEngine

from dmp_fhir.store.tables import metadata

_PIECES = re.compile(
    r"""
      (?P<kept> '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | :: )
    | :(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<percent>%)
    """,
    re.VERBOSE | re.DOTALL,
)


def _piece(match: re.Match[str]) -> str:
    if match["name"]:
        return f"%({match['name']})s"
    return match[0].replace("%", "%%")


@lru_cache(maxsize=2048)
def for_psycopg(sql: str) -> str:
    """The same statement with psycopg's placeholders."""
    return _PIECES.sub(_piece, sql)


@lru_cache(maxsize=1024)
def insert_into(table: str, columns: tuple[str, ...]) -> str:
    """`INSERT` of one row; KeyError when the table or a column is not one of tables.py, so no other text gets in."""
    known = metadata.tables[table].c
    names = ", ".join(f'"{known[column].name}"' for column in columns)
    values = ", ".join(f":{column}" for column in columns)
    return f'INSERT INTO "{table}" ({names}) VALUES ({values})'


# The arrays in which many rows travel to PostgreSQL at once, by the type of the column.
_ARRAYS: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (BigInteger, "bigint[]"),
    (Integer, "integer[]"),
    (Boolean, "boolean[]"),
    (LargeBinary, "bytea[]"),
    (String, "text[]"),
)


@lru_cache(maxsize=1024)
def insert_arrays_into(table: str, columns: tuple[str, ...]) -> str:
    """`INSERT` of many rows in one PostgreSQL statement, whatever their number: each parameter is the array of the
    values of one column. KeyError as `insert_into`."""
    known = metadata.tables[table].c
    names = ", ".join(f'"{known[column].name}"' for column in columns)
    arrays = ", ".join(f"%({column})s::{_array(known[column].type)}" for column in columns)
    return f'INSERT INTO "{table}" ({names}) SELECT * FROM unnest({arrays})'


def _array(kind: TypeEngine[Any]) -> str:
    return next(array for each, array in _ARRAYS if isinstance(kind, each))
