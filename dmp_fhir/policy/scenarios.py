"""Decision scenarios as data: an actor, a request, the state of a record, a document, and what must be decided.

The schema (docs/policy-scenarios.md) is strict: an unknown name or value is an error of the file, never ignored. A
scenario is judged by the very `decide` that serves requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import CONSULTATION, Action
from dmp_fhir.policy.engine import Decision, decide
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import Permit, Representative, Standing

Tree = Mapping[str, Any]

INS = "urn:oid:1.2.250.1.213.1.4.10|279035121518989"
_OTHER_INS = "urn:oid:1.2.250.1.213.1.4.10|255081416802538"
_MATRICULE = INS.rpartition("|")[2]
_YEAR_MS = 365_250 * 86_400
_FOR_EVER = 2**62

CATEGORIES = frozenset(
    {"PS", "PS_ROLE", "STRUCTURE", "CPE", "PATIENT", "REPRESENTANT", "AIDANT", "AYANT_DROIT"}
    | {"AM_AGENT", "AM_SYSTEM", "SUPPORT", "SERVICE", "TIERS_EXCLU"}
)
_MODES = frozenset({"CPS", "AIR", "INDIRECTE", "CPE", "PORTAIL", "SYSTEME"})
_STATUS = {"OUVERT": "open", "FERME": "closed", "SUSPENDU": "suspended", "ABSENT": "absent"}
_KINDS = {"PS": "Practitioner", "STRUCTURE": "Organization", "EQUIPE": "CareTeam"}
_AUTHOR_CATEGORIES = CATEGORIES
_LABELS = frozenset({"N", "R", "V", "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"})
_DOCUMENT_STATUS = {
    "current": "current",
    "archived": "current",
    "superseded": "superseded",
    "deleted": "entered-in-error",
}
_TARGETS = {
    Action.AUTH_ADD: ("AUTORISATION", "permit", False),
    Action.AUTH_REMOVE: ("AUTORISATION", "permit", True),
    Action.AUTH_BLOCK: ("BLOCAGE", "deny", False),
    Action.AUTH_UNBLOCK: ("BLOCAGE", "deny", True),
    Action.MT_DECLARE: ("MEDECIN_TRAITANT", "permit", False),
    Action.MT_REVOKE: ("MEDECIN_TRAITANT", "permit", True),
}
_PREFERENCES = {"btg": "URGENCE_BTG", "samu": "URGENCE_SAMU", "maskedInEmergency": "URGENCE_MASQUES"}

_NAMES = {
    "": "id title note actor request dmp consents document expected",
    "actor": "category id profession structure authMode context regulation",
    "request": "action purpose at reason secret patientAgreement patientRequest tokenPatientMismatch includeArchived"
    " includeSuperseded target set",
    "dmp": "status patientAge insStatus closedOn legacyCreation",
    "consents": "mt permits blocks btg samu maskedInEmergency feedOpposition maskByDefault",
    "document": "typeCode author labels status depositedOn",
    "expected": "decision reason listed rules obligations",
    "consents.permits": "who kind start end members",
    "consents.blocks": "who kind",
    "document.author": "category id structure",
}


class BadScenario(Exception):
    """The file does not follow the schema; `args[0]` says where and what was expected."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question, and the answer that is expected of the policy. `listed` is None when no document is at stake."""

    id: str
    title: str
    context: AccessContext
    action: Action
    standing: Standing
    now_ms: int
    document: DocumentFacts | None = None
    target: ConsentTarget | None = None
    default_listed: bool = True
    permit: bool = False
    reason: str | None = None
    listed: bool | None = None
    rules: frozenset[str] = frozenset()
    obligations: frozenset[str] | None = None

    def decide(self, settings: PolicySettings = DEFAULT_SETTINGS) -> Decision:
        asked = (self.context, self.action, self.standing, self.document, self.now_ms)
        return decide(*asked, target=self.target, settings=settings)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says of a scenario; `differences` is empty when both agree."""

    scenario: Scenario
    decision: Decision
    listed: bool | None
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.differences


def read_scenarios(text: bytes | str) -> list[Scenario]:
    """The scenarios of a file. Raises BadScenario."""
    try:
        tree = json.loads(text)
    except ValueError as fault:
        raise BadScenario(f"not JSON: {fault}") from fault
    entries = tree.get("scenarios") if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not entries:
        raise BadScenario("scenarios: a list with at least one scenario is expected")
    scenarios = [scenario_of(entry, f"scenarios[{n}]") for n, entry in enumerate(entries)]
    seen: set[str] = set()
    for scenario in scenarios:
        if scenario.id in seen:
            raise BadScenario(f"{scenario.id}: this id is used twice")
        seen.add(scenario.id)
    return scenarios


def judge(scenario: Scenario, settings: PolicySettings = DEFAULT_SETTINGS) -> Verdict:
    """The decision, and where it differs from what the scenario expects: decision, reason, listing, rules (the expected
    ones must be among those that decided) and obligations (exactly, when the scenario names them)."""
    decision = scenario.decide(settings)
    listed = listing(scenario, decision)
    differences = []
    if decision.permit != scenario.permit:
        differences.append(f"decision: expected {_word(scenario.permit)}, decided {_word(decision.permit)}")
    if decision.reason != scenario.reason:
        differences.append(f"reason: expected {scenario.reason}, decided {decision.reason}")
    if listed != scenario.listed:
        differences.append(f"listed: expected {scenario.listed}, decided {listed}")
    if missing := scenario.rules - set(decision.rules):
        differences.append(f"rules: expected {', '.join(sorted(missing))} among {', '.join(decision.rules)}")
    if scenario.obligations is not None and scenario.obligations != decision.obligations:
        expected, found = (", ".join(sorted(each)) for each in (scenario.obligations, decision.obligations))
        differences.append(f"obligations: expected {expected or 'none'}, decided {found or 'none'}")
    return Verdict(scenario, decision, listed, tuple(differences))


def listing(scenario: Scenario, decision: Decision) -> bool | None:
    """Whether the document is in the list (True), left out of it or answered 404 (False), or not at stake (None)."""
    if scenario.document is None or scenario.action not in CONSULTATION:
        return None
    if decision.permit:
        return scenario.default_listed or scenario.action is Action.DOC_READ
    return False if decision.level == "document" else None


def _word(permit: bool) -> str:
    return "permit" if permit else "deny"


# --- reading --------------------------------------------------------------------------------------


def scenario_of(tree: Any, where: str = "scenario") -> Scenario:
    """One scenario of the schema. Raises BadScenario."""
    _names(tree, "", where)
    actor, request, dmp = (_part(tree, name, where) for name in ("actor", "request", "dmp"))
    consents, expected = _part(tree, "consents", where, {}), _part(tree, "expected", where, {"decision": "permit"})
    document = tree.get("document")
    if document is not None:
        _names(document, "document", f"{where}.document")
    now = _instant(request.get("at"), f"{where}.request.at")
    if now is None:
        raise BadScenario(f"{where}.request.at: an instant is expected")
    action = Action(_one(request, "action", frozenset(Action), f"{where}.request"))
    status = document.get("status", "current") if document else "current"
    return Scenario(
        id=_text(tree, "id", where),
        title=tree.get("title", ""),
        context=_context(actor, request, dmp, f"{where}.actor"),
        action=action,
        standing=_standing(actor, dmp, consents, now, where),
        now_ms=now,
        document=_document(document, f"{where}.document") if document else None,
        target=_target(action, request, f"{where}.request"),
        default_listed=(status != "archived" or request.get("includeArchived", False))
        and (status != "superseded" or request.get("includeSuperseded", False)),
        permit=_one(expected, "decision", frozenset({"permit", "deny"}), f"{where}.expected") == "permit",
        reason=expected.get("reason"),
        listed=expected.get("listed"),
        rules=frozenset(expected.get("rules", ())),
        obligations=frozenset(expected["obligations"]) if "obligations" in expected else None,
    )


def _context(actor: Tree, request: Tree, dmp: Tree, where: str) -> AccessContext:
    category = _one(actor, "category", CATEGORIES, where)
    about_person = category in ("PATIENT", "REPRESENTANT", "AIDANT")
    other = request.get("tokenPatientMismatch", False)
    return AccessContext(
        actor_category=category,
        actor_id=_MATRICULE if category == "PATIENT" else actor.get("id") or "unnamed",
        actor_name=actor.get("id") or category,
        auth_mode=_one(actor, "authMode", _MODES, where),
        purpose=_text(request, "purpose", where),
        profession=actor.get("profession"),
        structure=actor.get("structure"),
        practice_context=actor.get("context"),
        regulation=actor.get("regulation", False),
        reason=request.get("reason"),
        secret=request.get("secret", False),
        patient_agreement=request.get("patientAgreement", False),
        patient_request=request.get("patientRequest", False),
        person_id=_OTHER_INS if other else INS if about_person else None,
        ins_status=dmp.get("insStatus", "QUALIFIEE"),
    )


def _standing(actor: Tree, dmp: Tree, consents: Tree, now: int, where: str) -> Standing:
    category, name = actor["category"], actor.get("id") or "unnamed"
    age = dmp.get("patientAge", 40)
    if not isinstance(age, int):
        raise BadScenario(f"{where}.dmp.patientAge: a number of years is expected")
    permits = _each(consents, "permits", f"{where}.consents")
    blocks = _each(consents, "blocks", f"{where}.consents")
    return Standing(
        record_id="record",
        status=_STATUS[_one(dmp, "status", frozenset(_STATUS), f"{where}.dmp")],
        ins=frozenset({INS}),
        majority_ms=now - (age - 18) * _YEAR_MS,
        treating_physicians=frozenset(consents.get("mt", ())),
        permits=tuple(_permit(one, at) for one, at in permits),
        blocked=frozenset(_text(one, "who", at) for one, at in blocks if _one(one, "kind", frozenset(_KINDS), at)),
        representatives=(Representative(name),) if category == "REPRESENTANT" else (),
        helpers=frozenset({name}) if category == "AIDANT" else frozenset(),
        break_glass=_choice(consents, "btg", "permit", where),
        centre_15=_choice(consents, "samu", "permit", where),
        masked_in_emergency=_choice(consents, "maskedInEmergency", "deny", where),
        mask_by_default=consents.get("maskByDefault", False),
        feeding_opposed=frozenset(consents.get("feedOpposition", ())),
    )


def _permit(one: Tree, where: str) -> Permit:
    return Permit(
        _KINDS[_one(one, "kind", frozenset(_KINDS), where)],
        _text(one, "who", where),
        _instant(one.get("start"), f"{where}.start") or 0,
        _instant(one.get("end"), f"{where}.end") or _FOR_EVER,
        frozenset(one.get("members") or ()),
    )


def _document(document: Tree, where: str) -> DocumentFacts:
    author = document.get("author") or {}
    _names(author, "document.author", f"{where}.author")
    category, name = author.get("category"), author.get("id")
    status = document.get("status", "current")
    if status not in _DOCUMENT_STATUS:
        raise BadScenario(f"{where}.status: one of {', '.join(_DOCUMENT_STATUS)} is expected")
    labels = frozenset(document.get("labels", ()))
    if not labels <= _LABELS:
        raise BadScenario(f"{where}.labels: among {', '.join(sorted(_LABELS))}")
    if category is not None and category not in _AUTHOR_CATEGORIES:
        raise BadScenario(f"{where}.author.category: one of {', '.join(sorted(_AUTHOR_CATEGORIES))} is expected")
    named = frozenset({name}) if name else frozenset()
    return DocumentFacts(
        type_code=_text(document, "typeCode", where),
        labels=labels - {"N", "R", "V"},
        status=_DOCUMENT_STATUS[status],
        archived=status == "archived",
        author_persons=named if category in ("PS", "PS_ROLE") else frozenset(),
        author_structures=frozenset({author["structure"]}) if author.get("structure") else frozenset(),
        author_patients=(named or frozenset({_MATRICULE})) if category == "PATIENT" else frozenset(),
        author_systems=named if category in ("AM_SYSTEM", "SUPPORT") else frozenset(),
        deposited_ms=_instant(document.get("depositedOn"), f"{where}.depositedOn") or 0,
    )


def _target(action: Action, request: Tree, where: str) -> ConsentTarget | None:
    """The consent being written: `target` names an actor (`id`, or {who, kind}), `set` a preference."""
    target, chosen = request.get("target"), request.get("set")
    if action is Action.PREF_EMERGENCY and isinstance(chosen, dict) and len(chosen) == 1:
        ((name, decision),) = chosen.items()
        if name in _PREFERENCES and decision in ("permit", "deny"):
            return ConsentTarget(_PREFERENCES[name], decision)
        raise BadScenario(f"{where}.set: one of {', '.join(_PREFERENCES)}, permit or deny")
    if action not in _TARGETS or target is None:
        return None
    kind, decision, ended = _TARGETS[action]
    if isinstance(target, dict):
        actor_kind = _KINDS[_one(target, "kind", frozenset(_KINDS), f"{where}.target")]
        return ConsentTarget(kind, decision, actor_kind, _text(target, "who", f"{where}.target"), ended)
    return ConsentTarget(kind, decision, "Practitioner", _text(request, "target", where), ended)


# --- values ---------------------------------------------------------------------------------------


def _names(tree: Any, part: str, where: str) -> None:
    if not isinstance(tree, dict):
        raise BadScenario(f"{where}: an object is expected")
    if unknown := tree.keys() - set(_NAMES[part].split()):
        raise BadScenario(f"{where}: unknown {', '.join(sorted(unknown))}")


def _part(tree: Tree, name: str, where: str, default: Tree | None = None) -> Tree:
    part = tree.get(name, default)
    _names(part, name, f"{where}.{name}")
    return part or {}


def _each(tree: Tree, name: str, where: str) -> Iterable[tuple[Tree, str]]:
    entries = tree.get(name, [])
    if not isinstance(entries, list):
        raise BadScenario(f"{where}.{name}: a list is expected")
    for n, one in enumerate(entries):
        _names(one, f"consents.{name}", f"{where}.{name}[{n}]")
        yield one, f"{where}.{name}[{n}]"


def _text(tree: Tree, name: str, where: str) -> str:
    value = tree.get(name)
    if not isinstance(value, str) or not value:
        raise BadScenario(f"{where}.{name}: a text is expected")
    return value


def _one(tree: Tree, name: str, allowed: frozenset[str], where: str) -> str:
    value = _text(tree, name, where)
    if value not in allowed:
        raise BadScenario(f"{where}.{name}: one of {', '.join(sorted(allowed))} is expected, not {value}")
    return value


def _choice(tree: Tree, name: str, default: str, where: str) -> bool:
    return _one({name: tree.get(name, default)}, name, frozenset({"permit", "deny"}), f"{where}.consents") == "permit"


def _instant(text: Any, where: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as fault:
        raise BadScenario(f"{where}: an instant such as 2026-11-22T08:00:00+01:00 is expected") from fault
    if moment.tzinfo is None:
        raise BadScenario(f"{where}: the time zone is missing")
    return int(moment.timestamp() * 1000)
