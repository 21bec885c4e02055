"""Where each account looked last, in this process: an id that nobody has is looked for there, so that it costs what a
hidden one costs (TF-153, docs/decisions/0049-one-path-to-a-404.md)."""

from __future__ import annotations

import threading
from collections import OrderedDict

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.standing import NOWHERE

MOST_ACCOUNTS = 10_000


class LatestLooks:
    """The latest record of the accounts that looked last."""

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._guard = threading.Lock()

    def note(self, context: AccessContext, record_id: str) -> None:
        account = (context.actor_category, context.actor_id)
        with self._guard:
            self._records[account] = record_id
            self._records.move_to_end(account)
            if len(self._records) > MOST_ACCOUNTS:
                self._records.popitem(last=False)

    def of(self, context: AccessContext) -> str:
        """The id of the record, NOWHERE for who has not looked into any."""
        return self._records.get((context.actor_category, context.actor_id), NOWHERE)
