"""The habilitation matrix: which types of document each profession may consult (AR-58, AR-77, AR-89, D32).

Data, checked when it is read, with a version that goes to the trace. The packaged one is policy/data/matrix.json; an
operator puts another in force with `dmp-fhir policy matrix load FILE` (same structure). A matrix has one row per health
profession (TRE_G15) and per role (social and medico-social professionals); a row says whether its holder reads, and
for which types of document (or classes of types) the answer is the other one. Every cell has a confidence.

Source: CSP R1111-46 and the order (arrêté) of 26 October 2023.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from dmp_fhir.profiles.terminology import code_list

ANY_ROLE = "*"
IN_TRAINING = "G16"
"""The row of students and residents, for every code of TRE_G16 that has none of its own."""
FILE_NAME = "matrix.json"
_CONFIDENCES = frozenset({"confirmed", "partial", "unverified"})
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VERSION = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_TOP = frozenset({"version", "title", "confidence", "sources", "classes", "lists", "professions", "roles"})
_ROW = frozenset({"code", "label", "read", "confidence", "source", "except"})
_CELLS = frozenset({"types", "classes", "lists", "confidence", "source"})
_LARGEST = 1_000_000


class BadMatrix(ValueError):
    """A matrix that is not put in force; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer of the matrix with its `confidence` (confirmed, partial, unverified) and the key of its source."""

    read: bool
    confidence: str
    source: str


NO_ROW = Cell(False, "confirmed", "D")


@dataclass(frozen=True, slots=True)
class Row:
    """What one profession or role reads: `default`, and the types of document for which it is otherwise."""

    code: str
    label: str
    default: Cell
    exceptions: Mapping[str, Cell]

    def cell(self, type_code: str) -> Cell:
        return self.exceptions.get(type_code, self.default)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A whole matrix. `professions` are keyed by TRE_G15 code, `roles` by role code, `*` for the others."""

    version: str
    title_fr: str
    title_en: str
    sources: Mapping[str, str]
    classes: Mapping[str, tuple[str, tuple[str, ...]]]
    professions: Mapping[str, Row]
    roles: Mapping[str, Row]

    def row(self, category: str, profession: str | None) -> Row | None:
        """The row of a professional; None when there is none, which is a refusal of every type."""
        if category == "PS":
            return self.professions.get(profession or "")
        if category == "PS_ROLE":
            code = profession or ""
            in_training = self.roles.get(IN_TRAINING) if code.startswith(IN_TRAINING) else None
            return self.roles.get(code) or in_training or self.roles.get(ANY_ROLE)
        return None

    def cell(self, category: str, profession: str | None, type_code: str) -> Cell:
        row = self.row(category, profession)
        return row.cell(type_code) if row else NO_ROW


@cache
def packaged() -> Matrix:
    """The matrix that comes with the program."""
    return read_matrix((files("dmp_fhir.policy") / "data" / FILE_NAME).read_bytes())


def in_force(data_folder: Path) -> Matrix:
    """The operator's matrix when one was loaded into the data folder, else the packaged one. Raises BadMatrix when the
    operator's file was damaged since: the server does not start on a matrix it cannot read."""
    path = data_folder / FILE_NAME
    try:
        return read_matrix(path.read_bytes())
    except FileNotFoundError:
        return packaged()


def read_matrix(data: bytes) -> Matrix:
    """Check and build; raises BadMatrix at the first fault."""
    if len(data) > _LARGEST:
        raise BadMatrix("a matrix is at most 1 MB")
    try:
        tree = orjson.loads(data)
    except ValueError as error:
        raise BadMatrix(f"not JSON: {error}") from error
    _members("matrix", tree, _TOP)
    version = tree["version"]
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadMatrix("version: 1 to 32 letters, digits, points, hyphens")
    title = tree["title"]
    if not isinstance(title, dict) or not all(isinstance(title.get(each), str) for each in ("fr", "en")):
        raise BadMatrix("title: a text in `fr` and one in `en`")
    sources = _texts("sources", tree["sources"])
    if _CONFIDENCES - _texts("confidence", tree["confidence"]).keys():
        raise BadMatrix(f"confidence: explain {', '.join(sorted(_CONFIDENCES))}")
    classes = {
        code: (_text(f"classes.{code}.label", each.get("label")), _codes(f"classes.{code}.types", each.get("types")))
        for code, each in _objects("classes", tree["classes"])
    }
    lists = {name: _codes(f"lists.{name}", codes) for name, codes in _mapping("lists", tree["lists"]).items()}
    groups = {"types": {}, "classes": {code: types for code, (_, types) in classes.items()}, "lists": lists}
    return Matrix(
        version,
        title["fr"],
        title["en"],
        MappingProxyType(sources),
        MappingProxyType(classes),
        _rows("professions", tree["professions"], groups, sources),
        _rows("roles", tree["roles"], groups, sources),
    )


