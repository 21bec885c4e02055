"""How much a body may hold (threats, area C). A breach is 413 `too-long` for sizes, 413 `too-costly`
for the entries of a Bundle, 400 `structure` for shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from dmp_fhir.outcome import refuse


@dataclass(frozen=True, slots=True)
class Limits:
    """`body`: bytes of a whole body; `resource`: bytes of one resource, embedded content (`data`) not counted; `depth`:
    nesting of objects and arrays, or of XML elements; `items`: elements of one array; `entries`: entries of one Bundle;
    `nodes`: XML tags, opening and closing, in one body."""

    body: int = 150_000_000
    resource: int = 1_000_000
    depth: int = 64
    items: int = 10_000
    entries: int = 100
    nodes: int = 250_000


DEFAULT = Limits()


def too_long(found: str, most: str) -> NoReturn:
    """413: `found` says what is too big, in words valid in both languages (a property, a number of bytes)."""
    refuse(
        413,
        "too-long",
        f"Le corps dépasse une limite de ce serveur : {found}, au plus {most}. Découpez l'envoi.",
        f"The body exceeds a limit of this server: {found}, at most {most}. Send it in smaller parts.",
        rule="TF-097",
    )


def refuse_at(line: int, column: int, fr: str, en: str, *, rule: str) -> NoReturn:
    """400 `structure` with a place in the text, counted from 1."""
    refuse(400, "structure", f"Ligne {line}, colonne {column} : {fr}", f"Line {line}, column {column}: {en}", rule=rule)


def check_sizes(body: int, content: int, resources: int, limits: Limits) -> None:
    """What is left of a body once embedded content is set aside must fit its number of resources."""
    if body - content > limits.resource * max(1, resources):
        too_long(f"{body - content} bytes", f"{limits.resource} bytes per resource")


def check_entries(tree: dict[str, Any], limits: Limits) -> None:
    """A Bundle has at most `entries` entries."""
    entries = tree.get("entry") if tree.get("resourceType") == "Bundle" else None
    if type(entries) is list and len(entries) > limits.entries:
        refuse(
            413,
            "too-costly",
            f"Un Bundle contient au plus {limits.entries} entrées, celui-ci {len(entries)} : découpez l'envoi.",
            f"A Bundle holds at most {limits.entries} entries, this one {len(entries)}: send it in smaller parts.",
            expression="Bundle.entry",
            rule="TF-199",
        )
