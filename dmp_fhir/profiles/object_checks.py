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
    """The checks on an object, given to it one by one, then run as one."""

    def __init__(self) -> None:
        self.present: dict[str, list[Check]] = {}
        self.absent: dict[str, list[Check]] = {}
        self.always: list[Check] = []

    def when_present(self, name: str, check: Check) -> None:
        self.present.setdefault(name, []).append(check)

    def when_absent(self, name: str, check: Check) -> None:
        self.absent.setdefault(name, []).append(check)

    def check(self) -> list[Check]:
        """One check, or none when nothing is to be checked."""
        present = {name: _together(checks) for name, checks in self.present.items()}
        absent = tuple((name, _together(checks)) for name, checks in self.absent.items())
        names, always = frozenset(self.absent), tuple(self.always)
        if not present and not absent and not always:
            return []

        def run(visit: Visit, value: Any, way: Way) -> None:
            if type(value) is not dict:
                return
            for name in value:
                if name in present:
                    present[name](visit, value, way)
            if not names <= value.keys():
                for name, check in absent:
                    if name not in value:
                        check(visit, value, way)
            for check in always:
                check(visit, value, way)

        return [run]

    # Values ------------------------------------------------------------------------------------------------------

    def one(self, name: str, checks: Sequence[Check]) -> None:
        """Checks on the value of a property that is no list."""
        if len(checks) == 1:
            only = checks[0]
            self.when_present(name, lambda visit, value, way: only(visit, value[name], (way, name, None)))
            return

        def run(visit: Visit, value: Any, way: Way) -> None:
            item, inner = value[name], (way, name, None)
            for check in checks:
                check(visit, item, inner)

        self.when_present(name, run)

    def each(self, name: str, checks: Sequence[Check], slicer: Callable[..., None] | None, least: bool) -> None:
        """Checks on each item of a list, then its slices; `least` when some slice must be there."""

        def run(visit: Visit, value: Any, way: Way) -> None:
            items = value[name]
            if type(items) is not list:
                return
            if checks:
                for n, item in enumerate(items):
                    if item is not None:
                        for check in checks:
                            check(visit, item, (way, name, n))
            if slicer is not None:
                slicer(visit, items, way)

        self.when_present(name, run)
        if slicer is not None and least:
            self.when_absent(name, lambda visit, value, way: slicer(visit, (), way))

    def forbid(self, rule: Rule, name: str) -> None:
        """A type a choice may not have."""

        def run(visit: Visit, value: Any, way: Way) -> None:
            visit.fault(rule, (way, name, None), f"Trouvé : {name}.", f"Found: {name}.")

        self.when_present(name, run)

    # Cardinalities -----------------------------------------------------------------------------------------------

    def at_least(self, rule: Rule, names: Sequence[str], count: int) -> None:
        name = names[0] if len(names) == 1 else rule.element.rsplit(".", 1)[-1].split(":")[0].removesuffix("[x]")

        def run(visit: Visit, value: Any, way: Way) -> None:
            if (found := _count(value, names)) < count:
                given = ("", "") if found == 0 else (f"Trouvé : {found}.", f"Found: {found}.")
                visit.fault(rule, (way, name, None), *given)

        if len(names) == 1 and count == 1:
            self.when_absent(name, run)
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
            self.when_present(name, run)
            self.when_present("_" + name, run)


def _together(checks: Sequence[Check]) -> Check:
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
