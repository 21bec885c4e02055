"""Checks of an answer: each verb of the `expect` lists, what it found, and the sentence that says so.

A check is a mapping whose first key is its verb. `require_known` refuses what this module does not know, when scenarios
are loaded; `judge` says what holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dmp_fhir.conformance.client import Exchange
from dmp_fhir.conformance.paths import evaluate, text_of
from dmp_fhir.conformance.templates import Scope

Tree = dict[str, Any]
MOST_SHOWN = 300
_MATCHES = "entry.where(search.mode != 'include' and search.mode != 'outcome').resource"
_COMPARISONS = {
    "is",
    "set",
    "contains",
    "excludes",
    "count",
    "exists",
    "matches",
    "any",
    "at_least",
    "at_most",
    "ascending",
    "descending",
}


class BadCheck(ValueError):
    """A check that this module does not know; the text says which."""


@dataclass(frozen=True)
class Finding:
    """Whether one check held, said in both languages."""

    ok: bool
    fr: str
    en: str

    def in_language(self, language: str) -> str:
        return self.fr if language == "fr" else self.en


@dataclass(frozen=True)
class Answers:
    """The answer to judge and the named ones before it."""

    exchange: Exchange
    named: Mapping[str, Exchange]
    scope: Scope


Judge = Callable[[Answers, Any, Mapping[str, Any]], Finding]


def judge(answers: Answers, check: Mapping[str, Any]) -> Finding:
    """What a check finds; an answer that can't be read fails it."""
    verb = next(iter(check))
    said = {name: answers.scope.fill(value) for name, value in check.items()}
    return _VERBS[verb][0](answers, said[verb], said)


def require_known(check: Any) -> None:
    """BadCheck unless the check is one of this module's."""
    if not isinstance(check, Mapping) or not check:
        raise BadCheck(f"{check!r} is not a check")
    verb = next(iter(check))
    if verb not in _VERBS:
        raise BadCheck(f"there is no check {verb!r}; there are {', '.join(_VERBS)}")
    if unknown := set(check) - {verb} - _VERBS[verb][1]:
        raise BadCheck(f"{verb}: unknown {', '.join(sorted(unknown))}")
    if verb in ("path", "header") and len(set(check) & _COMPARISONS) != 1:
        raise BadCheck(f"{verb}: one of {', '.join(sorted(_COMPARISONS))} is expected")
    if verb == "issue" and not set(check["issue"]) <= {"severity", "code", "expression", "xds", "rule", "text"}:
        raise BadCheck("issue: severity, code, expression, xds, rule or text")
    if verb == "same_as" and check.get("of", "body") not in _PARTS:
        raise BadCheck(f"same_as: of is one of {', '.join(_PARTS)}")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…") or "∅"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _finding(ok: bool, what_fr: str, what_en: str, wanted: Any, got: Any) -> Finding:
    if ok:
        return Finding(True, f"{what_fr} : {_short(wanted)}", f"{what_en}: {_short(wanted)}")
    return Finding(
        False,
        f"{what_fr} : attendu {_short(wanted)}, reçu {_short(got)}",
        f"{what_en}: expected {_short(wanted)}, got {_short(got)}",
    )


# --- HTTP -----------------------------------------------------------------------------------------


def _status(answers: Answers, wanted: Any, _: Mapping[str, Any]) -> Finding:
    status = answers.exchange.status
    ok = any(
        status // 100 == int(each[0]) if isinstance(each, str) and each.endswith("xx") else status == int(each)
        for each in _listed(wanted)
    )
    return _finding(ok, "Statut HTTP", "HTTP status", wanted, answers.exchange.fault or status)


def _header(answers: Answers, name: str, said: Mapping[str, Any]) -> Finding:
    value = answers.exchange.header(name)
    return _compare(f"En-tête {name}", f"Header {name}", [value] if value else [], said)


def _media(answers: Answers, wanted: str, _: Mapping[str, Any]) -> Finding:
    got = answers.exchange.media_type
    return _finding(got == wanted, "Type du corps", "Type of the body", wanted, got)


def _empty(answers: Answers, wanted: bool, _: Mapping[str, Any]) -> Finding:
    size = len(answers.exchange.content)
    return _finding((size == 0) == wanted, "Corps vide", "Empty body", wanted, f"{size} octets / bytes")


def _content(answers: Answers, name: str, _: Mapping[str, Any]) -> Finding:
    ok = answers.exchange.content == answers.scope.content(name)
    got = answers.exchange.content.decode("utf-8", "replace")
    return _finding(ok, "Octets du document", "Bytes of the document", name, got)


def _says(answers: Answers, wanted: Any, _: Mapping[str, Any]) -> Finding:
    text = answers.exchange.content.decode("utf-8", "replace")
    missing = [each for each in map(text_of, _listed(wanted)) if each not in text]
    return _finding(not missing, "Texte présent", "Text that is there", wanted, text)


