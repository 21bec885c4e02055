"""The decision (AR-05): stages in order, the first refusal ends the evaluation, nothing is permitted by default.

Pure and total: any caller, act, standing and document give a Decision. The same document rules, compiled to SQL, are in
dmp_fhir/policy/predicate.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import (
    ABOUT_DOCUMENT,
    CONSENT_ACTS,
    CONSULTATION,
    FEEDING,
    OWN_DOCUMENT,
    VISIBILITY,
    Action,
    consent_action,
)
from dmp_fhir.policy.facts import DELETED, ConsentTarget, DocumentFacts
from dmp_fhir.policy.obligations import is_discreet, obligations
from dmp_fhir.policy.relation import (
    EMERGENCIES,
    INDIVIDUAL_CONTEXTS,
    PATIENT_SIDE,
    PROFESSIONALS,
    Caller,
    Relation,
)
from dmp_fhir.policy.rules.around import AROUND, VISIBILITY_REFUSALS, VISIBILITY_RULE_OF
from dmp_fhir.policy.rules.authentication import AUTHENTICATION
from dmp_fhir.policy.rules.base import DEFAULT_SETTINGS, Asked, DocumentRule, Effect, PolicySettings, Rule, first
from dmp_fhir.policy.rules.blocks import BLOCKED, block_rules
from dmp_fhir.policy.rules.callers import CALLERS
from dmp_fhir.policy.rules.consents import CONSENTS
from dmp_fhir.policy.rules.feeding import DEPOSIT_REFUSALS, FEEDS, NOT_AUTHOR, OWN_RULE_OF
from dmp_fhir.policy.rules.masks import AUTHORED_BY_CALLER, DELETED_FOR_ALL, DOCUMENTS
from dmp_fhir.policy.rules.records import RECORDS
from dmp_fhir.policy.rules.relations import (
    BREAK_GLASS,
    BY_RELATION,
    CENTRE_15,
    GRANT_OVER,
    NO_MOTIVE_AT_ALL,
    NOBODY,
    SAME_MOTIVE,
    STRANGERS,
    SUPPORT_SEES_NOTHING,
    is_patient_side,
)
from dmp_fhir.policy.standing import Standing

_GENERAL = (*CALLERS, *RECORDS, *AUTHENTICATION)
_PUBLIC = tuple(
    rule
    for rule in (
        *CALLERS,
        *AUTHENTICATION,
        NO_MOTIVE_AT_ALL,
        GRANT_OVER,
        SAME_MOTIVE,
        *DEPOSIT_REFUSALS,
        SUPPORT_SEES_NOTHING,
    )
    if rule.public
)
_AROUND = frozenset(
    {
        Action.DMP_EXISTS,
        Action.RECORD_CREATE,
        Action.RECORD_UPDATE,
        Action.CONSENT_READ,
        Action.AUDIT_READ_FULL,
        Action.AUDIT_READ_OWN,
        Action.PARTY_WRITE,
    }
)
_CONTEXT_RULES = INDIVIDUAL_CONTEXTS | {"PMI": "AR-32"}
_AROUND_OR_RELATION = frozenset({Action.RECORD_READ, Action.PARTY_READ})


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of the policy.

    `level` says how a refusal is answered: `record` 403 with a coarse text, `document` the uniform 404, `action` 403
    with the text of the rule (the caller sees the document or record anyway). `public` is the rule whose text may be
    told, when there is one. `reason` is for the trace only (AR-06). `relation` is why the caller may look into the
    record. `action` is the act that was decided; `discreet` that the representatives must not hear of it (AR-82,
    AR-99).
    """

    permit: bool
    rules: tuple[str, ...]
    reason: str | None = None
    obligations: frozenset[str] = frozenset()
    level: str = "record"
    public: Rule | None = None
    relation: Relation | None = None
    action: Action | None = None
    discreet: bool = False


