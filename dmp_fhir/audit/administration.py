"""Traces of what is done to a registry from beside it: commands, starts and stops (AR-96; spec of the trace, E13).

A command that belongs to a record leaves an entry in that record's trace; one on several, an entry for each (TF-164).
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import ADMINISTRATION, APPLICATION, Act
from dmp_fhir.audit.events import THIS_SERVER, Observer
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.store.database import Database, StoreDamaged, StoreUnavailable

COMMANDS = MappingProxyType(
    {
        "load": "Bundles fed from files",
        "migrate": "Database brought to a version",
        "collect": "Orphan documents removed",
        "jobs": "Scheduled jobs run",
        "review-list": "Emergency accesses to review listed",
        "account-review": "Records touched by an account listed",
        "policy-matrix": "Habilitation matrix changed",
        "profiles-load": "Profiles loaded",
        "audit-read": "Trace read by a command",
        "barometer": "Figures of use computed",
        "check": "Registry checked",
        "keys": "Keys used or changed",
        "backup": "Registry copied or restored",
    }
)
"""The commands that are traced (code system audit-administration), with their meaning."""


def operator() -> AccessContext:
    """Who runs a command: the account of the machine."""
    account = getpass.getuser()
    return AccessContext("SUPPORT", account[:64], account, "SYSTEME", purpose="systeme", client_id="dmp-fhir")


def trace_command(
    database: Database,
    command: str,
    now_ms: int,
    *,
    observer: Observer,
    reason: str | None = None,
    record_ids: Iterable[str] = (),
    rules: tuple[str, ...] = (),
) -> None:
    """Leave the trace of a command of COMMANDS, durable when this returns. `reason` says what it did, without anything
    of what a record holds."""
    if command not in COMMANDS:
        raise KeyError(command)
    act = Act(command, "E", kind=ADMINISTRATION, reason=reason, rules=rules)
    acts = [replace(act, record_id=record_id) for record_id in record_ids] or [act]
    database.write(lambda tx: log.append_many(tx, acts, operator(), now_ms, observer=observer))


def trace_reading(database: Database, command: str, now_ms: int, reason: str, record_ids: Iterable[str] = ()) -> bool:
    """The same for a command that has read and told already; False when the trace cannot be kept, which must not hide
    what it found."""
    try:
        trace_command(database, command, now_ms, observer=THIS_SERVER, reason=reason, record_ids=record_ids)
    except (StoreUnavailable, StoreDamaged):
        return False
    return True


def trace_application(database: Database, what: str, now_ms: int, *, observer: Observer) -> None:
    """The server starts or stops: `what` is start or stop."""
    act = Act(what, "E", kind=APPLICATION)
    database.write(lambda tx: log.append(tx, act, operator(), now_ms, observer=observer))
