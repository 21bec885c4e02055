"""Value sets, offline: which codes they have, whether a value is in one, and which codes are nearest to a wrong one.

ValueSet and CodeSystem resources as HL7 defines them (https://hl7.org/fhir/R4/valueset.html): `compose` with concepts,
whole systems, other value sets and is-a filters, `exclude`, or a ready `expansion`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dmp_fhir.profiles.definitions import code_system, required_codes
from dmp_fhir.profiles.nearest import nearest_codes
from dmp_fhir.profiles.rules import ProfileError

Tree = dict[str, Any]
Codes = dict[str, dict[str, str]]
_MOST_SYSTEMS = 2000


@dataclass(frozen=True, slots=True)
class Codeset:
    """The codes of a value set: {system: {code: display}}; of the systems in `whole` any code belongs, for the system
    is too large to be carried (LOINC, SNOMED CT)."""

    url: str
    codes: Mapping[str, Mapping[str, str]]
    whole: frozenset[str] = frozenset()
    every: frozenset[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", frozenset(code for codes in self.codes.values() for code in codes))

    def has(self, system: Any, code: Any) -> bool:
        if type(system) is not str or type(code) is not str:
            return False
        return code in self.codes.get(system, ()) or system in self.whole

    def has_code(self, code: Any) -> bool:
        """A plain code, whose system the element implies."""
        return code in self.every or bool(self.whole)

    def nearest(self, code: str, display: str = "", count: int = 3) -> list[str]:
        """The codes most like a wrong one, by code or by display, as `code (display)`."""
        every = ((known, name) for codes in self.codes.values() for known, name in codes.items())
        return nearest_codes(every, code, display, count)


@dataclass(frozen=True, slots=True)
class System:
    """A code system that is here as a whole: `CodeSystem.content` is complete, so that all the concepts it defines are
    known (https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.content)."""

    url: str
    version: str
    codes: Mapping[str, str]
    case_sensitive: bool = True

    def has(self, code: str) -> bool:
        return code in self.codes or (not self.case_sensitive and code.lower() in map(str.lower, self.codes))


class Terminology:
    """The value sets and code systems loaded, those of the R4 base behind them."""

    def __init__(self, value_sets: Iterable[Tree] = (), code_systems: Iterable[Tree] = ()) -> None:
        self._sets = {each["url"]: each for each in value_sets}
        self._systems = {each["url"]: each for each in code_systems}
        self._known: dict[str, Codeset] = {}
        self._whole: dict[str, System | None] = {}

    def system(self, url: str) -> System | None:
        """A code system that is here as a whole; None for one that is not here, or in part: a code may then be right
        that isn't here."""
        if url in self._whole:
            return self._whole[url]
        if len(self._whole) >= _MOST_SYSTEMS:  # strangers may name any
            self._whole.clear()
        found = self._whole[url] = self._system(url)
        return found

    def _system(self, url: str) -> System | None:
        tree = self._systems.get(url)
        if tree is None:
            base = code_system(url)
            return None if base is None else System(url, base[0], dict.fromkeys(base[1], ""))
        if tree.get("content") != "complete":
            return None
        sensitive = tree.get("caseSensitive") is not False
        return System(url, tree.get("version", ""), _concepts(tree.get("concept", [])), sensitive)

    def find(self, url: str) -> Codeset | None:
        """The codes of a value set, by canonical URL with or without version; None when it is not here. Raises
        ProfileError when it is here and not understood."""
        bare = url.split("|")[0]
        if bare not in self._known:
            found = self._codeset(bare, ())
            if found is None:
                return None
            self._known[bare] = found
        return self._known[bare]

    def _codeset(self, url: str, under_way: tuple[str, ...]) -> Codeset | None:
        if url in under_way:
            raise ProfileError(f"{url}: value sets include each other")
        tree = self._sets.get(url)
        if tree is None:
            base = required_codes(url)
            return None if base is None else Codeset(url, {s: dict.fromkeys(codes, "") for s, codes in base.items()})
        if "compose" not in tree:
            codes: Codes = {}
            _expanded(tree.get("expansion", {}).get("contains", []), codes)
            return Codeset(url, codes)
        found: Codes = {}
        whole: set[str] = set()
        for include in tree["compose"].get("include", []):
            part = self._part(include, url, (*under_way, url))
            for system, some in part.codes.items():
                found.setdefault(system, {}).update(some)
            whole |= part.whole
        for exclude in tree["compose"].get("exclude", []):
            part = self._part(exclude, url, (*under_way, url))
            for system, some in part.codes.items():
                found[system] = {code: name for code, name in found.get(system, {}).items() if code not in some}
            whole -= part.whole
        return Codeset(url, found, frozenset(whole))

    def _part(self, include: Tree, url: str, under_way: tuple[str, ...]) -> Codeset:
        """One include or exclude: what its system gives, narrowed by the value sets it names."""
        parts: list[Codeset] = []
        if "system" in include:
            parts.append(self._of_system(include, url))
        for other in include.get("valueSet", []):
            inner = self._codeset(other.split("|")[0], under_way)
            if inner is None:
                raise ProfileError(f"{url}: includes {other}, which is not loaded")
            parts.append(inner)
        if not parts:
            raise ProfileError(f"{url}: an include without system and value set")
        first = parts[0]
        for part in parts[1:]:
            codes = {
                system: {code: name for code, name in some.items() if part.has(system, code)}
                for system, some in first.codes.items()
            }
            first = Codeset(url, codes, first.whole & part.whole)
        return first

    def _of_system(self, include: Tree, url: str) -> Codeset:
        system = include["system"]
        if "concept" in include:
            return Codeset(url, {system: {each["code"]: each.get("display", "") for each in include["concept"]}})
        tree = self._systems.get(system)
        if "filter" not in include:
            if tree is None or tree.get("content") != "complete":
                return Codeset(url, {}, frozenset({system}))
            return Codeset(url, {system: _concepts(tree.get("concept", []))})
        if tree is None:
            raise ProfileError(f"{url}: filters {system}, which is not loaded")
        codes = _concepts(tree.get("concept", []))
        for each in include["filter"]:
            if each.get("property") != "concept" or each.get("op") not in ("is-a", "descendent-of"):
                raise ProfileError(f"{url}: filter {each.get('property')} {each.get('op')} is not understood")
            branch = _branch(tree.get("concept", []), each["value"])
            if branch is None:
                raise ProfileError(f"{url}: {system} has no code {each['value']}")
            kept = _concepts(branch.get("concept", []))
            if each["op"] == "is-a":
                kept[branch["code"]] = branch.get("display", "")
            codes = {code: name for code, name in codes.items() if code in kept}
        return Codeset(url, {system: codes})


def _expanded(contains: list[Tree], codes: Codes) -> None:
    for each in contains:
        if "code" in each and not each.get("abstract"):
            codes.setdefault(each.get("system", ""), {})[each["code"]] = each.get("display", "")
        _expanded(each.get("contains", []), codes)


def _concepts(concepts: list[Tree]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in concepts:
        found[each["code"]] = each.get("display", "")
        found |= _concepts(each.get("concept", []))
    return found


def _branch(concepts: list[Tree], code: str) -> Tree | None:
    for each in concepts:
        if each["code"] == code:
            return each
        if (found := _branch(each.get("concept", []), code)) is not None:
            return found
    return None