def _silent(answers: Answers, unwanted: Any, _: Mapping[str, Any]) -> Finding:
    text = answers.exchange.content.decode("utf-8", "replace") + repr(dict(answers.exchange.headers))
    told = [each for each in map(str, _listed(unwanted)) if each in text]
    return Finding(
        not told,
        f"La réponse ne dit rien de {_short(unwanted)}" if not told else f"La réponse révèle {_short(told)}",
        f"The answer says nothing of {_short(unwanted)}" if not told else f"The answer reveals {_short(told)}",
    )


# --- resources ------------------------------------------------------------------------------------


def _resource(answers: Answers, wanted: str, _: Mapping[str, Any]) -> Finding:
    tree = answers.exchange.tree
    got = tree.get("resourceType") if tree else answers.exchange.media_type or "rien / nothing"
    return _finding(got == wanted, "Ressource", "Resource", wanted, got)


def _path(answers: Answers, path: str, said: Mapping[str, Any]) -> Finding:
    found = evaluate(path, answers.exchange.tree or {})
    return _compare(path, path, found, said)


def _compare(fr: str, en: str, found: list[Any], said: Mapping[str, Any]) -> Finding:
    how = next(iter(set(said) & _COMPARISONS))
    wanted = said[how]
    texts = [text_of(each) if not isinstance(each, dict) else each for each in found]
    wishes = [text_of(each) if not isinstance(each, dict) else each for each in _listed(wanted)]
    ok = _HOLDS[how](texts, wishes, wanted)
    suffix = "" if how == "is" else f" ({how})"
    return _finding(ok, fr + suffix, en + suffix, wanted, texts)


_HOLDS: dict[str, Callable[[list[Any], list[Any], Any], bool]] = {
    "is": lambda texts, wishes, _: texts == wishes,
    "set": lambda texts, wishes, _: sorted(map(str, texts)) == sorted(map(str, wishes)),
    "contains": lambda texts, wishes, _: all(each in texts for each in wishes),
    "excludes": lambda texts, wishes, _: not any(each in texts for each in wishes),
    "count": lambda texts, _, wanted: len(texts) == wanted,
    "exists": lambda texts, _, wanted: bool(texts) == wanted,
    "matches": lambda texts, _, wanted: bool(texts) and all(re.fullmatch(wanted, str(each)) for each in texts),
    "any": lambda texts, _, wanted: any(re.fullmatch(wanted, str(each)) for each in texts),
    "at_least": lambda texts, _, wanted: len(texts) == 1 and _number(texts[0]) >= wanted,
    "at_most": lambda texts, _, wanted: len(texts) == 1 and _number(texts[0]) <= wanted,
    "ascending": lambda texts, _, wanted: (bool(texts) and texts == sorted(texts)) == wanted,
    "descending": lambda texts, _, wanted: (bool(texts) and texts == sorted(texts, reverse=True)) == wanted,
}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


# --- searches -------------------------------------------------------------------------------------


def _total(answers: Answers, wanted: int, _: Mapping[str, Any]) -> Finding:
    found = [text_of(each) for each in evaluate("total", answers.exchange.tree or {})]
    return _finding(found == [str(wanted)], "Bundle.total", "Bundle.total", wanted, found)


def references(exchange: Exchange, path: str = _MATCHES) -> list[str]:
    """`Type/id` of the resources at a path of a bundle."""
    found = evaluate(path, exchange.tree or {})
    return [f"{each.get('resourceType')}/{_one(each.get('id'))}" for each in found if isinstance(each, dict)]


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def named(scope: Scope, names: Any) -> list[str]:
    """The references of documents and lists said by their names: `report`, `report.set`."""
    return [str(scope.value(each if "." in each else f"{each}.reference")) for each in _listed(names)]


def _found(answers: Answers, names: Any, _: Mapping[str, Any]) -> Finding:
    wanted, got = named(answers.scope, names), references(answers.exchange)
    ok = answers.exchange.status == 200 and sorted(wanted) == sorted(got)
    return _searched(ok, "Trouvé", "Found", names, wanted, got)


def _ordered(answers: Answers, names: Any, _: Mapping[str, Any]) -> Finding:
    wanted, got = named(answers.scope, names), references(answers.exchange)
    return _searched(wanted == got, "Trouvé, dans l'ordre", "Found, in order", names, wanted, got)


def _includes(answers: Answers, names: Any, _: Mapping[str, Any]) -> Finding:
    wanted = named(answers.scope, names)
    got = references(answers.exchange, "entry.where(search.mode = 'include').resource")
    return _searched(sorted(wanted) == sorted(got), "Inclus", "Included", names, wanted, got)


def _among(answers: Answers, names: Any, _: Mapping[str, Any]) -> Finding:
    wanted, got = named(answers.scope, names), references(answers.exchange)
    return _searched(set(wanted) <= set(got), "Parmi les résultats", "Among the results", names, wanted, got)


def _absent(answers: Answers, names: Any, _: Mapping[str, Any]) -> Finding:
    """A sound searchset with none of them, neither found nor included."""
    wanted = named(answers.scope, names)
    got = [each for each in references(answers.exchange, "entry.resource") if each in wanted]
    bundle = (answers.exchange.tree or {}).get("resourceType") == "Bundle"
    ok = answers.exchange.status == 200 and bundle and not got
    return _finding(ok, "Absent", "Absent", names, got or answers.exchange.status)


