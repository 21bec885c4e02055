"""Looking for what is asked for by its id: one path for what is hidden, what is another's and what nobody has (D14,
TF-153; docs/decisions/0049-one-path-to-a-404.md).

Whatever does not come out of it is the uniform 404: the same bytes after the same statements. What nobody has is looked
for in NOWHERE, the id of no record; so is what lies in a record that the caller may not look into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dmp_fhir.interactions.gate import Gate, Writing
from dmp_fhir.outcome import not_found
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import Decision
from dmp_fhir.policy.relation import PATIENT_SIDE
from dmp_fhir.policy.standing import NOWHERE
from dmp_fhir.store.tables import DIRECTORY

T = TypeVar("T")


def sought(gate: Gate, home: str | None, look: Callable[[str], T | None], *actions: Action) -> tuple[T, str, Decision]:
    """(what `look` finds, its record, the decision). `home` is the record that the id leads to, None for nobody's id;
    `look` is called with it, or with NOWHERE, and carries the predicate. One of `actions` must be permitted in the
    record. Nothing is locked yet: whoever writes asks for the standing next."""
    record_id = gate.look_into(home)
    decision = _decision(gate, record_id, actions)
    found = look(record_id if decision.permit else NOWHERE)
    shown = home is not None and found is not None and decision.permit
    gate.found(something=shown)
    if home is None:
        not_found()
    if found is None or not decision.permit:
        not_found(decision.reason or "DOCUMENT_INVISIBLE", () if decision.permit else decision.rules)
    if isinstance(gate, Writing):
        gate.rights_changed(record_id)  # what was read before the lock may be history
    return found, record_id, decision


def sees(gate: Gate) -> tuple[Action, ...]:
    """The acts by which somebody may know of a document or a list: the side of the patient goes through its relation,
    others also find what they deposited (TD3.1b, AR-93)."""
    if gate.context.actor_category in PATIENT_SIDE:
        return (Action.DOC_LIST,)
    return (Action.DOC_LIST, Action.DOC_FINDID)


def _decision(gate: Gate, record_id: str, actions: tuple[Action, ...]) -> Decision:
    decisions = [gate.decide(action, None if record_id == DIRECTORY else record_id) for action in actions]
    return next((each for each in decisions if each.permit), decisions[0])
