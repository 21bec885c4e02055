"""The same rules as SQL: what a caller may see of a record, as a clause that every query carries.

`Predicate.sql` is a boolean expression over the alias given, with `:policy_...` parameters, for SQLite and PostgreSQL.
Whoever may not look into the record gets `1 = 0`: a query that forgets to ask `decide` first finds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.algebra import Condition, Scope, Sql, join, negated
from dmp_fhir.policy.allow import Allowed, Everything, Nobody, Only
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import DELETED, depositor
from dmp_fhir.policy.relation import PATIENT_SIDE, Caller, Relation
from dmp_fhir.policy.rules.base import DocumentRule
from dmp_fhir.policy.rules.masks import AUTHORED_BY_CALLER, DELETED_FOR_ALL, MASKS
from dmp_fhir.policy.second_look import SecondLook
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import Standing


def _by_exemption(masks: tuple[DocumentRule, ...]) -> list[tuple[Condition | None, list[DocumentRule]]]:
    """The rules that hide, together when the same documents escape them."""
    found: list[tuple[Condition | None, list[DocumentRule]]] = []
    for rule in reversed(masks):
        for unless, rules in found:
            if unless is rule.unless:
                rules.append(rule)
                break
        else:
            found.append((rule.unless, [rule]))
    return found


_MASKS = _by_exemption(MASKS)
_SEES_ALL = frozenset({Relation.SELF, Relation.REPRESENTATIVE, Relation.TREATING_PHYSICIAN})


@dataclass(frozen=True, slots=True)
class Predicate:
    """A SQL condition and its parameters; `again` is the other face of the same rules, for the documents it finds."""

    sql: str
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    again: SecondLook | None = None


def document_predicate(
    context: AccessContext,
    standing: Standing,
    now_ms: int,
    alias: str = "d",
    *,
    action: Action = Action.DOC_LIST,
    settings: PolicySettings = DEFAULT_SETTINGS,
) -> Predicate:
    """The documents that the caller may find: over the table `document`.

    With `action=DOC_FINDID` (TD3.1b), also the documents the caller is author of, which needs no authorisation (AR-93).
    """
    scope, again = Scope(alias), _rights(context, standing, now_ms, action, settings)
    return _predicate(_documents(again, scope), scope, again)


def list_predicate(
    context: AccessContext,
    standing: Standing,
    now_ms: int,
    alias: str = "l",
    *,
    action: Action = Action.DOC_LIST,
    settings: PolicySettings = DEFAULT_SETTINGS,
) -> Predicate:
    """The submission sets and folders that the caller may find: over `document_list`.

    A list is seen when at least one of its documents is, when it has none, or by its depositor.
    """
    scope = Scope(alias)
    return _predicate(_lists(context, standing, now_ms, scope, action, settings), scope)


def consent_predicate(
    context: AccessContext,
    standing: Standing,
    now_ms: int,
    alias: str = "c",
    settings: PolicySettings = DEFAULT_SETTINGS,
) -> Predicate:
    """The consents that the caller may find: all for the patient, the representative and the treating physician; for a
    professional those that name them, their structure or their team."""
    scope = Scope(alias)
    allowed = _consents_about(context, standing, now_ms, settings)
    actor = f"{alias}.actor_id"
    known = f"{actor} IS NOT NULL"
    clause = allowed.clause(actor, scope)
    return _predicate(join(" AND ", (known, clause)) if isinstance(clause, str) else clause, scope)


def audit_predicate(
    context: AccessContext,
    standing: Standing,
    now_ms: int,
    alias: str = "a",
    settings: PolicySettings = DEFAULT_SETTINGS,
) -> Predicate:
    """The traces that the caller may find (AR-97 to AR-99): the record's, or their own acts; never those made in secret
    for a representative; never those about a document or list that is hidden from the caller. Of searches that name
    documents, the reader does not get the query (decision 0030, registry/search/shown.py)."""
    scope = Scope(alias)
    agents = _traces_of(context, standing, now_ms, settings)
    if isinstance(agents, Nobody):
        return _predicate(False, scope)
    secret: Sql = True if context.actor_category != "REPRESENTANT" else f"NOT {alias}.secret"
    return _predicate(
        join(
            " AND ",
            (
                agents.clause(f"{alias}.agent_id", scope),
                secret,
                _about_visible(context, standing, now_ms, scope, settings),
            ),
        ),
        scope,
    )


def _predicate(clause: Sql, scope: Scope, again: SecondLook | None = None) -> Predicate:
    return Predicate(_text(clause), MappingProxyType(scope.parameters), again)


def _rights(
    context: AccessContext, standing: Standing, now_ms: int, action: Action, settings: PolicySettings
) -> SecondLook:
    """What is decided about the record as a whole, before any document."""
    look = decide(context, Action.DOC_LIST, standing, None, now_ms, settings=settings)
    # Own documents need no authorisation (AR-93); the side of the patient always goes through its relation.
    feeds = action is Action.DOC_FINDID and context.actor_category not in PATIENT_SIDE
    may_find = feeds and decide(context, action, standing, None, now_ms, settings=settings).permit
    return SecondLook(Caller(context, standing, now_ms, look.relation, settings), look.permit, may_find)


def _documents(rights: SecondLook, scope: Scope, *, even_deleted: bool = False) -> Sql:
    visible: Sql = False
    if rights.may_look:
        # The flags of masks are read before the lists of the matrix: the order only matters for speed.
        visible = join(" AND ", (_shown(rules, unless, rights.caller, scope) for unless, rules in _MASKS))
    if rights.may_find:
        visible = join(" OR ", (visible, AUTHORED_BY_CALLER.clause(rights.caller, scope)))
    exists = True if even_deleted else negated(DELETED_FOR_ALL.when.clause(rights.caller, scope))
    return join(" AND ", (exists, visible))


def _shown(rules: list[DocumentRule], unless: Condition | None, caller: Caller, scope: Scope) -> Sql:
    """What none of the rules hides, or what escapes them all (as its author: AR-59)."""
    shown = join(" AND ", (negated(rule.when.clause(caller, scope)) for rule in rules))
    if unless is None or shown is True or not caller.standing.may_be_author:
        return shown
    return join(" OR ", (shown, unless.clause(caller, scope)))


def _lists(
    context: AccessContext,
    standing: Standing,
    now_ms: int,
    scope: Scope,
    action: Action,
    settings: PolicySettings,
) -> Sql:
    rights = _rights(context, standing, now_ms, action, settings)
    may_find = action is Action.DOC_FINDID and decide(context, action, standing, None, now_ms, settings=settings).permit
    if not (rights.may_look or may_find):
        return False
    inner = Scope("pd", scope.parameters)
    documents = _documents(rights, inner)
    entries = (
        f"FROM list_entry pe WHERE pe.record_id = {scope.alias}.record_id AND pe.list_id = {scope.alias}.id"
        " AND pe.target_type = 'DocumentReference'"
    )
    seen: Sql = documents
    if isinstance(documents, str):
        seen = (
            "EXISTS (SELECT 1 FROM list_entry pe"
            " JOIN document pd ON pd.record_id = pe.record_id AND pd.id = pe.target_id"
            f" WHERE pe.record_id = {scope.alias}.record_id AND pe.list_id = {scope.alias}.id"
            f" AND pe.target_type = 'DocumentReference' AND {documents})"
        )
    kind, identifier = depositor(context)
    own = (
        f"{scope.alias}.depositor_kind = {scope.bind('depositor_kind', kind)}"
        f" AND {scope.alias}.depositor_id = {scope.bind('depositor_id', identifier)}"
    )
    empty: Sql = f"NOT EXISTS (SELECT 1 {entries})" if rights.may_look else False
    alive = f"{scope.alias}.status <> '{DELETED}'"
    return join(" AND ", (alive, join(" OR ", (seen, empty, f"({own})"))))


def _consents_about(context: AccessContext, standing: Standing, now_ms: int, settings: PolicySettings) -> Allowed:
    decision = decide(context, Action.CONSENT_READ, standing, None, now_ms, settings=settings)
    if not decision.permit:
        return Nobody()
    if decision.relation in _SEES_ALL:
        return Everything("AR-97")
    teams = {
        permit.actor for permit in standing.permits if permit.kind == "CareTeam" and context.actor_id in permit.members
    }
    return Only(frozenset({context.actor_id, *([context.structure] if context.structure else []), *teams}))


def _traces_of(context: AccessContext, standing: Standing, now_ms: int, settings: PolicySettings) -> Allowed:
    if decide(context, Action.AUDIT_READ_FULL, standing, None, now_ms, settings=settings).permit:
        return Everything("AR-97")
    if decide(context, Action.AUDIT_READ_OWN, standing, None, now_ms, settings=settings).permit:
        return Only(frozenset({context.actor_id}))
    return Nobody()


def _about_visible(
    context: AccessContext,
    standing: Standing,
    now_ms: int,
    scope: Scope,
    settings: PolicySettings,
) -> Sql:
    """Traces about no document, or about one that the caller may see; deleted ones keep their traces."""
    a = scope.alias
    inner = Scope("pd", scope.parameters)
    documents = _documents(_rights(context, standing, now_ms, Action.DOC_FINDID, settings), inner, even_deleted=True)
    lists = _lists(context, standing, now_ms, Scope("pl", scope.parameters), Action.DOC_FINDID, settings)
    document = f"EXISTS (SELECT 1 FROM document pd WHERE pd.record_id = {a}.record_id AND pd.id = {a}.entity_id AND "
    payload = (
        "EXISTS (SELECT 1 FROM payload pp JOIN document pd ON pd.record_id = pp.record_id AND pd.id = pp.document_id"
        f" WHERE pp.record_id = {a}.record_id AND pp.id = {a}.entity_id AND "
    )
    listed = f"EXISTS (SELECT 1 FROM document_list pl WHERE pl.record_id = {a}.record_id AND pl.id = {a}.entity_id AND "
    return (
        f"({a}.entity_id = '' OR CASE {a}.entity_type WHEN 'DocumentReference' THEN {document}{_text(documents)})"
        f" WHEN 'Binary' THEN {payload}{_text(documents)}) WHEN 'Bundle' THEN {payload}{_text(documents)})"
        f" WHEN 'List' THEN {listed}{_text(lists)}) ELSE 1 = 1 END)"
    )


def _text(clause: Sql) -> str:
    return clause if isinstance(clause, str) else ("1 = 1" if clause else "1 = 0")
