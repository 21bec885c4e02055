"""Random sequences of acts by several people, on the server and on the reference model: never a difference (TF-194)."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.support.server import TickingClock
from tests.writing.api import JSON, Answer, InProcess
from tests.writing.campaigns import Figures, seed_of
from tests.writing.lots import CLAIRE_INS, Tree, archived, body, content_of, oid, simple, status, token_of
from tests.writing.model import (
    AUTHORISED,
    BLOCKED,
    EVERYBODY,
    HIDDEN,
    MASKED,
    PATIENT,
    PROFESSIONALS,
    READERS,
    STRANGER,
    TREATING,
    Document,
    Model,
)

PERSONAS = {
    TREATING: "dr-moreau",
    AUTHORISED: "dr-petit",
    BLOCKED: "dr-roux",
    STRANGER: "dr-colin",
    PATIENT: "patient-claire-martin",
}
RPPS = {TREATING: "99700000112", AUTHORISED: "99700000146", BLOCKED: "99700000138", STRANGER: "99700000120"}
LABELS = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
NORMAL = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}]}

_people = st.sampled_from(EVERYBODY)
_professionals = st.sampled_from(PROFESSIONALS)
_which = st.integers(0, 30)
_flags = st.booleans()


def label(code: str) -> Tree:
    return {"coding": [{"system": LABELS, "code": code}]}


def labels_of(tree: Tree) -> set[str]:
    codes = {coding["code"] for each in tree["securityLabel"] for coding in each["coding"]}
    return codes & {MASKED, HIDDEN}


class Comparison(RuleBasedStateMachine):
    """Both sides do the same acts; documents of one run are told apart by a prefix."""

    api: ClassVar[InProcess]
    clock: ClassVar[TickingClock]
    steps: ClassVar[int] = 0
    runs: ClassVar[Any] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.prefix = f"run-{next(self.runs)}"
        self.ids: dict[str, str] = {}
        self.bodies: dict[str, bytes] = {}
        self.clock.advance(seconds=2)
        self.began = self.clock.now // 1000 * 1000

    # --- acts -----------------------------------------------------------------------------------------

    @rule(author=_professionals, hidden=_flags)
    def publish(self, author: str, hidden: bool) -> None:
        self._deposit(author, None, {HIDDEN} if hidden else set())

    @precondition(lambda self: self.model.documents)
    @rule(author=_professionals, which=_which)
    def replace(self, author: str, which: int) -> None:
        self._deposit(author, self._name(which), set())

    @precondition(lambda self: self.model.documents)
    @rule(which=_which)
    def publish_again(self, which: int) -> None:
        known = self.model.documents[self._name(which)]
        before = known.version
        answer = self._send(known.author, known.name)
        self._expect(answer, self.model.publish(known))
        assert known.version == before

    @precondition(lambda self: self.model.documents)
    @rule(who=_people, which=_which, flag=_flags)
    def archive(self, who: str, which: int, flag: bool) -> None:
        name = self._name(which)
        self._expect(self._patch(who, name, archived(flag)), self.model.archive(who, name, flag))

    @precondition(lambda self: self.model.documents)
    @rule(who=_people, which=_which)
    def withdraw(self, who: str, which: int) -> None:
        name = self._name(which)
        self._expect(self._patch(who, name, status("superseded")), self.model.withdraw(who, name))

    @precondition(lambda self: len(self.model.documents) > 2)
    @rule(who=_people, which=_which, by_patch=_flags)
    def delete(self, who: str, which: int, by_patch: bool) -> None:
        name = self._name(which)
        if by_patch:
            answer = self._patch(who, name, status("entered-in-error"))
        else:
            answer = self.api.send("DELETE", f"/DocumentReference/{self.ids[name]}", persona=PERSONAS[who])
        self._expect(answer, {204 if each == 200 and not by_patch else each for each in self.model.delete(who, name)})

    @precondition(lambda self: self.model.documents)
    @rule(who=_people, which=_which, flag=_flags)
    def mask(self, who: str, which: int, flag: bool) -> None:
        name = self._name(which)
        wanted = self.model.documents[name].labels - {MASKED} | ({MASKED} if flag else set())
        self._expect(self._patch(who, name, self._labels(wanted)), self.model.mask(who, name, flag))

    @precondition(lambda self: self.model.documents)
    @rule(who=_professionals, which=_which)
    def show(self, who: str, which: int) -> None:
        name = self._name(which)
        wanted = self.model.documents[name].labels - {HIDDEN}
        self._expect(self._patch(who, name, self._labels(wanted)), self.model.show(who, name))

    @precondition(lambda self: self.model.documents)
    @rule(who=_people, which=_which)
    def hide(self, who: str, which: int) -> None:
        name = self._name(which)
        wanted = self.model.documents[name].labels | {HIDDEN}
        self._expect(self._patch(who, name, self._labels(wanted)), self.model.hide(who, name))

    # --- looks ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.documents)
    @rule(who=_people, which=_which)
    def read(self, who: str, which: int) -> None:
        name = self._name(which)
        document = self.model.documents[name]
        answer = self.api.get(f"/DocumentReference/{self.ids[name]}", persona=PERSONAS[who])
        if not self.model.sees(who, name):
            self._expect(answer, {404})
            return
        self._expect(answer, {200})
        tree = answer.tree
        assert (tree["status"], int(tree["meta"]["versionId"])) == (document.status, document.version)
        assert labels_of(tree) == document.labels
        assert any(each.get("valueBoolean") for each in tree.get("extension", [])) == document.archived
        assert self.api.bytes_of(tree, persona=PERSONAS[who]) == document.content
        for version in range(1, document.version + 1):
            old = self.api.get(f"/DocumentReference/{self.ids[name]}/_history/{version}", persona=PERSONAS[who])
            assert old.status == 200

    @rule(who=_people, archives=_flags)
    def search(self, who: str, archives: bool) -> None:
        since = _instant(self.began)
        query = f"patient.identifier={CLAIRE_INS}&_lastUpdated=ge{since}&_count=100"
        answer = self._search(who, query + ("&isArchived=true,false" if archives else ""))
        expected = self.model.listed(who, archives=archives)
        if expected is None:
            self._expect(answer, {403})
            return
        assert answer.tree["total"] == len(expected)
        found = {each["resource"]["id"]: int(each["resource"]["meta"]["versionId"]) for each in _entries(answer)}
        assert found == {self.ids[name]: version for name, version in expected.items()}

    @precondition(lambda self: self.model.documents)
    @rule(who=_professionals, which=_which)
    def find_by_identifier(self, who: str, which: int) -> None:
        name = self._name(which)
        identifier = token_of(oid(name)).replace("|", "%7C")
        query = f"patient.identifier={CLAIRE_INS}&identifier={identifier}&isArchived=true,false"
        answer = self._search(who, query)
        found = [each["resource"]["id"] for each in _entries(answer)] if answer.status == 200 else []
        assert found == ([self.ids[name]] if self.model.found_by_id(who, name) else []), answer.content

    @invariant()
    def nobody_else_sees_more(self) -> None:
        type(self).steps += 1

    # --- how --------------------------------------------------------------------------------------------

    def _deposit(self, author: str, replaces: str | None, labels: set[str]) -> None:
        name = f"{self.prefix}-{len(self.bodies)}"
        tree = simple(name, content_of(name), oid(replaces) if replaces else None)
        tree["securityLabel"] = [NORMAL, *map(label, labels)]
        self.bodies[name] = body(tree).replace(RPPS[TREATING].encode(), RPPS[author].encode())
        answer = self._send(author, name)
        expected = self.model.publish(Document(name, author, content_of(name), set(labels), replaces))
        self._expect(answer, expected)
        if expected == {201}:
            self.ids[name] = answer.tree["id"]
            assert labels_of(answer.tree) == self.model.documents[name].labels

    def _send(self, author: str, name: str) -> Answer:
        path, content = "/DocumentReference", self.bodies[name]
        return self.api.send("POST", path, content, persona=PERSONAS[author], content_type=JSON)

    def _patch(self, who: str, name: str, change: Tree) -> Answer:
        return self.api.patch(self.ids[name], change, persona=PERSONAS[who])

    def _search(self, who: str, query: str) -> Answer:
        form = "application/x-www-form-urlencoded"
        path = "/DocumentReference/_search"
        return self.api.send("POST", path, query.encode(), persona=PERSONAS[who], content_type=form)

    def _name(self, which: int) -> str:
        return list(self.model.documents)[which % len(self.model.documents)]

    @staticmethod
    def _labels(wanted: set[str]) -> Tree:
        return {"op": "replace", "path": "/securityLabel", "value": [NORMAL, *map(label, sorted(wanted))]}

    @staticmethod
    def _expect(answer: Answer, statuses: set[int]) -> None:
        assert answer.status in statuses, (answer.status, statuses, answer.content[:400])


def _entries(answer: Answer) -> list[Tree]:
    return answer.tree.get("entry", [])  # type: ignore[no-any-return]


def _instant(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"


def compare(api: InProcess, clock: TickingClock, number: int, runs: int, acts: int, **more: Any) -> int:
    """Random sequences from a seed; how many steps were compared."""
    machine = type("Comparison", (Comparison,), {"api": api, "clock": clock})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    how = settings(
        max_examples=runs, stateful_step_count=acts, deadline=None, database=None, suppress_health_check=checks, **more
    )
    run_state_machine_as_test(seed(number)(lambda: machine()), settings=how)
    return machine.steps  # type: ignore[attr-defined,no-any-return]


def test_the_server_does_what_the_model_does(
    request: pytest.FixtureRequest, api: InProcess, clock: TickingClock
) -> None:
    assert compare(api, clock, seed_of(request), 15, 30) > 200


def _masks_hide_nothing(self: Model, who: str, name: str) -> bool:
    return who in READERS and self.documents[name].status != "entered-in-error"


def _anybody_archives(self: Model, who: str, name: str, flag: bool) -> set[int]:
    document = self.documents[name]
    return self._by_author(document.author, document, document.archived != flag, archived=flag)


@pytest.mark.parametrize(
    ("act", "wrong"),
    [("sees", _masks_hide_nothing), ("archive", _anybody_archives)],
)
def test_a_difference_is_noticed(
    request: pytest.FixtureRequest,
    api: InProcess,
    clock: TickingClock,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    wrong: object,
) -> None:
    """With a model that is wrong in one rule, the same comparison fails."""
    monkeypatch.setattr(Model, act, wrong)
    with pytest.raises(AssertionError):
        compare(api, clock, seed_of(request), 30, 40, phases=[Phase.generate])


@pytest.mark.campaign
def test_model_campaign(
    request: pytest.FixtureRequest, api: InProcess, seeded_url: str, clock: TickingClock, figures: Figures
) -> None:
    number = seed_of(request)
    steps = compare(api, clock, number, 500, 60)
    dialect = seeded_url.partition(":")[0]
    figures.add(f"random sequences against the model, {dialect}", f"{steps} steps, 0 differences", seed=number)