def decide(
    context: AccessContext,
    action: Action,
    standing: Standing,
    document: DocumentFacts | None,
    now_ms: int,
    *,
    target: ConsentTarget | None = None,
    settings: PolicySettings = DEFAULT_SETTINGS,
) -> Decision:
    """Whether `context` may do `action` on the record of `standing`, and on `document` when one is given.

    For DOC_CREATE, `document` is what is being deposited; for the others, the document acted on. For CONSENT_WRITE,
    `target` is the consent being written: it decides which act this is.
    """
    asked = Asked(context, action, standing, now_ms, document, target, settings)
    if action is Action.CONSENT_WRITE:
        asked = replace(asked, action=_consent_act(target))
    decision = _decided(asked)
    if decision.permit or decision.level != "record":
        return decision
    return replace(decision, public=first(_PUBLIC, asked))


def merged(decisions: Sequence[Decision]) -> Decision:
    """Several permits that are carried out as one act: every rule and every obligation of each."""
    return replace(
        decisions[0],
        rules=tuple(dict.fromkeys(rule for each in decisions for rule in each.rules)),
        obligations=frozenset(duty for each in decisions for duty in each.obligations),
        discreet=any(each.discreet for each in decisions),
    )


def _consent_act(target: ConsentTarget | None) -> Action:
    # Without a target only those who may write every kind pass: the act of the patient alone.
    if target is None:
        return Action.PREF_FEEDING
    return consent_action(target.kind, target.decision, ended=target.ended) or Action.CONSENT_WRITE


def _decided(asked: Asked) -> Decision:
    refusal = first(_GENERAL, asked)
    if refusal is not None:
        return _refused(refusal.ids, refusal.reason)
    if asked.action in FEEDING:
        return _feeding(asked)
    if first((BLOCKED,), asked):
        return _refused(block_rules(asked), BLOCKED.reason)
    if asked.action in CONSENT_ACTS:
        return _by_table(CONSENTS, asked)
    if asked.action in _AROUND:
        return _by_table(AROUND, asked)
    if asked.action in _AROUND_OR_RELATION:
        found = _by_table(AROUND, asked)
        return found if found.permit else _related(asked)
    if asked.action in CONSULTATION | VISIBILITY:
        return _related(asked)
    return _refused(NOBODY.ids, NOBODY.reason)


def _by_table(table: tuple[Rule, ...], asked: Asked) -> Decision:
    rule = first(table, asked) or NOBODY
    if rule.effect is Effect.PERMIT:
        relation = asked.relation
        why = BY_RELATION[relation].ids if relation is not None and is_patient_side(asked) else ()
        return _permitted((*why, *rule.ids), asked, relation)
    if rule is NOBODY:
        return _refused(rule.ids, rule.reason)
    return _refused(rule.ids, rule.reason, level="action", public=rule)


def _related(asked: Asked) -> Decision:
    """Stages 6 and 7: the relation to the record, then the document."""
    relation, rule = relation_to(asked)
    if rule.effect is Effect.DENY:
        return _refused(rule.ids, rule.reason)
    ids = rule.ids
    if asked.context.practice_context in _CONTEXT_RULES and asked.context.actor_category in PROFESSIONALS:
        ids = (*ids, _CONTEXT_RULES[asked.context.practice_context])
    if asked.context.actor_category == "PS_ROLE":
        ids = (*ids, "AR-89")
    if (
        asked.context.purpose != "normal"
        and asked.context.actor_category in PROFESSIONALS
        and relation not in EMERGENCIES
    ):
        ids = (*ids, "AR-52")
    caller = Caller(asked.context, asked.standing, asked.now_ms, relation, asked.settings)
    document = asked.document
    if document is not None and asked.action in ABOUT_DOCUMENT:
        hidden = hiding_rule(caller, document)
        if hidden is not None:
            emergency = ("AR-49",) if relation in EMERGENCIES else ()
            return _refused((*hidden.ids, *emergency), hidden.reason, level="document", relation=relation)
        if asked.context.actor_category in PROFESSIONALS and AUTHORED_BY_CALLER.holds(caller, document):
            ids = (*ids, "AR-59")
    if asked.action in VISIBILITY:
        refusal = first(VISIBILITY_REFUSALS, asked)
        if refusal is not None:
            return _refused(refusal.ids, refusal.reason, level="action", public=refusal, relation=relation)
        ids = (*ids, VISIBILITY_RULE_OF[asked.action])
    return _permitted(ids, asked, relation)


