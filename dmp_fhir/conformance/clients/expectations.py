"""What a client of each profile (Alimentation, Consultation, Gestion) has to ask, and whether it asked it right.

`profiles.yaml` holds both: an expectation says how to recognise an exchange and what must be true of it. An exchange
belongs to the first expectation of the profile that recognises it. A check that fails tells the paragraph and, where it
can, how the request would be right (`mend`).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from dmp_fhir.conformance.client import shown
from dmp_fhir.conformance.clients.recording import FORM, Asked, Exchange, header_of
from dmp_fhir.conformance.files import read_yaml
from dmp_fhir.conformance.paths import BadPath, evaluate, text_of
from dmp_fhir.conformance.paths import check as check_path
from dmp_fhir.conformance.scenarios import OBLIGATIONS, Source, Text
from dmp_fhir.conformance.templates import change

Tree = dict[str, Any]
SEEN, WRONG, MISSING = "right", "wrong", "missing"
_CHECKS = frozenset({"query", "header", "body", "method", "accepted", "authorized", "after", "path"})
_MORE = frozenset({"matches", "text", "source", "obligation", "mend"})


class BadProfile(ValueError):
    """A mistake in profiles.yaml; the text says where."""


@dataclass(frozen=True)
class Check:
    """One thing that must be true of a request: `kind` of `_CHECKS`, `what` it looks at, `matches` a pattern."""

    kind: str
    what: Any
    matches: re.Pattern[str] | None
    text: Text
    obligation: str
    source: Source
    mend: Tree


@dataclass(frozen=True)
class Expectation:
    """An exchange that a profile asks for. `models` is how it is asked when all is right."""

    id: str
    title: Text
    obligation: str
    source: Source
    recognised: tuple[Tree, ...]
    checks: tuple[Check, ...]
    model: str


@dataclass(frozen=True)
class Profile:
    name: str
    title: Text
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True)
class Fault:
    """A check that failed, or an issue of the server's answer."""

    text: Text
    obligation: str
    source: Source


@dataclass(frozen=True)
class Judged:
    """An exchange against the expectation that it belongs to (None: none of this profile)."""

    exchange: Exchange
    expectation: Expectation | None
    faults: tuple[Fault, ...] = ()
    mended: str = ""

    @property
    def right(self) -> bool:
        return not any(fault.obligation == "SHALL" for fault in self.faults)


@dataclass(frozen=True)
class Verdict:
    """What became of one expectation: right when at least one exchange was, else wrong or missing."""

    expectation: Expectation
    exchanges: tuple[Judged, ...] = ()

    @property
    def state(self) -> str:
        if not self.exchanges:
            return MISSING
        return SEEN if any(each.right for each in self.exchanges) else WRONG


@dataclass(frozen=True)
class Result:
    """A client against a profile."""

    profile: Profile
    verdicts: tuple[Verdict, ...]
    judged: tuple[Judged, ...] = field(default=())

    @property
    def conforming(self) -> bool:
        """All that SHALL be asked was, rightly."""
        return all(each.state == SEEN for each in self.verdicts if each.expectation.obligation == "SHALL")


def judge(profile: Profile, exchanges: Sequence[Exchange]) -> Result:
    """The exchanges of one client, in their order, against a profile."""
    judged: list[Judged] = []
    done: set[str] = set()
    for exchange in exchanges:
        expectation = next((each for each in profile.expectations if _recognises(each, exchange.asked)), None)
        if expectation is None:
            judged.append(Judged(exchange, None))
            continue
        failed = [each for each in expectation.checks if not _holds(each, exchange, done)]
        faults = [Fault(each.text, each.obligation, each.source) for each in failed if each.kind != "accepted"]
        if any(each.kind == "accepted" for each in failed):
            faults += _issues(exchange, next(each for each in failed if each.kind == "accepted"))
        mended = _mended(expectation, exchange.asked, failed) if faults else ""
        one = Judged(exchange, expectation, tuple(faults), mended)
        if one.right:
            done.add(expectation.id)
        judged.append(one)
    verdicts = [Verdict(each, tuple(one for one in judged if one.expectation is each)) for each in profile.expectations]
    return Result(profile, tuple(verdicts), tuple(judged))


