"""Slices: which slice an item belongs to, and whether there are as many of each as asked.

What tells slices apart is in discriminators.py. An item that none of these takes is outside: refused where the slicing
is closed. https://hl7.org/fhir/R4/profiling.html#slicing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from dmp_fhir.profiles.definitions import Property
from dmp_fhir.profiles.discriminators import Belongs, Discriminators, HasText, IsOfType, resource_type
from dmp_fhir.profiles.element_checks import shown
from dmp_fhir.profiles.rules import ProfileError, Rule
from dmp_fhir.profiles.snapshot import Node
from dmp_fhir.profiles.visit import Check, Visit
from dmp_fhir.profiles.walk import Way

if TYPE_CHECKING:
    from dmp_fhir.profiles.compiler import Compiler, Plan


@dataclass(slots=True)
class Slice:
    """One slice: the checks on an item of it, and how many there may be."""

    name: str
    node: Node
    checks: tuple[Check, ...]
    least: Rule | None
    most: Rule | None
    # What discriminates: the tests of a value, and those of a type or profile, which tell less.
    values: tuple[Belongs, ...] = ()
    kinds: tuple[Belongs, ...] = ()
    plans: tuple[Plan, ...] = ()


class Slicer:
    """Called with the items of one element."""

    def __init__(self, compiler: Compiler, node: Node, known: Property, slices: Sequence[Slice], rule: Rule) -> None:
        self.name, self.rule, self.slices = known.name, rule, slices
        slicing = node.slicing.what if node.slicing is not None else None
        if slicing is None or not slicing.discriminators:
            raise ProfileError(f"{rule.source}, {node.id}: a slicing without discriminator")
        self.closed = slicing.rules == "closed"
        self.at_end = slicing.rules == "openAtEnd"
        self.ordered = slicing.ordered
        for each in slices:
            reader = Discriminators(compiler, each.node)
            for kind, path in slicing.discriminators:
                reader.add(kind, path)
            each.values, each.kinds, each.plans = tuple(reader.values), tuple(reader.kinds), tuple(reader.plans)
        self.by_text = _by_text(slices)
        # Where the slicing is open, an item that does not follow the profile of a slice is outside it.
        self.by_profile = not self.closed and any(kind == "profile" for kind, _ in slicing.discriminators)
        self.by_type = _by_type(slices)
        self.by_kind = any(each.kinds for each in slices)
        self.counted = [_limits(n, each) for n, each in enumerate(slices) if each.least or each.most]

    def __call__(self, visit: Visit, items: Sequence[Any], way: Way) -> None:
        counts = [0] * len(self.slices)
        last, outside = -1, False
        for n, item in enumerate(items):
            if item is None:
                continue
            here = (way, self.name, n)
            place = self.taken(visit, item, here) if self.by_profile else self.place(visit, item)
            if place is None:
                outside = True
                if self.closed:
                    visit.fault(self.rule, here, f"Trouvé : {shown(item)}.", f"Found: {shown(item)}.")
                continue
            counts[place] += 1
            if (self.ordered and place < last) or (self.at_end and outside):
                fr, en = "Les tranches sont dans le désordre.", "The slices are out of order."
                visit.fault(self.rule, here, fr, en)
            if place > last:
                last = place
            if not self.by_profile:
                for check in self.slices[place].checks:
                    check(visit, item, here)
        for place, least, fewest, most, highest in self.counted:
            found = counts[place]
            if found < fewest and least is not None:
                given = ("", "") if not found else (f"Trouvé : {found}.", f"Found: {found}.")
                visit.fault(least, (way, self.name, None), *given)
            elif found > highest and most is not None:
                visit.fault(most, (way, self.name, None), f"Trouvé : {found}.", f"Found: {found}.")

    def taken(self, visit: Visit, item: Any, way: Way) -> int | None:
        """The number of the slice whose profile an item follows. When it follows none it is none of the slices, which
        breaks nothing: what it lacks to be of the nearest are remarks."""
        nearest: Visit | None = None
        for place in self.likely(visit, item):
            if not _passes(self.slices[place].values, visit, item):
                continue
            trial = visit.trial()
            for check in self.slices[place].checks:
                check(trial, item, way)
            trial.settle()
            if not trial.errors():
                visit.adopt(trial)
                return place
            if nearest is None or trial.errors() < nearest.errors():
                nearest = trial
        if nearest is not None:
            visit.adopt(nearest, "warning")
        return None

    def likely(self, visit: Visit, item: Any) -> Sequence[int]:
        """The slices an item may be of by its type."""
        if self.by_type is not None:
            return self.by_type[1].get(resource_type(item, self.by_type[0]), ())
        if not self.by_kind:
            return range(len(self.slices))
        return [n for n, each in enumerate(self.slices) if _passes(each.kinds, visit, item)]

    def place(self, visit: Visit, item: Any) -> int | None:
        """The number of the slice an item belongs to."""
        if self.by_text is not None:
            name, table = self.by_text
            value = item.get(name) if type(item) is dict else None
            among = table.get(value, ()) if type(value) is str else ()
            found = [n for n, tests in among if _passes(tests, visit, item)]
        else:
            likely = self.likely(visit, item)
            found = [n for n in likely if _passes(self.slices[n].values, visit, item)]
            if not found and self.closed and len(likely) == 1 and self.slices[likely[0]].kinds:
                return likely[0]  # of the right type, wrong elsewhere: the checks of the slice say where
            if self.closed and self.slices[0].plans:
                found += [n for n in likely if n not in found]  # what tells them apart may be what is wrong
        if len(found) > 1:
            return _nearest(self.slices, found, visit, item)
        return found[0] if found else None


def _limits(number: int, each: Slice) -> tuple[int, Rule | None, int, Rule | None, float]:
    """Of a slice, its number; how many there are at least and at most, and the rules that say so."""
    fewest = int(each.least.detail) if each.least is not None else 0
    return number, each.least, fewest, each.most, int(each.most.detail) if each.most is not None else inf


def _passes(tests: Sequence[Belongs], visit: Visit, item: Any) -> bool:
    for test in tests:  # noqa: SIM110 (a generator costs more than the tests)
        if not test(visit, item):
            return False
    return True


def _nearest(slices: Sequence[Slice], among: Sequence[int], visit: Visit, item: Any) -> int:
    """Of several slices that an item may belong to, the one it declares, or the one it follows best."""
    for n in among:
        if any(_declares(plan, item) for plan in slices[n].plans):
            return n
    best, fewest = among[0], -1
    for n in among:
        trial = visit.trial()
        for check in slices[n].checks:
            check(trial, item, "")
        if fewest < 0 or trial.errors() < fewest:
            best, fewest = n, trial.errors()
        if not fewest:
            break
    return best


def _declares(plan: Plan, item: Any) -> bool:
    resource = item.get("resource") if type(item) is dict else None
    meta = resource.get("meta") if type(resource) is dict else None
    declared = meta.get("profile") if type(meta) is dict else None
    return type(declared) is list and any(type(url) is str and url.split("|")[0] in plan.family for url in declared)


def _by_text(slices: Sequence[Slice]) -> tuple[str, dict[str, list[tuple[int, Sequence[Belongs]]]]] | None:
    """The quick way for the usual case, one property with a text in each slice: by that text, the slices and what else
    tells them apart."""
    texts = [next((test for test in each.values if isinstance(test, HasText)), None) for each in slices]
    names = {test.name for test in texts if test is not None}
    if None in texts or len(names) != 1 or any(each.kinds for each in slices):
        return None
    table: dict[str, list[tuple[int, Sequence[Belongs]]]] = {}
    for n, (each, text) in enumerate(zip(slices, texts, strict=True)):
        if text is not None:
            table.setdefault(text.text, []).append((n, tuple(test for test in each.values if test is not text)))
    return names.pop(), table


def _by_type(slices: Sequence[Slice]) -> tuple[str, dict[str | None, list[int]]] | None:
    """The quick way to the slices of a bundle: by the type of the resource, when all are told apart so."""
    tests = [each.kinds[0] for each in slices if len(each.kinds) == 1]
    names = {test.name for test in tests if isinstance(test, IsOfType)}
    if len(tests) < len(slices) or len(names) != 1:
        return None
    table: dict[str | None, list[int]] = {}
    for n, test in enumerate(tests):
        if not isinstance(test, IsOfType):
            return None
        for kind in test.types:
            table.setdefault(kind, []).append(n)
    return names.pop(), table