def relation_to(asked: Asked) -> tuple[Relation | None, Rule]:
    """Stage 6: the relation of the caller to the record and the rule that says so, or the rule that refuses."""
    if asked.relation is not None:
        return asked.relation, BY_RELATION[asked.relation]
    rule = first(STRANGERS, asked) or NOBODY
    if rule is BREAK_GLASS:
        return Relation.BREAK_GLASS, rule
    if rule is CENTRE_15:
        return Relation.CENTRE_15, rule
    return None, rule


def hiding_rule(caller: Caller, document: DocumentFacts) -> DocumentRule | None:
    """Stage 7: the first rule that hides a document from somebody who may look into the record."""
    for rule in DOCUMENTS:
        if rule.hides(caller, document):
            return rule
    return None


def _feeding(asked: Asked) -> Decision:
    """Stage 4: feeding and own documents have rules of their own."""
    context, document = asked.context, asked.document
    relation = asked.relation
    ids: tuple[str, ...] = ()
    if context.actor_category in PATIENT_SIDE:
        if relation is None:
            rule = first(STRANGERS, asked) or NOBODY
            return _refused(rule.ids, rule.reason)
        ids = BY_RELATION[relation].ids
    elif not FEEDS.when(asked):
        return _refused(NOBODY.ids, NOBODY.reason)
    if asked.action in OWN_DOCUMENT and document is not None:
        refusal = _own_document(asked, document, relation)
        if refusal is not None:
            return refusal
    forbidden = first(DEPOSIT_REFUSALS, asked)
    if forbidden is not None:
        # A caller with a relation sees the record anyway; the others get the coarse answer.
        return _refused(forbidden.ids, forbidden.reason, level="action" if relation else "record", public=forbidden)
    if asked.action in OWN_DOCUMENT:
        return _permitted((*ids, OWN_RULE_OF[asked.action]), asked, relation)
    blocked = ("AR-42",) if first((BLOCKED,), replace(asked, action=Action.DOC_LIST)) else ()
    account = ("AR-87",) if context.actor_category == "STRUCTURE" else ()
    secret = ("AR-82",) if context.secret else ()
    return _permitted((*(ids or FEEDS.ids), *account, *blocked, *secret), asked, relation)


def _own_document(asked: Asked, document: DocumentFacts, relation: Relation | None) -> Decision | None:
    caller = Caller(asked.context, asked.standing, asked.now_ms, relation, asked.settings)
    if document.status == DELETED:
        return _refused(DELETED_FOR_ALL.ids, DELETED_FOR_ALL.reason, level="document", relation=relation)
    if AUTHORED_BY_CALLER.holds(caller, document):
        hidden = hiding_rule(caller, document) if relation else None
        return _refused(hidden.ids, hidden.reason, level="document", relation=relation) if hidden else None
    rules = ("AR-74",) if asked.context.actor_category in PATIENT_SIDE else (OWN_RULE_OF[asked.action],)
    look = _decided(replace(asked, action=Action.DOC_READ))
    level = "action" if look.permit else "document"
    return _refused(rules, NOT_AUTHOR.reason, level=level, public=NOT_AUTHOR, relation=relation)


def _permitted(rules: Iterable[str], asked: Asked, relation: Relation | None) -> Decision:
    ids = tuple(dict.fromkeys(rules))
    return Decision(
        True,
        ids,
        obligations=obligations(asked, relation),
        level="",
        relation=relation,
        action=asked.action,
        discreet=is_discreet(asked),
    )


def _refused(
    rules: Iterable[str],
    reason: str | None,
    *,
    level: str = "record",
    public: Rule | None = None,
    relation: Relation | None = None,
) -> Decision:
    return Decision(
        False,
        tuple(dict.fromkeys(rules)),
        reason,
        frozenset({"AUDIT_DENIED"}),
        level,
        public if level == "action" else None,
        relation,
    )
