"""What a verification of the trace says: what it looked at, and what is wrong where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, with its place. `kind` is altered, missing, inserted, reordered, duplicated, forged, tree, tile,
    head, outside or stale; `position` and the rest are given when they are known."""

    kind: str
    text: str
    position: int | None = None
    record_id: str | None = None
    event_id: str | None = None
    column: str | None = None

    def __str__(self) -> str:
        place = [f"position {self.position}"] if self.position is not None else []
        place += [f"record {self.record_id or '-'}"] if self.record_id is not None else []
        place += [f"event {self.event_id}"] if self.event_id else []
        place += [f"column {self.column}"] if self.column else []
        return f"{self.kind}: {self.text}" + (f" ({', '.join(place)})" if place else "")


@dataclass(slots=True)
class Report:
    """What was looked at and what was found, the first place of the log first."""

    entries: int = 0
    records: int = 0
    erased: int = 0
    heads: int = 0
    unsealed: int = 0
    clock_steps: int = 0
    size: int = 0
    root: str = ""
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"proven": self.proven}
