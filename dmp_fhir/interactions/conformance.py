"""What is written is validated in two halves: the structure before anything is decided, the profiles once the caller
may write. The walk of the structure goes from one to the other, so that a tree is walked once.
"""

from __future__ import annotations

from typing import Any

from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.services import Services
from dmp_fhir.outcome import Issue, refuse_all
from dmp_fhir.profiles.checks import judged
from dmp_fhir.profiles.walk import Walk

Tree = dict[str, Any]


def require_sound(services: Services, tree: Tree) -> Walk:
    """The walk of a sound R4 resource; 422 for another."""
    walk = services.validator.walk(tree)
    if not walk.sound:
        refuse_all(422, walk.issues)
    return walk


def require_conforming(gate: Writing, walk: Walk) -> list[Issue]:
    """The remarks on a resource that does what the registry asks of its type and what it declares; 422 for another."""
    services = gate.exchange.services
    issues = judged(services.validator, walk, services.settings.profile_level)
    refuse_errors(issues)
    return issues


def require_no_worse(gate: Writing, before: Tree, after: Tree) -> None:
    """422 when a change breaks a rule of the profiles that was kept before. What was stored under other rules can
    still be changed."""
    services = gate.exchange.services
    level = services.settings.profile_level
    issues = judged(services.validator, require_sound(services, after), level)
    if any(each.severity == "error" for each in issues):
        known = {
            (each.rule, each.expression) for each in judged(services.validator, services.validator.walk(before), level)
        }
        refuse_errors([each for each in issues if (each.rule, each.expression) not in known])


def refuse_errors(issues: list[Issue]) -> None:
    if any(each.severity == "error" for each in issues):
        refuse_all(422, issues)
