"""The French association tables as maps of codes: document type to class, format to document type.

Sources: ASS_X16 (DMP), ASS_X04 (CI-SIS) (https://mos.esante.gouv.fr/NOS/); for the formats of ASS_A11, a table of ours:
ConceptMap-dmp-format-type. All in guides/terminology.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import orjson

from dmp_fhir.profiles.active import SHIPPED

Code = tuple[str, str]
TYPE_TO_CLASS_DMP = "ASS-X16-CorrespondanceType-Classe-DMP"
TYPE_TO_CLASS = "ASS-X04-CorrespondanceType-Classe-CISIS"
FORMAT_TO_TYPE = "dmp-format-type"


@cache
def concept_map(name: str) -> Mapping[Code, frozenset[Code]]:
    """{(system, code): {(system, code)}} of a map by the last step of its address. Raises OSError for another."""
    tree = orjson.loads((SHIPPED / "terminology" / f"ConceptMap-{name}.json").read_bytes())
    found: dict[Code, set[Code]] = {}
    for group in tree["group"]:
        for element in group["element"]:
            targets = {(group["target"], each["code"]) for each in element["target"]}
            found.setdefault((group["source"], element["code"]), set()).update(targets)
    return {source: frozenset(targets) for source, targets in found.items()}


def classes_of(system: str, code: str) -> frozenset[Code]:
    """The classes that go with a document type: those of the DMP, else those of the CI-SIS (D10); empty for a type that
    no table has."""
    key = (system, code)
    return concept_map(TYPE_TO_CLASS_DMP).get(key) or concept_map(TYPE_TO_CLASS).get(key) or frozenset()


@cache
def _types_by_format() -> Mapping[str, frozenset[Code]]:
    """By the code of the format alone: formats are URNs, and software names several systems for one."""
    return {code: types for (_, code), types in concept_map(FORMAT_TO_TYPE).items()}


def types_of_format(code: str) -> frozenset[Code]:
    """The document types that a format of a structured document stands for; empty when it tells nothing of the type."""
    return _types_by_format().get(code, frozenset())