def _searched(ok: bool, fr: str, en: str, names: Any, wanted: list[str], got: list[str]) -> Finding:
    if ok:
        return Finding(True, f"{fr} : {_short(names)}", f"{en}: {_short(names)}")
    return Finding(
        False,
        f"{fr} : attendu {_short(names)} ({_short(wanted)}), reçu {_short(got)}",
        f"{en}: expected {_short(names)} ({_short(wanted)}), got {_short(got)}",
    )


# --- refusals -------------------------------------------------------------------------------------


def _issue(answers: Answers, wanted: Mapping[str, str], _: Mapping[str, Any]) -> Finding:
    issues = evaluate("issue", answers.exchange.tree or {})
    issues += evaluate("entry.resource.ofType(OperationOutcome).issue", answers.exchange.tree or {})
    issues += evaluate("entry.response.outcome.issue", answers.exchange.tree or {})
    ok = any(all(_issue_says(each, name, str(value)) for name, value in wanted.items()) for each in issues)
    got = [_issue_summary(each) for each in issues] or answers.exchange.status
    wish = " ".join(f"{name}={value}" for name, value in wanted.items())
    return _finding(ok, "OperationOutcome.issue", "OperationOutcome.issue", wish, got)


def _issue_says(issue: Tree, name: str, value: str) -> bool:
    if name in ("xds", "rule"):
        return value in evaluate("details.coding.code", issue)
    if name == "text":
        said = evaluate("details.text", issue) + evaluate("diagnostics", issue)
        return any(value in str(each) for each in said)
    if name == "expression":
        return any(value in str(each) for each in evaluate("expression", issue))
    return value in evaluate(name, issue)


def _issue_summary(issue: Tree) -> str:
    parts = evaluate("severity", issue) + evaluate("code", issue) + evaluate("details.coding.code", issue)
    return " ".join(map(str, parts + evaluate("expression", issue)))


def _explained(answers: Answers, wanted: bool, _: Mapping[str, Any]) -> Finding:
    """An OperationOutcome with an error that a person can read."""
    tree = answers.exchange.tree or {}
    errors = [
        each
        for each in evaluate("issue", tree)
        if evaluate("severity", each)[:1] in (["error"], ["fatal"])
        and any(len(str(text)) >= 10 for text in evaluate("details.text", each) + evaluate("diagnostics", each))
    ]
    ok = (tree.get("resourceType") == "OperationOutcome" and bool(errors)) == wanted
    got = answers.exchange.content.decode("utf-8", "replace")
    what = "OperationOutcome avec une erreur et un texte", "OperationOutcome with an error and a text"
    return _finding(ok, *what, wanted, got)


# --- comparisons with an answer before ------------------------------------------------------------

_PARTS: dict[str, Callable[[Exchange], Any]] = {
    "body": lambda exchange: exchange.content,
    "tree": lambda exchange: exchange.tree,
    "matches": lambda exchange: sorted(references(exchange)),
    "order": references,
    "total": lambda exchange: [text_of(each) for each in evaluate("total", exchange.tree or {})],
    "status": lambda exchange: exchange.status,
    "issues": lambda exchange: [
        evaluate("code", each) + evaluate("details.coding.code", each) + evaluate("diagnostics", each)
        for each in evaluate("issue", exchange.tree or {})
    ],
}


def _same_as(answers: Answers, name: str, said: Mapping[str, Any]) -> Finding:
    part = said.get("of", "body")
    other = answers.named.get(name)
    if other is None:
        return Finding(False, f"L'étape {name} n'a pas eu lieu", f"The step {name} did not happen")
    wanted, got = _PARTS[part](other), _PARTS[part](answers.exchange)
    ok = wanted == got and (part == "status" or answers.exchange.status > 0)
    what = f"Comme la réponse « {name} » ({part})", f"As the answer '{name}' ({part})"
    if ok:
        return Finding(True, *what)
    return _finding(False, *what, _readable(wanted), _readable(got))


def _differs_from(answers: Answers, name: str, said: Mapping[str, Any]) -> Finding:
    same = _same_as(answers, name, said)
    ok = not same.ok and name in answers.named
    return Finding(ok, f"Autre réponse que « {name} »", f"Another answer than '{name}'")


def _readable(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


_VERBS: dict[str, tuple[Judge, set[str]]] = {
    "status": (_status, set()),
    "header": (_header, _COMPARISONS),
    "media": (_media, set()),
    "empty": (_empty, set()),
    "content": (_content, set()),
    "says": (_says, set()),
    "silent": (_silent, set()),
    "resource": (_resource, set()),
    "path": (_path, _COMPARISONS),
    "total": (_total, set()),
    "found": (_found, set()),
    "ordered": (_ordered, set()),
    "includes": (_includes, set()),
    "among": (_among, set()),
    "absent": (_absent, set()),
    "issue": (_issue, set()),
    "explained": (_explained, set()),
    "same_as": (_same_as, {"of"}),
    "differs_from": (_differs_from, {"of"}),
}
