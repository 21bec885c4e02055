"""Where the values of a search parameter are kept: the vocabulary of parameters.py, translated to SQL by conditions.py.

Aliases of the tables: `d` document, `l` document_list, `c` consent, `a` audit_event, `r` record, `p` party.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selector:
    """Names the patient, hence the record: taken out of the query, the caller finds the record with it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Rows of search_token of this parameter."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows of search_text of this parameter."""


@dataclass(frozen=True, slots=True)
class References:
    """Rows of search_reference of this parameter. Those that name a document count when the caller may see it, if
    `documents`: else a criterion would tell of a hidden one (TF-010)."""

    targets: tuple[str, ...]
    documents: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A code in a column. `systems` are the code systems it may be asked with; `synonyms` are other spellings."""

    sql: str
    systems: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean expression, always true or false."""

    sql: str


@dataclass(frozen=True, slots=True)
class Span:
    """An interval `[low, high)` of milliseconds; with `open_ended`, an absent end means without end (Period)."""

    low: str
    high: str
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant, in milliseconds, always present."""

    sql: str


@dataclass(frozen=True, slots=True)
class Items:
    """Entries of a list (list_entry). Only those that the caller may see count (TF-010)."""

    targets: tuple[str, ...] = ("DocumentReference",)


@dataclass(frozen=True, slots=True)
class Entities:
    """What an entry of the trace names: its patient, its main resource in two columns, others among its words. Found by
    reference, or by an identifier of the resource."""


@dataclass(frozen=True, slots=True)
class Agents:
    """Columns that hold national identifiers: found by identifier, or by the directory resource that has it. `software`
    are the systems of the programs among the words of the entry."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    software: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Codes among the words of an entry of the trace (audit/words.py): how words of each code system begin. `beside`
    are columns with others."""

    starts: tuple[tuple[str, str], ...]
    beside: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class WordStart:
    """A text that is one of the words of an entry, without regard to case; `start` is how such words begin."""

    start: str


@dataclass(frozen=True, slots=True)
class FewTexts:
    """A text column of few distinct values, folded when the search is run."""

    sql: str


Source = (
    Selector
    | Tokens
    | Texts
    | References
    | Column
    | Flag
    | Span
    | Moment
    | Items
    | Entities
    | Agents
    | Words
    | WordStart
    | FewTexts
)
