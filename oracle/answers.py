"""What each validator says of a case: its errors, and the processor seconds it took from the text of the resource."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from fhir.resources.R4B import get_fhir_model_class

from dmp_fhir.profiles import active
from dmp_fhir.profiles.identifiers import RULES
from dmp_fhir.profiles.validator import Validator
from oracle.cases import Case
from oracle.compare import Error, element

WARMING = 1000


@dataclass(frozen=True)
class Answer:
    """`crash` is the fault of a validator that gave no verdict."""

    errors: tuple[Error, ...]
    seconds: float
    crash: str | None = None


def as_written() -> Validator:
    """The shipped profiles with the severities they state themselves, as any validator reads them: without the table of
    levels, which says what an edition of the guides asks (D1)."""
    validator = Validator.load(active.SHIPPED)
    validator.levels.guides.clear()
    validator.levels.rules.clear()
    validator.levels.targets.clear()
    return validator


def of_ours(validator: Validator, cases: list[Case]) -> Iterator[Answer]:
    for case in cases[:: max(1, len(cases) // WARMING)]:
        validator.validate(case.resource, case.profiles, "main")
    for case in cases:
        text = orjson.dumps(case.resource)
        began = time.process_time_ns()
        issues = validator.validate(orjson.loads(text), case.profiles, "main")
        seconds = (time.process_time_ns() - began) / 1e9
        found = (
            Error(each.rule or "", element(each.expression), each.en)
            for each in issues
            if each.severity == "error" and each.rule not in RULES  # no StructureDefinition can compute a key
        )
        yield Answer(tuple(found), seconds)


def of_hapi(file: Path, cases: Iterable[Case]) -> Iterator[Answer]:
    """The answers the Java runner wrote, in the order of the cases. Raises ValueError when they are of other cases."""
    with file.open("rb") as lines:
        for case, line in zip(cases, lines, strict=True):
            row: dict[str, Any] = orjson.loads(line)
            if row["id"] != case.id:
                raise ValueError(f"{file} is not about these cases: {row['id']} where {case.id} should be")
            messages = row.get("messages", ())
            found = (
                Error(each["id"] or "", element(each["path"]), each["text"])
                for each in messages
                if each["severity"] in ("error", "fatal")
            )
            yield Answer(tuple(found), row.get("nanoseconds", 0) / 1e9, row.get("crash"))


def of_models(cases: Iterable[Case]) -> Iterator[Answer]:
    """fhir.resources, which knows no profiles: the R4B models."""
    for case in cases:
        text = orjson.dumps(case.resource)
        began = time.process_time_ns()
        found: tuple[Error, ...] = ()
        try:
            get_fhir_model_class(case.resource["resourceType"]).model_validate_json(text)
        except Exception as fault:  # some malformed values make the models themselves fail: a refusal, too
            found = (Error(type(fault).__name__, "", str(fault)[:200]),)
        yield Answer(found, (time.process_time_ns() - began) / 1e9)