# --- recognising and checking ----------------------------------------------------------------------


def _recognises(expectation: Expectation, asked: Asked) -> bool:
    return any(
        asked.method in each["methods"]
        and re.fullmatch(each["path"], asked.path) is not None
        and all(_found(asked.tree, path) for path in each.get("body", ()))
        and all(name in dict(asked.query) for name in each.get("query", ()))
        and each.get("text", "").encode() in asked.body
        for each in expectation.recognised
    )


def _found(tree: Any, path: str) -> list[str]:
    """The values at a path of a body that is a resource."""
    return [text_of(each) for each in evaluate(path, tree)] if isinstance(tree, dict) else []


def _holds(check: Check, exchange: Exchange, done: set[str]) -> bool:
    asked = exchange.asked
    match check.kind:
        case "accepted":
            return exchange.accepted and not _errors(exchange)
        case "authorized":
            return asked.authorized
        case "method":
            return asked.method in check.what
        case "after":
            return check.what in done
        case "path":
            values = [asked.path]
        case "query":
            names = check.what if isinstance(check.what, list) else [check.what]
            values = [value for name, value in asked.query if name in names]
        case "header":
            values = [value for value in [header_of(asked.headers, check.what)] if value]
        case _:
            values = [each for each in _found(asked.tree, check.what) if each != "false"]
    if check.matches is None:
        return bool(values)
    return bool(values) and all(check.matches.fullmatch(value) for value in values)


def _errors(exchange: Exchange) -> list[Tree]:
    """The issues that say that something was wrong, wherever the answer has them."""
    tree = exchange.tree
    if not isinstance(tree, dict):
        return []
    issues = evaluate("issue", tree) if tree.get("resourceType") == "OperationOutcome" else []
    return [each for each in issues if text_of(_one(each, "severity")) in ("error", "fatal")]


def _one(tree: Tree, name: str) -> Any:
    value = tree.get(name)
    return value[0] if isinstance(value, list) and value else value


def _issues(exchange: Exchange, check: Check) -> list[Fault]:
    """What the server found wrong, one fault each; the check's own text when it says nothing."""
    faults = []
    for issue in _errors(exchange):
        where = ", ".join(map(str, issue.get("expression") or ()))
        rule = ", ".join(str(each) for each in evaluate("details.coding.code", issue))
        french = next(iter(evaluate("details.text", issue)), None) or _one(issue, "diagnostics") or ""
        english = _one(issue, "diagnostics") or french
        place = f" ({where})" if where else ""
        source = Source(rule or check.source.text, check.source.url)
        faults.append(Fault(Text(f"{french}{place}", f"{english}{place}"), check.obligation, source))
    status = Fault(
        Text(f"{check.text.fr} (HTTP {exchange.status})", f"{check.text.en} (HTTP {exchange.status})"),
        check.obligation,
        check.source,
    )
    return faults or [status]


# --- the request as it would be right --------------------------------------------------------------


def _mended(expectation: Expectation, asked: Asked, failed: Sequence[Check]) -> str:
    """The client's own request with what failed put right; the model where a failed check has no remedy."""
    if any(not each.mend for each in failed):
        return expectation.model
    right = asked
    for check in failed:
        right = _with(right, check.mend)
    return request_text(right)


