"""Scenarios: one requirement each, read from YAML and checked when they are read. docs/conformance.md tells the
language; whatever it does not know is a `BadScenario` with the place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from dmp_fhir.conformance import checks, templates
from dmp_fhir.conformance.config import CAPABILITIES
from dmp_fhir.conformance.files import read_yaml
from dmp_fhir.conformance.paths import BadPath
from dmp_fhir.conformance.paths import check as check_path

Tree = dict[str, Any]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
OBLIGATIONS = ("SHALL", "SHOULD", "MAY")
FORMATS = ("json", "xml")
_FILE = {"group", "title", "given", "needs", "formats", "actor", "obligation", "source", "as", "alone", "scenarios"}
_SCENARIO = {
    "id",
    "title",
    "actor",
    "obligation",
    "source",
    "needs",
    "given",
    "formats",
    "as",
    "alone",
    "for_each",
    "steps",
    "failure",
}
_INHERITED = ("given", "formats", "actor", "obligation", "source", "as", "alone")
_COMMON = {"as", "name", "expect"}
_REQUEST = _COMMON | {"query", "form", "headers", "accept", "body", "text", "content_type", "json_patch", "save"}
_PUBLISH = _COMMON | {"publish", "by", "patient", "author", "template", "change", "change_lot", "unread"}
_DECIDE = _COMMON | {"decide", "kind", "decision", "patient", "actor", "change"}
_END = _COMMON | {"end"}
_SAVED = {"path", "header"}
_ID = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)*")


class BadScenario(ValueError):
    """A scenario that is not run; the text says where and why."""


@dataclass(frozen=True)
class Text:
    """A sentence in both languages."""

    fr: str
    en: str

    def in_language(self, language: str) -> str:
        return self.fr if language == "fr" else self.en


@dataclass(frozen=True)
class Source:
    """The paragraph a requirement comes from."""

    text: str
    url: str


@dataclass(frozen=True)
class Step:
    """One thing to do: `action` is `request`, `publish`, `decide` or `end`; `said` is the mapping of the file."""

    action: str
    said: Mapping[str, Any]

    @property
    def expectations(self) -> list[Mapping[str, Any]]:
        return list(self.said.get("expect") or ())


@dataclass(frozen=True)
class Given:
    """A shared setup: its steps are done once in a run, for all scenarios that name it; then its variables are set."""

    name: str
    steps: tuple[Step, ...]
    needs: frozenset[str]
    variables: Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One requirement and how it is tried. `rows` parametrise it; `formats` run it in JSON, XML or both; an `alone`
    scenario changes what others look at, and runs when they are done."""

    id: str
    group: str
    title: Text
    actor: str
    obligation: str
    source: Source
    needs: frozenset[str]
    given: str | None
    formats: tuple[str, ...]
    persona: str
    alone: bool
    rows: tuple[Mapping[str, Any], ...]
    steps: tuple[Step, ...]
    failure: Text

    def cases(self) -> Iterator[Case]:
        for row in self.rows:
            for form in self.formats:
                yield Case(self, row, form)

    def personas(self) -> set[str]:
        """Every persona that has a part in it."""
        found = {self.persona}
        for step in self.steps:
            found |= {str(step.said.get(key)) for key in ("as", "author") if step.said.get(key)}
        for row in self.rows:
            found |= {str(value) for key, value in row.items() if key == "as" or key.endswith("_as")}
        found |= set(re.findall(r"\$\{persona\.([a-z-]+)\.", repr((self.steps, self.rows))))
        return {each for each in found if not each.startswith("${")} - {"nobody"}

    def patients(self) -> set[str]:
        said = repr((self.steps, self.rows))
        named = {str(step.said["patient"]) for step in self.steps if "patient" in step.said}
        named |= {str(row["patient"]) for row in self.rows if "patient" in row}
        return {each for each in named if not each.startswith("${")} | set(
            re.findall(r"\$\{patient\.([a-z-]+)\.", said)
        )


