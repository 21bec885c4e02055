"""What a rule is: a frozen value with its identity, its reason, its texts, and when it applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.algebra import Condition
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.relation import Caller, Relation, relation_of
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import Standing


class Effect(StrEnum):
    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put to the policy; `relation` is what links the caller to the record, emergencies aside."""

    context: AccessContext
    action: Action
    standing: Standing
    now_ms: int
    document: DocumentFacts | None = None
    target: ConsentTarget | None = None
    settings: PolicySettings = field(default=DEFAULT_SETTINGS)
    relation: Relation | None = field(init=False)

    def __post_init__(self) -> None:
        # Once for the question: most stages look at it.
        object.__setattr__(self, "relation", relation_of(self.context, self.standing, self.now_ms))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule on the caller, the act and the record. `reason` is the code that goes to the trace (AR-06).

    A `public` rule looks at the caller only, so its text may be answered (with `status`) without telling anything about
    the record; the others are answered by the coarse refusal.
    """

    id: str
    effect: Effect
    source: str
    fr: str
    en: str
    actions: frozenset[Action]
    when: Callable[[Asked], bool]
    reason: str | None = None
    also: tuple[str, ...] = ()
    public: bool = False
    status: int = 403

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.id, *self.also)


@dataclass(frozen=True, slots=True)
class DocumentRule:
    """A rule that refuses a document to somebody who may look into the record: absent from lists, 404 when read.

    It hides the documents of `when`, but for those of `unless`.
    """

    id: str
    source: str
    fr: str
    en: str
    when: Condition
    reason: str
    also: tuple[str, ...] = ()
    effect: Effect = Effect.DENY
    unless: Condition | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.id, *self.also)

    def hides(self, caller: Caller, document: DocumentFacts) -> bool:
        return self.when.holds(caller, document) and not (self.unless and self.unless.holds(caller, document))


def first(rules: tuple[Rule, ...], asked: Asked) -> Rule | None:
    """The first rule of a stage that applies."""
    action = asked.action
    for rule in rules:
        if action in rule.actions and rule.when(asked):
            return rule
    return None
