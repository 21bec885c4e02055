"""Runs scenarios against a server: requests, checks, shared setups, cleaning up."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from dmp_fhir.conformance.checks import Answers, Finding, judge
from dmp_fhir.conformance.client import FHIR_JSON, FHIR_XML, Exchange, send
from dmp_fhir.conformance.config import Config
from dmp_fhir.conformance.paths import evaluate, text_of
from dmp_fhir.conformance.results import BLOCKED, FAILED, SKIPPED, CaseResult, Report, StepResult
from dmp_fhir.conformance.scenarios import Case, Given, Scenario, Step, Suite, Text
from dmp_fhir.conformance.templates import BadTemplate, Scope, change
from dmp_fhir.conformance.tokens import NoToken, Tokens

Tree = dict[str, Any]
Observer = Callable[[CaseResult], None]
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
NOBODY = "nobody"
_MEDIA = {"json": FHIR_JSON, "xml": FHIR_XML}
_ACCEPT = _MEDIA | {"any": "*/*"}


class _Blocked(Exception):
    """What a scenario needs before it begins was not to be had."""

    def __init__(self, fr: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(fr, en)


class Runner:
    """One run of some scenarios. `observe` is told of each case as it ends; `jobs` scenarios are done at once. With
    `fail_fast` no case begins after one has not passed; the report then holds what was done."""

    def __init__(
        self,
        config: Config,
        suite: Suite,
        *,
        tokens: Tokens | None = None,
        session: requests.Session | None = None,
        observe: Observer = lambda result: None,
        jobs: int = 2,
        fail_fast: bool = False,
        run: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config, self.suite, self.jobs = config, suite, jobs
        self.session = session or requests.Session()
        self.tokens = tokens or Tokens(self.session)
        self.observe = observe
        self.fail_fast, self._failed = fail_fast, False
        self.run_id = run or secrets.token_hex(5)
        # A minute ago: decisions are in force at once, whatever little the clocks differ.
        self.now = datetime.fromtimestamp(clock() - 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._givens: dict[str, _Performer | _Blocked] = {}
        self._locks: dict[str, threading.Lock] = {name: threading.Lock() for name in suite.givens}

    def run(self, scenarios: Sequence[Scenario]) -> Report:
        """Run them all; those that must be alone come after the others."""
        started = time.time()
        together = [case for each in scenarios if not each.alone for case in each.cases()]
        alone = [case for each in scenarios if each.alone for case in each.cases()]
        if self.jobs > 1:
            with ThreadPoolExecutor(self.jobs) as pool:
                tried = list(pool.map(self._try, together))
        else:
            tried = [self._try(each) for each in together]
        tried += [self._try(each) for each in alone]
        results = [each for each in tried if each is not None]
        for given in self._givens.values():
            if isinstance(given, _Performer):
                given.clean_up()
        return Report(
            self.config.title,
            self.config.base_url,
            self.run_id,
            started,
            time.time(),
            results,
            {name: text for name, text in self.suite.groups.items() if any(each.group == name for each in scenarios)},
            self._software(),
            self.tokens.secrets(),
        )

    def _software(self) -> str:
        """What the server says it is."""
        answer = send(
            self.session, "GET", f"{self.config.base_url}/metadata", {"Accept": FHIR_JSON}, b"", self.config.timeout_s
        )
        found = evaluate("software.name", answer.tree or {}) + evaluate("software.version", answer.tree or {})
        return " ".join(map(str, found))

    def _try(self, case: Case) -> CaseResult | None:
        """The result of a case; None when the run ended before it."""
        if self.fail_fast and self._failed:
            return None
        started = time.monotonic()
        result = CaseResult(case)
        if reason := self._left_out(case.scenario):
            result.outcome, result.reason = SKIPPED, reason
        else:
            self._perform(case, result)
        self._failed |= result.outcome in (FAILED, BLOCKED)
        result.seconds = time.monotonic() - started
        self.observe(result)
        return result

    def _left_out(self, scenario: Scenario) -> Text | None:
        """Why the configuration leaves a scenario out."""
        given = self.suite.givens.get(scenario.given or "")
        needs = scenario.needs | (given.needs if given else frozenset())
        if "xml" in self.config.skip and scenario.formats == ("xml",):
            needs |= {"xml"}
        if skipped := sorted(needs & self.config.skip):
            names = ", ".join(skipped)
            return Text(f"La configuration laisse de côté : {names}", f"The configuration leaves out: {names}")
        missing = sorted(scenario.personas() - self.config.personas.keys())
        missing += sorted(scenario.patients() - self.config.patients.keys())
        if missing:
            names = ", ".join(missing)
            return Text(f"La configuration ne connaît pas : {names}", f"The configuration does not know: {names}")
        return None

    def _perform(self, case: Case, result: CaseResult) -> None:
        performer = None
        try:
            above = self._given(case.scenario.given)
            scope = Scope(self.run_id, case.id, above.scope if above else self._scope())
            scope.variables |= scope.fill(dict(case.row))
            performer = _Performer(self, scope, case.scenario.persona, case.form, dict(above.named) if above else {})
            for step in case.scenario.steps:
                performer.do(step)
        except _Blocked as blocked:
            result.outcome, result.reason = BLOCKED, blocked.text
        except NoToken as fault:
            result.outcome, result.reason = BLOCKED, Text(f"Pas de jeton : {fault}", f"No token: {fault}")
        except BadTemplate as fault:
            # Something that an answer should have given is not there.
            result.outcome = FAILED if performer and not all(each.ok for each in performer.steps) else BLOCKED
            result.reason = Text(f"Une réponse ne donne pas ce qu'il faut : {fault}", f"An answer lacks: {fault}")
        except Exception as fault:  # an answer of a shape that nobody thought of must not end the run
            said = f"{type(fault).__name__}: {fault}"
            result.outcome = BLOCKED
            result.reason = Text(f"La suite ne comprend pas la réponse ({said})", f"The suite was puzzled ({said})")
        finally:
            if performer is not None:
                result.steps = list(performer.steps)
                performer.clean_up()
        if result.failures and result.outcome != BLOCKED:
            result.outcome = FAILED

    def _scope(self) -> Scope:
        return Scope(self.run_id, "", None, self.config.variables() | {"now": self.now})

    def _given(self, name: str | None) -> _Performer | None:
        """The shared setup, done once; _Blocked when it failed."""
        if name is None:
            return None
        with self._locks[name]:
            if name not in self._givens:
                self._givens[name] = self._set_up(self.suite.givens[name])
        given = self._givens[name]
        if isinstance(given, _Blocked):
            raise given
        return given

    def _set_up(self, given: Given) -> _Performer | _Blocked:
        scope = Scope(self.run_id, f"given {given.name}", self._scope())
        performer = _Performer(self, scope, "author", "json", {})
        try:
            for step in given.steps:
                performer.do(step)
                if not performer.steps[-1].ok:
                    failure = next(each for each in performer.steps[-1].findings if not each.ok)
                    raise _Blocked(failure.fr, failure.en)
            for name, value in given.variables.items():
                scope.put(name, scope.fill(value))
        except (_Blocked, NoToken, BadTemplate) as fault:
            performer.clean_up()
            text = fault.text if isinstance(fault, _Blocked) else Text(str(fault), str(fault))
            return _Blocked(
                f"La préparation commune « {given.name} » a échoué : {text.fr}",
                f"The shared setup '{given.name}' failed: {text.en}",
            )
        return performer


class _Performer:
    """Does the steps of one case, or of a shared setup."""

    def __init__(self, runner: Runner, scope: Scope, persona: str, form: str, named: dict[str, Exchange]) -> None:
        self.runner, self.config, self.scope = runner, runner.config, scope
        self.persona, self.form, self.named = persona, form, named
        self.steps: list[StepResult] = []
        self._fresh: dict[str, str] = {}
        self._to_clean: list[Callable[[], Any]] = []

    def do(self, step: Step) -> None:
        """Do a step; its exchanges and findings are added to `steps`."""
        said = step.said
        if step.action == "publish":
            self._publish(said)
        elif step.action == "decide":
            self._decide(said)
        elif step.action == "end":
            reference = str(self.scope.value(f"{said['end']}.reference"))
            self._end(reference, str(self.scope.fill(said.get("as", "patient"))))
        else:
            self._request(said)
        if said.get("name"):
            self.named[str(said["name"])] = self.steps[-1].exchange
        self._judge(step)

    def clean_up(self) -> None:
        """Take away what was made; whatever this answers."""
        done = len(self.steps)
        for clean in reversed(self._to_clean):
            clean()
        del self.steps[done:]

    def _to_take_away(self, answer: Exchange, persona: str) -> None:
        """What an answer says was created: documents and decisions do not outlive the scenario."""
        made = [(str(answer.status), answer.header("Location"))]
        for response in evaluate("entry.response", answer.tree or {}):
            said = evaluate("status", response)[:1] + evaluate("location", response)[:1]
            made += [(text_of(said[0]), text_of(said[1]))] if len(said) == 2 else []
        for status, location in made:
            if status.startswith("201") and "DocumentReference/" in location:
                self._to_clean.append(partial(self._withdraw, _address(location)["id"], persona))
            elif status.startswith("201") and "Consent/" in location:
                self._to_clean.append(partial(self._end, _address(location)["reference"], persona))

    # --- requests ---------------------------------------------------------------------------------

    def _request(self, said: Mapping[str, Any]) -> None:
        method = next(each for each in said if each.isupper())
        persona = str(self.scope.fill(said.get("as", self.persona)))
        accept = str(self.scope.fill(said.get("accept", self.form)))
        headers = {"Accept": _ACCEPT.get(accept, accept)}
        body, content_type = self._body(said, persona)
        if content_type:
            headers["Content-Type"] = content_type
        for name, value in self.scope.fill(said.get("headers", {})).items():
            if value is None:
                headers.pop(name, None)
            else:
                headers[name] = str(value)
        url = self._url(str(self.scope.fill(said[method])), self.scope.fill(said.get("query", {})))
        answer = self.exchange(method, url, headers, body, persona)
        if method == "POST":
            self._to_take_away(answer, persona)
        for name, wanted in said.get("save", {}).items():
            self._save(name, wanted)

    def exchange(self, method: str, url: str, headers: dict[str, str], body: bytes, persona: str) -> Exchange:
        """One exchange as a persona, kept as a step."""
        headers = dict(self.config.headers) | headers
        # A token goes to the server under test and nowhere else.
        if persona != NOBODY and "Authorization" not in headers and _origin(url) == _origin(self.config.base_url):
            headers["Authorization"] = f"Bearer {self._token(persona)}"
        answer = send(self.runner.session, method, url, headers, body, self.config.timeout_s)
        self.steps.append(StepResult(answer, persona))
        return answer

    def _token(self, name: str) -> str:
        persona = self.config.personas.get(name)
        if persona is None:
            raise NoToken(f"{name}?")
        if not persona.fresh:
            return self.runner.tokens.token(persona)
        if name not in self._fresh:
            self._fresh[name] = self.runner.tokens.token(persona)
        return self._fresh[name]

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        base = self.config.base_url
        url = (
            path if path.startswith(("http://", "https://")) else f"{base}/{path.lstrip('/')}" if path != "/" else base
        )
        text = _encoded(query)
        return url + (("&" if "?" in url else "?") + text if text else "")

    def _body(self, said: Mapping[str, Any], persona: str) -> tuple[bytes, str]:
        content_type = str(self.scope.fill(said.get("content_type", "")))
        if "form" in said:
            return _encoded(self.scope.fill(said["form"])).encode(), content_type or FORM
        if "text" in said:
            return str(self.scope.fill(said["text"])).encode(), content_type
        if "json_patch" in said:
            return json.dumps(self.scope.fill(said["json_patch"]), ensure_ascii=False).encode(), JSON_PATCH
        if "body" not in said:
            return b"", content_type
        scope = self._for(persona, "main")
        return self._written(scope.fill(said["body"])), content_type or _MEDIA[self.form]

    def _for(self, persona: str, patient: str) -> Scope:
        """The scope in which a body is written: who writes, about whom."""
        more: Tree = {}
        if persona in self.config.personas:
            more["me"] = dict(self.config.personas[persona].fields)
        if patient in self.config.patients:
            more["subject"] = dict(self.config.patients[patient])
        return self.scope.local(**more)

    def _written(self, tree: Tree) -> bytes:
        if self.form == "xml" and isinstance(tree, dict) and "resourceType" in tree:
            from dmp_fhir.conformance.xml import write_xml

            return write_xml(tree)
        return json.dumps(tree, ensure_ascii=False).encode()

    def _save(self, name: str, wanted: Mapping[str, Any]) -> None:
        answer = self.steps[-1].exchange
        kind, where = next(iter(wanted.items()))
        value: Any
        if kind == "header":
            value = answer.header(where)
        else:
            found = evaluate(self.scope.fill(where), answer.tree or {})
            value = found[0] if found else None
        if value in (None, ""):
            self.steps[-1].findings.append(
                Finding(False, f"La réponse ne donne pas {where}", f"The answer does not give {where}")
            )
            return
        self.scope.put(name, value)

    def _judge(self, step: Step) -> None:
        if not self.steps:
            return
        last = self.steps[-1]
        for expectation in step.expectations:
            last.findings.append(judge(Answers(last.exchange, self.named, self.scope), expectation))

    # --- documents and decisions ------------------------------------------------------------------

    def _publish(self, said: Mapping[str, Any]) -> None:
        """A document by ITI-65 or ITI-105, read back; _Blocked when the server does not take it."""
        name = str(said["publish"])
        persona = str(self.scope.fill(said.get("as", self.persona)))
        author = str(self.scope.fill(said.get("author", persona)))
        scope = self._for(author, str(self.scope.fill(said.get("patient", "main")))).local(**{"@": name})
        self.scope.names.add(name)
        simple = self.scope.fill(said.get("by", self.config.feeding)) == "iti-105"
        kind = str(said.get("template", "simple" if simple else "lot"))
        tree = scope.fill({"$template": kind})
        document = tree if simple else tree["entry"][1]["resource"]
        for path, value in scope.fill(said.get("change", {})).items():
            change(document, path, value)
        for path, value in scope.fill(said.get("change_lot", {})).items():
            if not simple:  # what concerns the lot has no place in a simplified publish
                change(tree, path, value)
        media = _MEDIA[self.form]
        url = self.config.base_url + ("/DocumentReference" if simple else "")
        answer = self.exchange("POST", url, {"Accept": media, "Content-Type": media}, self._written(tree), persona)
        made = self._made(answer, simple)
        if made is None:
            raise _Blocked(
                f"Le document « {name} » n'est pas accepté : {answer.status} {_summary(answer)}",
                f"The document '{name}' is not accepted: {answer.status} {_summary(answer)}",
            )
        self._to_take_away(answer, persona)
        self.scope.variables[name] = made
        self._read_back(name, made, persona, unread=bool(said.get("unread")))

    def _made(self, answer: Exchange, simple: bool) -> Tree | None:
        if simple:
            location = answer.header("Location")
            if answer.status != 201 or "DocumentReference/" not in location:
                return None
            return _address(location)
        places = [str(each) for each in evaluate("entry.response.location", answer.tree or {})]
        statuses = [text_of(each) for each in evaluate("entry.response.status", answer.tree or {})]
        if answer.status != 200 or not statuses or not all(each.startswith("201") for each in statuses[:3]):
            return None
        documents = [each for each in places if "DocumentReference/" in each]
        sets = [each for each in places if "List/" in each]
        if not documents or not sets:
            return None
        return _address(documents[0]) | {"set": _address(sets[0])["reference"], "set_id": _address(sets[0])["id"]}

    def _read_back(self, name: str, made: Tree, persona: str, *, unread: bool) -> None:
        """The document is the one that was sent, and its content has an address."""
        if unread:
            return
        url = f"{self.config.base_url}/{made['reference']}"
        answer = self.exchange("GET", url, {"Accept": _MEDIA[self.form]}, b"", persona)
        tree = answer.tree or {}
        if answer.status != 200 or self.scope.uid(name) not in evaluate("masterIdentifier.value", tree):
            raise _Blocked(
                f"Le document « {name} » n'est pas relu tel qu'envoyé : {answer.status} {_summary(answer)}",
                f"The document '{name}' is not read back as sent: {answer.status} {_summary(answer)}",
            )
        addresses = evaluate("content.attachment.url", tree)
        if addresses:
            made["url"] = str(addresses[0])
            made["content"] = _address(made["url"])["reference"]
        version = evaluate("meta.versionId", tree)
        made["version"] = text_of(version[0]) if version else "1"

    def _withdraw(self, document_id: str, persona: str) -> None:
        """TD3.3c by the one who deposited it."""
        patch = json.dumps([{"op": "replace", "path": "/status", "value": "entered-in-error"}]).encode()
        url = f"{self.config.base_url}/DocumentReference/{document_id}"
        self.exchange("PATCH", url, {"Accept": FHIR_JSON, "Content-Type": JSON_PATCH}, patch, persona)

    def _decide(self, said: Mapping[str, Any]) -> None:
        """A Consent of the patient; it ends when the scenario does."""
        name, persona = str(said["decide"]), str(self.scope.fill(said.get("as", "patient")))
        scope = self._for(persona, str(self.scope.fill(said.get("patient", "main"))))
        scope = scope.local(**{"@": name, "kind": said["kind"], "decision": said.get("decision", "permit")})
        tree = scope.fill({"$template": "consent"})
        if "actor" in said:
            role = {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]
            }
            tree["provision"]["actor"] = [{"role": role, "reference": self.scope.fill(said["actor"])}]
        for path, value in scope.fill(said.get("change", {})).items():
            change(tree, path, value)
        headers = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON}
        url = f"{self.config.base_url}/Consent"
        answer = self.exchange("POST", url, headers, json.dumps(tree, ensure_ascii=False).encode(), persona)
        if answer.status == 201:
            self.scope.variables[name] = _address(answer.header("Location"))
            self._to_take_away(answer, persona)

    def _end(self, reference: str, persona: str) -> None:
        url = f"{self.config.base_url}/{reference}"
        tree = self.exchange("GET", url, {"Accept": FHIR_JSON}, b"", persona).tree
        if tree:
            body = json.dumps(tree | {"status": "inactive"}, ensure_ascii=False).encode()
            self.exchange("PUT", url, {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON}, body, persona)


def _address(location: str) -> Tree:
    """Type/id of a location, absolute or relative, with or without a version."""
    parts = location.partition("?")[0].partition("/_history/")[0].rstrip("/").split("/")
    return {"id": parts[-1], "reference": "/".join(parts[-2:])}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _encoded(query: Mapping[str, Any]) -> str:
    pairs = [(name, each) for name, value in query.items() for each in (value if isinstance(value, list) else [value])]
    return "&".join(f"{quote(str(name), safe=':._-')}={quote(text_of(value), safe='')}" for name, value in pairs)


def _summary(answer: Exchange) -> str:
    """The first error of an answer, short."""
    said = evaluate("issue.diagnostics", answer.tree or {}) or evaluate("issue.details.text", answer.tree or {})
    return answer.fault or (str(said[0])[:200] if said else "")