@dataclass(frozen=True)
class Case:
    """A scenario for one row of its table, in one format."""

    scenario: Scenario
    row: Mapping[str, Any]
    form: str

    @property
    def id(self) -> str:
        name = f"[{self.row['case']}]" if self.row else ""
        return self.scenario.id + name + (".xml" if self.form == "xml" else "")


@dataclass(frozen=True)
class Suite:
    """All scenarios and shared setups, and the titles of the groups."""

    scenarios: tuple[Scenario, ...]
    givens: Mapping[str, Given]
    groups: Mapping[str, Text]

    def chosen(self, groups: Iterable[str] = (), only: Iterable[str] = ()) -> list[Scenario]:
        """Those of the groups and with the ids asked for; all when nothing is asked. BadScenario for unknown names."""
        wanted, ids = set(groups), set(only)
        if unknown := (wanted - self.groups.keys()) | (ids - {each.id for each in self.scenarios}):
            raise BadScenario(f"nothing is called {', '.join(sorted(unknown))}; see: dmp-fhir conformance list")
        return [each for each in self.scenarios if (not wanted and not ids) or each.group in wanted or each.id in ids]


@cache
def suite() -> Suite:
    """The packaged scenarios."""
    folder = files("dmp_fhir.conformance").joinpath("scenarios")
    read: list[tuple[str, str]] = []
    for inner in sorted(folder.iterdir(), key=lambda each: each.name):
        if inner.is_dir():
            read += [
                (f"{inner.name}/{each.name}", each.read_text("utf-8"))
                for each in sorted(inner.iterdir(), key=lambda each: each.name)
                if each.name.endswith(".yaml")
            ]
    return read_suite(read)


def read_suite(texts: Iterable[tuple[str, str]]) -> Suite:
    """A suite from (`folder/file.yaml`, text) pairs; those of the folder `given` are shared setups."""
    scenarios: list[Scenario] = []
    givens: dict[str, Given] = {}
    groups: dict[str, Text] = {}
    for name, text in texts:
        try:
            tree = read_yaml(text)
        except yaml.YAMLError as fault:
            raise BadScenario(f"{name}: {fault}") from fault
        if not isinstance(tree, dict):
            raise BadScenario(f"{name}: a mapping is expected")
        if name.startswith("given/"):
            given = _given(name, tree)
            givens[given.name] = given
            continue
        _known(tree, _FILE, name)
        groups.setdefault(_required(tree, "group", name), _text(tree, "title", name))
        for each in tree.get("scenarios") or ():
            scenarios.append(_scenario(name, tree, each))
    ids = [each.id for each in scenarios]
    if twice := {each for each in ids if ids.count(each) > 1}:
        raise BadScenario(f"twice: {', '.join(sorted(twice))}")
    for scenario in scenarios:
        if scenario.given and scenario.given not in givens:
            raise BadScenario(f"{scenario.id}: there is no shared setup {scenario.given!r}")
    return Suite(tuple(scenarios), givens, groups)


def _given(name: str, tree: Tree) -> Given:
    _known(tree, {"given", "needs", "steps", "variables"}, name)
    return Given(
        _required(tree, "given", name), _steps(tree, "steps", name), _needs(tree, name), tree.get("variables") or {}
    )