def _with(asked: Asked, mend: Tree) -> Asked:
    if "method" in mend:
        asked = replace(asked, method=mend["method"])
    if "path" in mend:
        asked = replace(asked, path=mend["path"])
    for name, value in mend.get("query", {}).items():
        asked = replace(asked, query=(*((key, old) for key, old in asked.query if key != name), (name, value)))
    for name, value in mend.get("header", {}).items():
        if name == "Authorization":
            asked = replace(asked, authorized=True)
            continue
        kept = {key: old for key, old in asked.headers.items() if key.lower() != name.lower()}
        asked = replace(asked, headers={**kept, name: value})
    if mend.get("body") and isinstance(asked.tree, dict):
        tree = copy.deepcopy(asked.tree)
        for path, value in mend["body"].items():
            change(tree, path, value)
        asked = replace(asked, body=json.dumps(tree, ensure_ascii=False).encode())
    if asked.media_type == FORM:
        asked = replace(asked, body="&".join(f"{name}={value}" for name, value in asked.query).encode())
    return asked


_TOLD = ("accept", "content-type", "if-match", "if-none-match", "prefer", "if-none-exist")


def request_text(asked: Asked) -> str:
    """A request for people: what matters of its headers, its body indented."""
    lines = [asked.line]
    if asked.authorized:
        lines.append("Authorization: Bearer …")
    lines += [f"{name}: {value}" for name, value in asked.headers.items() if name.lower() in _TOLD]
    return "\n".join([*lines, "", shown(asked.body, asked.media_type, set())] if asked.body else lines)


# --- profiles.yaml --------------------------------------------------------------------------------


@cache
def profiles() -> Mapping[str, Profile]:
    """The profiles that come with the suite, by name."""
    return read_profiles(files("dmp_fhir.conformance.clients").joinpath("profiles.yaml").read_text("utf-8"))


def read_profiles(text: str) -> Mapping[str, Profile]:
    """Profiles from YAML; BadProfile for what this module does not know."""
    try:
        tree = read_yaml(text)
        common = tuple(_check(each, "common", None) for each in tree["common"])
        known = {name: _expectation(name, each, common) for name, each in tree["exchanges"].items()}
        return {
            name: Profile(
                name,
                Text(**each["title"]),
                tuple(replace(known[one], obligation=obligation) for one, obligation in each["exchanges"].items()),
            )
            for name, each in tree["profiles"].items()
        }
    except (KeyError, TypeError, AttributeError, yaml.YAMLError, BadPath, re.error) as fault:
        raise BadProfile(f"profiles: {type(fault).__name__}: {fault}") from fault


def _expectation(name: str, tree: Tree, common: tuple[Check, ...]) -> Expectation:
    if unknown := set(tree) - {"title", "source", "recognised", "checks", "common", "model"}:
        raise BadProfile(f"{name}: unknown {', '.join(sorted(unknown))}")
    source = Source(*tree["source"])
    for each in tree["recognised"]:
        if unknown := set(each) - {"methods", "path", "body", "query", "text"}:
            raise BadProfile(f"{name}: recognised: unknown {', '.join(sorted(unknown))}")
        re.compile(each["path"])
        for path in each.get("body", ()):
            check_path(path)
    checks = tuple(_check(each, name, source) for each in tree["checks"])
    if tree.get("common", True):
        checks += common
    return Expectation(name, Text(**tree["title"]), "SHALL", source, tuple(tree["recognised"]), checks, tree["model"])


def _check(tree: Tree, where: str, source: Source | None) -> Check:
    kind = next(iter(tree))
    if kind not in _CHECKS or (unknown := set(tree) - {kind} - _MORE):
        raise BadProfile(f"{where}: unknown {kind if kind not in _CHECKS else ', '.join(sorted(unknown))}")
    if kind == "body":
        check_path(tree[kind])
    obligation = tree.get("obligation", "SHALL")
    if obligation not in OBLIGATIONS:
        raise BadProfile(f"{where}: {obligation} is no obligation")
    pattern = re.compile(tree["matches"]) if "matches" in tree else None
    cited = Source(*tree["source"]) if "source" in tree else source
    if cited is None:
        raise BadProfile(f"{where}: {kind} has no source")
    return Check(kind, tree[kind], pattern, Text(**tree["text"]), obligation, cited, tree.get("mend", {}))
