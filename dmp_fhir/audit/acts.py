"""What happened, before it becomes an AuditEvent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

SUCCESS = "0"
MINOR_FAILURE = "4"  # refused (D31)
SERIOUS_FAILURE = "8"  # an error of ours

REST = "rest"
DECISION = "110113"
ADMINISTRATION = "administration"
APPLICATION = "110100"
ALERT = "alert"

Entity = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a caller.

    `interaction` is a code of http://hl7.org/fhir/restful-interaction (read, search-type, transaction...); `action` is
    C, R, U, D or E; `entities` are (resource type, id, version or None); `query` the raw request of a search or
    operation and `cleaned` what was understood of it; `rules` and `reason` those of the decision, `matrix` the version
    of the habilitation matrix it was taken with (D32); `status` the HTTP status of a refusal; `secret` that the legal
    representatives don't see the entry (AR-82, AR-99). `record_id` is empty for what belongs to no record;
    `lasting` keeps the entry readable when its record is erased.

    `about` is the DocumentReference whose bytes were read. `origin` is where an unauthenticated request came from.
    `done` names what was done in the words of the rule book (policy/actions.py) when something was written.
    `times` says how many acts like this one it stands for. `kind` is REST, or:

    - DECISION: the disclosure of a record was permitted by the consents in `entities` (BALP AuthZconsent);
    - ALERT: a limit was passed; `interaction` names it;
    - ADMINISTRATION: somebody ran a command; `interaction` names it;
    - APPLICATION: the server started or stopped (`interaction`: start or stop).
    """

    interaction: str
    action: str
    outcome: str = SUCCESS
    record_id: str = ""
    entities: tuple[Entity, ...] = ()
    query: bytes | None = None
    rules: tuple[str, ...] = ()
    reason: str | None = None
    request_id: str | None = None
    status: int | None = None
    matrix: str | None = None
    secret: bool = False
    lasting: bool = False
    about: Entity | None = None
    cleaned: str | None = None
    origin: str | None = None
    times: int = 1
    done: tuple[str, ...] = ()
    kind: str = REST

    def one_by_one(self) -> Iterator[Act]:
        """The same act as one per entity, as BALP wants it, so that what is hidden from a reader of the trace can be
        left out entry by entry (AR-99). A decision stays whole: the consents it rests on belong together."""
        if len(self.entities) < 2 or self.kind == DECISION:
            yield self
            return
        for entity in self.entities:
            yield replace(self, entities=(entity,))
