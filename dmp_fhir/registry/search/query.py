"""A search that was understood: what parse.py makes and execute.py runs."""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.outcome import Issue
from dmp_fhir.registry.search.definitions import Parameter


@dataclass(frozen=True, slots=True)
class PatientById:
    """`patient=Patient/<id>`: a record is called like its Patient."""

    id: str


@dataclass(frozen=True, slots=True)
class PatientByIdentifier:
    """`patient.identifier=system|value`; `system` None when none was given (any), '' for `|value` (none)."""

    system: str | None
    value: str


@dataclass(frozen=True, slots=True)
class TokenValue:
    """`system|code`: system None is any system, '' no system; code None is any code of the system."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class TextValue:
    text: str


@dataclass(frozen=True, slots=True)
class DateValue:
    """`[low, high)` is what the date covers, in milliseconds."""

    prefix: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A literal target (`type` '' when not said), or an identifier when `id` is ''."""

    type: str = ""
    id: str = ""
    system: str | None = None
    value: str = ""


Value = TokenValue | TextValue | DateValue | ReferenceValue


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition; its values are alternatives. `target` narrows the type of a reference, `chain` is the parameter of
    the target. With the modifier `missing`, `values` is empty and `missing` says whether absence is wanted."""

    parameter: Parameter
    values: tuple[Value, ...]
    modifier: str | None = None
    target: str | None = None
    chain: str | None = None
    missing: bool | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """`patients` name the record and are not among the criteria. `sort` holds (key, descending). `used` is what the
    self link echoes. `remarks` are warnings about what was left aside (Prefer: handling=lenient)."""

    resource_type: str
    patients: tuple[PatientById | PatientByIdentifier, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    count: int = 20
    count_only: bool = False
    with_total: bool = True
    includes: tuple[str, ...] = ()
    revincludes: tuple[str, ...] = ()
    remarks: tuple[Issue, ...] = ()
    used: tuple[tuple[str, str], ...] = ()

    def asks(self, code: str) -> bool:
        """Whether a parameter of this code is among the criteria."""
        return any(each.parameter.code == code for each in self.criteria)