def _rows(where: str, rows: Any, groups: Mapping[str, Any], sources: Mapping[str, str]) -> Mapping[str, Row]:
    if not isinstance(rows, list) or not rows:
        raise BadMatrix(f"{where}: a list of at least one row")
    found: dict[str, Row] = {}
    for n, row in enumerate(rows):
        place = f"{where}[{n}]"
        _members(place, row, _ROW, optional=frozenset({"except"}))
        code = row["code"]
        if not isinstance(code, str) or not (_CODE.fullmatch(code) or (where == "roles" and code == ANY_ROLE)):
            raise BadMatrix(f"{place}.code: a code")
        if where == "professions" and code not in _known("TRE_G15"):
            raise BadMatrix(f"{place}.code: {code} is no health profession (TRE_G15)")
        if code in found:
            raise BadMatrix(f"{place}.code: {code} has two rows")
        if not isinstance(row["read"], bool):
            raise BadMatrix(f"{place}.read: true or false")
        default = _cell(place, row, row["read"], sources)
        exceptions = _exceptions(place, row, groups, sources)
        found[code] = Row(code, _text(f"{place}.label", row["label"]), default, MappingProxyType(exceptions))
    return MappingProxyType(found)


def _exceptions(place: str, row: Any, groups: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Cell]:
    exceptions: dict[str, Cell] = {}
    for n, cells in enumerate(row.get("except", ())):
        inner = f"{place}.except[{n}]"
        _members(inner, cells, _CELLS, optional=frozenset(groups))
        types = list(_codes(f"{inner}.types", cells["types"])) if "types" in cells else []
        for group in ("classes", "lists"):
            for name in _codes(f"{inner}.{group}", cells[group]) if group in cells else ():
                if name not in groups[group]:
                    raise BadMatrix(f"{inner}.{group}: {name} is not defined")
                types += groups[group][name]
        if not types:
            raise BadMatrix(f"{inner}: names no type, class or list")
        cell = _cell(inner, cells, not row["read"], sources)
        for code in types:
            if code not in _known("JDV_J07", "JDV_J66"):
                raise BadMatrix(f"{inner}: {code} is no type of document (JDV_J07, JDV_J66)")
            if code in exceptions:
                raise BadMatrix(f"{inner}: {code} is named twice in this row")
            exceptions[code] = cell
    return exceptions


@cache
def _known(*names: str) -> frozenset[str]:
    """The codes of these lists, retired ones included: a mistyped code would silently decide nothing."""
    lists = [code_list(name) for name in names]
    return frozenset(
        code for each in lists for codes in (each.codes, each.retired) for own in codes.values() for code in own
    )


def _cell(place: str, tree: Any, read: bool, sources: Mapping[str, str]) -> Cell:
    confidence, source = tree["confidence"], tree["source"]
    if confidence not in _CONFIDENCES:
        raise BadMatrix(f"{place}.confidence: one of {', '.join(sorted(_CONFIDENCES))}")
    if not isinstance(source, str) or not all(key.strip() in sources for key in source.split(",")):
        raise BadMatrix(f"{place}.source: keys of `sources`, separated by commas")
    return Cell(read, confidence, source)


def _members(place: str, tree: Any, allowed: frozenset[str], *, optional: frozenset[str] = frozenset()) -> None:
    if not isinstance(tree, dict):
        raise BadMatrix(f"{place}: an object")
    for name in sorted(allowed - optional - tree.keys()):
        raise BadMatrix(f"{place}: {name} is missing")
    for name in sorted(tree.keys() - allowed):
        raise BadMatrix(f"{place}: {name} is not known")


def _mapping(place: str, tree: Any) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise BadMatrix(f"{place}: an object")
    return tree


def _objects(place: str, tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in _mapping(place, tree).items():
        yield name, _mapping(f"{place}.{name}", value)


def _texts(place: str, tree: Any) -> dict[str, str]:
    return {name: _text(f"{place}.{name}", value) for name, value in _mapping(place, tree).items()}


def _text(place: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadMatrix(f"{place}: a text")
    return value


def _codes(place: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and _CODE.fullmatch(each) for each in value):
        raise BadMatrix(f"{place}: a list of codes")
    return tuple(value)
