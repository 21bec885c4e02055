"""Conditions on a document that are both a Python test and a SQL clause, so that the two cannot drift apart.

`holds(caller, document)` answers for one document; `clause(caller, scope)` gives the same as SQL over the row
`scope.alias` of the table `document`: True, False, or a text with `:policy_...` parameters. SQL stays two-valued: no
operand is null. Words of the program (kinds, statuses) are written out, so that a database plans with them; what comes
from outside is bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dmp_fhir.policy.facts import DocumentFacts, key_of
from dmp_fhir.policy.relation import Caller

Sql = bool | str


@dataclass(slots=True)
class Scope:
    """The alias of the table and the parameters collected while a clause is written."""

    alias: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, name: str, value: object) -> str:
        """A parameter `:policy_<name>`; the same name always has the same value within one predicate."""
        key = f"policy_{name}"
        if self.parameters.setdefault(key, value) != value:
            key = f"policy_{name}_{len(self.parameters)}"
            self.parameters[key] = value
        return f":{key}"


class Condition(ABC):
    """A condition on a caller and a document."""

    @abstractmethod
    def holds(self, caller: Caller, document: DocumentFacts) -> bool: ...

    @abstractmethod
    def clause(self, caller: Caller, scope: Scope) -> Sql: ...

    def given(self, caller: Caller) -> Condition | bool:
        """What is left of the condition once the caller is known: for a caller in front of many documents."""
        return self

    def __and__(self, other: Condition) -> Condition:
        return All((*self.parts, other) if isinstance(self, All) else (self, other))

    def __or__(self, other: Condition) -> Condition:
        return Some((*self.parts, other) if isinstance(self, Some) else (self, other))

    def __invert__(self) -> Condition:
        return Negation(self)


@dataclass(frozen=True, slots=True)
class All(Condition):
    parts: tuple[Condition, ...]

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        for part in self.parts:  # noqa: SIM110 - a generator costs more than the conditions
            if not part.holds(caller, document):
                return False
        return True

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return join(" AND ", (part.clause(caller, scope) for part in self.parts))

    def given(self, caller: Caller) -> Condition | bool:
        left: list[Condition] = []
        for part in self.parts:
            known = part.given(caller)
            if known is False:
                return False
            if known is not True:
                left.append(known)
        return (left[0] if len(left) == 1 else All(tuple(left))) if left else True


@dataclass(frozen=True, slots=True)
class Some(Condition):
    parts: tuple[Condition, ...]

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        for part in self.parts:  # noqa: SIM110
            if part.holds(caller, document):
                return True
        return False

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return join(" OR ", (part.clause(caller, scope) for part in self.parts))

    def given(self, caller: Caller) -> Condition | bool:
        left: list[Condition] = []
        for part in self.parts:
            known = part.given(caller)
            if known is True:
                return True
            if known is not False:
                left.append(known)
        return (left[0] if len(left) == 1 else Some(tuple(left))) if left else False


@dataclass(frozen=True, slots=True)
class Negation(Condition):
    part: Condition

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        return not self.part.holds(caller, document)

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return negated(self.part.clause(caller, scope))

    def given(self, caller: Caller) -> Condition | bool:
        known = self.part.given(caller)
        return not known if isinstance(known, bool) else Negation(known)


@dataclass(frozen=True, slots=True)
class Known(Condition):
    """A condition on the caller alone: known before any row is read."""

    test: Callable[[Caller], bool]

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        return self.test(caller)

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return self.test(caller)

    def given(self, caller: Caller) -> Condition | bool:
        return self.test(caller)


@dataclass(frozen=True, slots=True)
class HasLabel(Condition):
    """The document carries this mask (TRE_A07); `column` is its flag in the table."""

    label: str
    column: str

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        return self.label in document.labels

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return f"{scope.alias}.{self.column}"


@dataclass(frozen=True, slots=True)
class HasStatus(Condition):
    status: str

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        return document.status == self.status

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return f"{scope.alias}.status = '{self.status}'"


@dataclass(frozen=True, slots=True)
class DepositedAfter(Condition):
    """Deposited after the instant that `limit` gives for the time of the request."""

    limit: Callable[[int], int]

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        return document.deposited_ms > self.limit(caller.now_ms)

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        return f"{scope.alias}.created > {scope.bind('deposited_after', self.limit(caller.now_ms))}"


@dataclass(frozen=True, slots=True)
class Authored(Condition):
    """One of these (kind, identifier) pairs, computed from the caller, is author of the document (AR-59, AR-70).

    A structure counts as author only when no person is named, unless `any_structure`. In SQL, persons and structures
    are compared with `document.author_key`, which costs a search next to nothing; the others are looked up.
    """

    who: Callable[[Caller], tuple[tuple[str, str], ...]]
    any_structure: bool = False

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        for kind, identifier in self.who(caller):
            if identifier in document.authors(kind) and (
                kind != "structure" or self.any_structure or not document.author_persons
            ):
                return True
        return False

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        who = self.who(caller)
        if not who:
            return False
        if self.any_structure or any(kind == "system" for kind, _ in who):
            return self._looked_up(who, caller, scope)
        column = f"{scope.alias}.author_key"
        alone = " OR ".join(f"{column} = {scope.bind(f'author_{kind}', key_of(kind, name))}" for kind, name in who)
        among = " OR ".join(
            f"REPLACE({column}, {scope.bind(f'among_{kind}', f'|{key_of(kind, name)}|')}, '') <> {column}"
            for kind, name in who
        )
        # Several authors begin with a bar, which comes after every letter.
        return f"({alone} OR ({column} >= '|' AND ({among})))"

    def _looked_up(self, who: tuple[tuple[str, str], ...], caller: Caller, scope: Scope) -> str:
        record = scope.bind("record", caller.standing.record_id)
        own = " OR ".join(
            f"(pa.kind = '{kind}' AND pa.identifier = {scope.bind(f'own_{kind}', name)})" for kind, name in who
        )
        return (
            f"{scope.alias}.id IN (SELECT pa.document_id FROM document_author pa"
            f" WHERE pa.record_id = {record} AND ({own}))"
        )


@dataclass(frozen=True, slots=True)
class DeniedByMatrix(Condition):
    """The habilitation matrix in force does not open the type of the document to the caller (AR-58). A type that is in
    none of its lists is opened to nobody (D10)."""

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        row = caller.settings.matrix.row(caller.context.actor_category, caller.context.profession)
        return row is None or document.type_unknown or not row.cell(document.type_code or "").read

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        row = caller.settings.matrix.row(caller.context.actor_category, caller.context.profession)
        if row is None:
            return True
        others = sorted(code for code, cell in row.exceptions.items() if cell.read != row.default.read)
        unknown = f"{scope.alias}.type_unknown"
        if not others:
            return unknown if row.default.read else True
        names = ", ".join(scope.bind(f"type_{n}", code) for n, code in enumerate(others))
        word = "IN" if row.default.read else "NOT IN"
        return f"({unknown} OR COALESCE({scope.alias}.type_code, '') {word} ({names}))"


@dataclass(frozen=True, slots=True)
class FromPatientSide(Condition):
    """Deposited from the side of the patient: one of them is author, and no professional is (AR-73, AR-84)."""

    def holds(self, caller: Caller, document: DocumentFacts) -> bool:
        return bool(document.author_patients) and not document.author_persons

    def clause(self, caller: Caller, scope: Scope) -> Sql:
        d = scope.alias
        rows = f"SELECT 1 FROM document_author pa WHERE pa.record_id = {d}.record_id AND pa.document_id = {d}.id AND "
        return f"(EXISTS ({rows}pa.kind = 'patient') AND NOT EXISTS ({rows}pa.kind = 'person'))"


def join(word: str, clauses: Any) -> Sql:
    """AND or OR of clauses, with what is already known folded away."""
    decisive = word == " OR "
    texts: list[str] = []
    for clause in clauses:
        if clause is decisive:
            return decisive
        if isinstance(clause, str) and clause not in texts:
            texts.append(clause)
    if not texts:
        return not decisive
    return texts[0] if len(texts) == 1 else "(" + word.join(texts) + ")"


def negated(clause: Sql) -> Sql:
    return not clause if isinstance(clause, bool) else f"NOT ({clause})"
