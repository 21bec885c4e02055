"""Sets of who or what is allowed, with types of their own: an empty list is never mistaken for "no restriction"."""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.policy.algebra import Scope, Sql, join


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nothing is allowed."""

    def clause(self, column: str, scope: Scope) -> Sql:
        return False

    def allows(self, identifier: str) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Only:
    """These identifiers and no others; none when the set is empty."""

    identifiers: frozenset[str]

    def clause(self, column: str, scope: Scope) -> Sql:
        names = (scope.bind(f"only_{n}", one) for n, one in enumerate(sorted(self.identifiers)))
        return join(" OR ", (f"{column} = {name}" for name in names))

    def allows(self, identifier: str) -> bool:
        return identifier in self.identifiers


@dataclass(frozen=True, slots=True)
class Everything:
    """No restriction, for a reason that can be named (the id of a rule)."""

    reason: str

    def clause(self, column: str, scope: Scope) -> Sql:
        return True

    def allows(self, identifier: str) -> bool:
        return True


Allowed = Nobody | Only | Everything