def _scenario(file: str, defaults: Tree, said: Any) -> Scenario:
    if not isinstance(said, dict):
        raise BadScenario(f"{file}: a scenario is a mapping")
    name = str(said.get("id"))
    where = f"{file}: {name}"
    _known(said, _SCENARIO, where)
    if not _ID.fullmatch(name):
        raise BadScenario(f"{where}: an id is made of capitals, digits and dashes")
    tree: Tree = {key: defaults[key] for key in _INHERITED if key in defaults} | said
    obligation = _required(tree, "obligation", where)
    if obligation not in OBLIGATIONS:
        raise BadScenario(f"{where}: obligation is one of {', '.join(OBLIGATIONS)}")
    source = tree.get("source")
    if not (isinstance(source, list) and len(source) == 2 and str(source[1]).startswith("http")):
        raise BadScenario(f"{where}: source is [text of the reference, its URL]")
    formats = tuple(tree.get("formats") or ("json",))
    if not set(formats) <= set(FORMATS):
        raise BadScenario(f"{where}: formats are among {', '.join(FORMATS)}")
    steps = _steps(tree, "steps", where)
    if not any(step.expectations for step in steps):
        raise BadScenario(f"{where}: nothing is checked")
    rows = tuple(tree.get("for_each") or ({},))
    if any(row and "case" not in row for row in rows):
        raise BadScenario(f"{where}: each row of for_each is named by `case`")
    return Scenario(
        name,
        str(defaults["group"]),
        _text(tree, "title", where),
        _required(tree, "actor", where),
        obligation,
        Source(str(source[0]), str(source[1])),
        _needs(defaults, where) | _needs(tree, where) | ({"xml"} if formats == ("xml",) else set()),
        tree.get("given"),
        formats,
        str(tree.get("as") or "author"),
        bool(tree.get("alone")),
        rows,
        steps,
        _text(tree, "failure", where),
    )


def _steps(tree: Tree, key: str, where: str) -> tuple[Step, ...]:
    said = tree.get(key)
    if not isinstance(said, list) or not said:
        raise BadScenario(f"{where}: {key} is a list of steps")
    return tuple(_step(each, f"{where}, {key} {n + 1}") for n, each in enumerate(said))


def _step(said: Any, where: str) -> Step:
    if not isinstance(said, dict):
        raise BadScenario(f"{where}: a step is a mapping")
    methods = [each for each in METHODS if each in said]
    kinds = methods + [each for each in ("publish", "decide", "end") if each in said]
    if len(kinds) != 1:
        raise BadScenario(f"{where}: one of {', '.join(METHODS)}, publish, decide, end is expected")
    action = "request" if methods else kinds[0]
    _known(said, {"publish": _PUBLISH, "decide": _DECIDE, "end": _END}.get(action, _REQUEST | {kinds[0]}), where)
    if sum(each in said for each in ("body", "text", "json_patch", "form")) > 1:
        raise BadScenario(f"{where}: one body only")
    for wanted in said.get("save", {}).values():
        if not isinstance(wanted, dict) or len(wanted) != 1 or not set(wanted) <= _SAVED:
            raise BadScenario(f"{where}: save says name: {{path: …}} or {{header: …}}")
    for expectation in said.get("expect") or ():
        try:
            checks.require_known(expectation)
            if isinstance(expectation, dict) and "path" in expectation:
                check_path(str(expectation["path"]))
        except (checks.BadCheck, BadPath) as fault:
            raise BadScenario(f"{where}: {fault}") from fault
    _require_templates(said, where)
    return Step(action, said)


def _require_templates(value: Any, where: str) -> None:
    if isinstance(value, dict):
        if "$template" in value and not str(value["$template"]).startswith("${"):
            try:
                templates.template(value["$template"])
            except templates.BadTemplate as fault:
                raise BadScenario(f"{where}: {fault}") from fault
        for each in value.values():
            _require_templates(each, where)
    elif isinstance(value, list):
        for each in value:
            _require_templates(each, where)
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise BadScenario(f"{where}: {value!r} needs quotes")


def _needs(tree: Tree, where: str) -> frozenset[str]:
    needs = frozenset(tree.get("needs") or ())
    if unknown := needs - set(CAPABILITIES):
        raise BadScenario(f"{where}: needs: unknown {', '.join(sorted(unknown))}")
    return needs


def _known(tree: Tree, known: set[str], where: str) -> None:
    if unknown := {str(each) for each in tree} - known:
        raise BadScenario(f"{where}: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")


def _required(tree: Tree, key: str, where: str) -> str:
    if not tree.get(key):
        raise BadScenario(f"{where}: {key} is missing")
    return str(tree[key])


def _text(tree: Tree, key: str, where: str) -> Text:
    said = tree.get(key)
    if not isinstance(said, dict) or set(said) != {"fr", "en"}:
        raise BadScenario(f"{where}: {key} is a text in fr and en")
    return Text(str(said["fr"]), str(said["en"]))
