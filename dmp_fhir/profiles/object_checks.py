"""The checks on the elements of an object: values where they are present, cardinalities where they are absent.

An object usually has few of the elements a profile speaks of, so the checks are kept by property: what stands on a
present one runs when it is met, what stands on an absent one when it isn't.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dmp_fhir.profiles.rules import Rule
from dmp_fhir.profiles.visit import Check, Visit
from dmp_fhir.profiles.walk import Way


class Elements:
    """The checks on an object, given to it one by one, then run as one: those of the value of a property that is there,
    those of an object that has a property or lacks it, and those of any object."""

    def __init__(self) -> None:
        self.values: dict[str, list[Check]] = {}
        self.present: dict[str, list[Check]] = {}
        self.absent: dict[str, list[Check]] = {}
        self.always: list[Check] = []

    def check(self) -> list[Check]:
        """One check, or none when nothing is to be checked."""
        values, present, absent = (
            {name: together(checks) for name, checks in each.items()}
            for each in (self.values, self.present, self.absent)
        )
        always = tuple(self.always)
        if not values and not present and not absent and not always:
            return []

        def run(visit: Visit, value: Any, way: Way) -> None:
            if type(value) is not dict:
                return
            for name, item in value.items():
                if name in values:
                    values[name](visit, item, (way, name, None))
                if name in present:
                    present[name](visit, value, way)
            for name in absent:
                if name not in value:
                    absent[name](visit, value, way)
            for check in always:
                check(visit, value, way)

        return [run]

    # Values ------------------------------------------------------------------------------------------------------

    def one(self, name: str, checks: Sequence[Check]) -> None:
        """Checks on the value of a property that is no list."""
        self.values.setdefault(name, []).extend(checks)

    def each(self, name: str, checks: Sequence[Check], slicer: Callable[..., None] | None, least: bool) -> None:
        """Checks on each item of a list, then its slices; `least` when some slice must be there."""

        def run(visit: Visit, items: Any, way: Way) -> None:
            if type(items) is not list:
                return
            holder = way[0]
            if checks:
                for n, item in enumerate(items):
                    if item is not None:
                        here = (holder, name, n)
                        for check in checks:
                            check(visit, item, here)
            if slicer is not None:
                slicer(visit, items, holder)

        self.one(name, [run])
        if slicer is not None and least:
            self.absent.setdefault(name, []).append(lambda visit, value, way: slicer(visit, (), way))

    def forbid(self, rule: Rule, name: str) -> None:
        """A type a choice may not have."""
        self.one(name, [lambda visit, value, way: visit.fault(rule, way, f"Trouvé : {name}.", f"Found: {name}.")])

    # Cardinalities -----------------------------------------------------------------------------------------------

    def at_least(self, rule: Rule, names: Sequence[str], count: int) -> None:
        name = names[0] if len(names) == 1 else rule.element.rsplit(".", 1)[-1].split(":")[0].removesuffix("[x]")

        def run(visit: Visit, value: Any, way: Way) -> None:
            if (found := _count(value, names)) < count:
                given = ("", "") if found == 0 else (f"Trouvé : {found}.", f"Found: {found}.")
                visit.fault(rule, (way, name, None), *given)

        if len(names) == 1 and count == 1:
            self.absent.setdefault(name, []).append(run)
        elif count == 1:
            every = frozenset(names) | {"_" + each for each in names}  # a choice has up to fifty names
            self.always.append(lambda visit, value, way: run(visit, value, way) if every.isdisjoint(value) else None)
        else:
            self.always.append(run)

    def at_most(self, rule: Rule, names: Sequence[str], count: int) -> None:
        def run(visit: Visit, value: Any, way: Way) -> None:
            if (found := _count(value, names)) > count:
                name = next(each for each in names if each in value or "_" + each in value)
                visit.fault(rule, (way, name, None), f"Trouvé : {found}.", f"Found: {found}.")

        for name in names:
            self.present.setdefault(name, []).append(run)
            self.present.setdefault("_" + name, []).append(run)


def together(checks: Sequence[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]

    def run(visit: Visit, value: Any, way: Way) -> None:
        for check in checks:
            check(visit, value, way)

    return run


def _count(value: dict[str, Any], names: Sequence[str]) -> int:
    """How many values an element has; a primitive with extensions only counts."""
    found = 0
    for name in names:
        items = value.get(name)
        if items is None:
            items = value.get("_" + name)
        if items is not None:
            found += len(items) if type(items) is list else 1
    return found
