"""What comes in and what goes out, free of any web framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from dmp_fhir.outcome import in_english

Tree = dict[str, Any]


class Request(NamedTuple):
    """One act asked for: a request, or one entry of a batch or transaction.

    `tree` is the parsed resource, when the body is one; `body` and `content_type` are for patches. `parameters` are
    search parameters in the order sent. Conditions are header values as received, None when absent. `english`: texts of
    an operation are wanted in English.
    """

    method: str
    resource_type: str | None = None
    id: str | None = None
    version: str | None = None
    operation: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    tree: Tree | None = None
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None
    if_none_exist: str | None = None
    prefer_return: str | None = None
    lenient: bool | None = None
    query: bytes = b""
    english: bool = False


@dataclass(slots=True)
class Response:
    """An answer. At most one of `json` (resource bytes as stored), `tree` (a resource) and `content` (a document in
    its own type) is set; `english` makes of `json` the same with its remarks in English, when it may have any.
    `last_modified` is in milliseconds."""

    status: int
    json: bytes | None = None
    english: Callable[[], bytes] | None = None
    tree: Tree | None = None
    content: bytes | None = None
    content_type: str | None = None
    etag: str | None = None
    last_modified: int | None = None
    location: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)

    def in_english(self) -> Response:
        """The same answer for who prefers English."""
        if self.english is not None:
            return replace(self, json=self.english(), english=None)
        if self.tree is not None and self.tree["resourceType"] == "OperationOutcome":
            return replace(self, tree=in_english(self.tree))
        return self
