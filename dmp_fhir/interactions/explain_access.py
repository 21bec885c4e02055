"""$explain-access: what may be done with a record or a document, by whom, and by which rule (docs/explain-access.md).

`GET|POST Patient/[id]/$explain-access` and `DocumentReference/[id]/$explain-access` answer a Parameters resource, with
the texts in French and English (https://hl7.org/fhir/R4/operations.html). It is for the patient and the legal
representative about their own record; in the sandbox the operator may ask for a persona. For anybody else, and for a
document hidden from who asks, there is nothing here: the uniform 404.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from dmp_fhir.canonicals import RULE_SYSTEM, TRE_G15
from dmp_fhir.identity.claims import access_context
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.identifiers import professional_id
from dmp_fhir.identity.issuers import TrustedIssuer
from dmp_fhir.identity.sandbox import AUDIENCE, ISSUER, claims_of, personas
from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.gate import Gate, raw_request
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.seeking import sought
from dmp_fhir.outcome import TRANSLATION, not_found, refuse
from dmp_fhir.policy import explain
from dmp_fhir.policy.actions import CONSULTATION, Action
from dmp_fhir.policy.engine import Decision
from dmp_fhir.policy.explain import SITUATIONS, Answer, Situation
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.matrix import Matrix as HabilitationMatrix
from dmp_fhir.policy.relation import PROFESSIONALS
from dmp_fhir.policy.scenarios import CATEGORIES
from dmp_fhir.registry.documents import stored_document
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.query import PatientById
from dmp_fhir.registry.shelves import current
from dmp_fhir.registry.versions import Found, home_of
from dmp_fhir.store.tables import DIRECTORY
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]

OPERATION = "$explain-access"
TYPES = frozenset({"Patient", "DocumentReference"})
_ASKERS = frozenset({"PATIENT", "REPRESENTANT"})
_PURPOSES = frozenset({"normal", "bris_de_glace", "centre_15", "patient", "systeme"})
_IN = ("actor-category", "profession", "purpose", "professional", "structure")


def explain_access(gate: Gate) -> Response:
    """The explanation asked for, traced as an operation on the record."""
    request = gate.exchange.request
    record_id, facts, decision = _subject(gate)
    standing, now = gate.standing(record_id), gate.now
    given = _parameters(request, gate.context)
    asked = _asked(gate, record_id, given)
    if asked is None:
        lines = explain.answers(gate.context, standing, facts, now, settings=gate.settings)
    else:
        spread = explain.situations_of(asked) if asked.actor_id == explain.SOMEBODY else (Situation.AS_IS,)
        lines = [
            each
            for situation in spread
            for each in explain.answers(asked, standing, facts, now, situation=situation, settings=gate.settings)
        ]
    everybody = facts is not None and asked is None
    readers = list(explain.audience(standing, facts, now, settings=gate.settings)) if everybody and facts else []
    gate.did(
        "operation",
        "E",
        record_id,
        decision=decision,
        query=raw_request(request),
        entities=((request.resource_type or "", request.id or "", None),),
    )
    matrix = Matrix(gate.settings.matrix, facts.type_code) if facts else None
    return Response(200, tree=_answer(request, now, lines, readers, matrix))


# --- who may ask ----------------------------------------------------------------------------------


def _subject(gate: Gate) -> tuple[str, DocumentFacts | None, Decision]:
    """The record; for a DocumentReference, what the rules look at in it; and the decision that opens the explanation:
    who sees the whole history of a record (AR-97) learns its reasons. 404 for everybody else."""
    request = gate.exchange.request
    support = gate.context.actor_category == "SUPPORT" and in_sandbox(gate)
    action = Action.DMP_EXISTS if support else Action.AUDIT_READ_FULL
    if request.resource_type == "Patient":
        home = find_record(gate.reader, PatientById(request.id or ""))
        record_id, _, decision = sought(gate, home, lambda record_id: record_id, action)
        _require_asker(gate, support)
        return record_id, None, decision
    home = home_of(gate.reader, "DocumentReference", request.id or "")

    def look(record_id: str) -> Found | None:
        predicate = None if support else gate.predicates(record_id)["DocumentReference"]
        return current(gate.reader, record_id, "DocumentReference", request.id or "", predicate)

    found, record_id, decision = sought(gate, home, look, action)
    _require_asker(gate, support)
    document = stored_document(gate.reader, record_id, found.id) or not_found()
    return record_id, document.facts, decision


def _require_asker(gate: Gate, support: bool) -> None:
    if not support and gate.context.actor_category not in _ASKERS:
        not_found("ACTEUR_NON_HABILITE", ("AR-97",))


def in_sandbox(gate: Gate) -> bool:
    """Whether tokens come from the sandbox issuer of this server, where every patient is invented."""
    settings = gate.exchange.services.settings
    return settings.profile == "development" and not settings.issuers_file


# --- about whom -----------------------------------------------------------------------------------


def _parameters(request: Request, context: AccessContext) -> dict[str, str]:
    """The parameters by name, from the address and from the Parameters resource of a POST. 400 for an unknown one."""
    pairs = [pair for pair in request.parameters if pair[0] not in ("_format", "_pretty")]
    if request.tree is not None:
        if request.tree.get("resourceType") != "Parameters":
            _bad("resourceType", "Une ressource Parameters est attendue.", "A Parameters resource is expected.")
        pairs += [_pair(each) for each in request.tree.get("parameter", [])]
    known = (*_IN, "persona") if context.actor_category == "SUPPORT" else _IN
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known or name in given:
            _bad(
                name,
                f"Paramètres : {', '.join(known)}, une fois chacun.",
                f"Parameters: {', '.join(known)}, once each.",
            )
        given[name] = value
    return given


def _pair(parameter: Any) -> tuple[str, str]:
    name = parameter.get("name", "") if isinstance(parameter, dict) else ""
    for kind in ("valueCode", "valueString"):
        if isinstance(name, str) and isinstance(parameter.get(kind), str):
            return name, parameter[kind]
    identifier = parameter.get("valueIdentifier") if isinstance(parameter, dict) else None
    if isinstance(identifier, dict) and name == "professional":
        return name, f"{identifier.get('system', '')}|{identifier.get('value', '')}"
    _bad("Parameters.parameter", "Un nom et un valueCode attendus.", "A name and a valueCode are expected.")


def _asked(gate: Gate, record_id: str, given: dict[str, str]) -> AccessContext | None:
    """The actor asked about; None for the caller."""
    if "persona" in given:
        return _persona(gate, given)
    if not given:
        return None
    purpose = given.get("purpose")
    if purpose is not None and purpose not in _PURPOSES:
        _bad("purpose", f"Une de ces finalités : {', '.join(sorted(_PURPOSES))}.", f"One of: {', '.join(_PURPOSES)}.")
    name, profession = _professional(gate, given)
    category = given.get("actor-category", "PS")
    if category not in CATEGORIES:
        _bad(
            "actor-category", f"Une de : {', '.join(sorted(CATEGORIES))}.", f"One of: {', '.join(sorted(CATEGORIES))}."
        )
    if category in PROFESSIONALS and profession is None:
        _bad("profession", "Indiquer la profession (code TRE_G15).", "Tell the profession (TRE_G15 code).")
    return explain.actor(
        category,
        gate.standing(record_id),
        now_ms=gate.now,
        identifier=name,
        profession=profession,
        structure=given.get("structure"),
        purpose=purpose,
    )


def _professional(gate: Gate, given: dict[str, str]) -> tuple[str | None, str | None]:
    """National identifier and profession of the professional named, from the directory unless it is told."""
    if "professional" not in given:
        return None, given.get("profession")
    system, bar, value = given["professional"].partition("|")
    name = professional_id(system, value) if bar else None
    if name is None:
        _bad(
            "professional",
            "Un identifiant national : https://rpps.esante.gouv.fr|<RPPS>.",
            "A national identifier: https://rpps.esante.gouv.fr|<RPPS>.",
        )
    return name, given.get("profession") or _profession_of(gate, name)


def _profession_of(gate: Gate, name: str) -> str | None:
    row = gate.reader.row(
        "SELECT resource_id FROM search_token WHERE record_id = :directory AND resource_type = 'Practitioner'"
        " AND parameter = 'identifier' AND code = :name",
        {"directory": DIRECTORY, "name": name},
    )
    found = current(gate.reader, DIRECTORY, "Practitioner", row[0]) if row else None
    for qualification in parse_json(found.body).get("qualification", []) if found else []:
        for coding in qualification.get("code", {}).get("coding", []):
            if coding.get("system") == TRE_G15:
                return coding.get("code")
    return None


def _persona(gate: Gate, given: dict[str, str]) -> AccessContext:
    """The caller that a token of the sandbox would make of a persona."""
    if given.keys() - {"persona", "purpose"} or given["persona"] not in personas():
        _bad("persona", "Une persona du bac à sable, seule ou avec purpose.", "A persona, alone or with purpose.")
    claims = claims_of(
        personas()[given["persona"]],
        now_ms=gate.now,
        purpose=given.get("purpose"),
        reason="explication des règles d'accès",
        patient_request=True,
        patient_agreement=True,
    )
    return access_context(claims, TrustedIssuer(ISSUER, AUDIENCE, {}))


def _bad(expression: str, fr: str, en: str) -> NoReturn:
    refuse(400, "value", fr, en, expression=expression, rule=OPERATION)


# --- the answer -----------------------------------------------------------------------------------


class Matrix(NamedTuple):
    """The habilitation matrix in force, and the type of the document asked about."""

    in_force: HabilitationMatrix
    type_code: str | None

    def confidence(self, answer: Answer) -> str | None:
        """How sure the cell is that decides for a professional (D32); None when no cell does."""
        context = answer.context
        if answer.action not in CONSULTATION or context.actor_category not in PROFESSIONALS:
            return None
        return self.in_force.cell(context.actor_category, context.profession, self.type_code or "").confidence


def _answer(request: Request, now: int, lines: list[Answer], readers: list[Answer], matrix: Matrix | None) -> Tree:
    decisions = [each.decision for each in (*lines, *readers)]
    rules = dict.fromkeys((rule, each.permit) for each in decisions for rule in each.rules)
    situations = dict.fromkeys(each.situation for each in (*lines, *readers))
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "subject", "valueReference": {"reference": f"{request.resource_type}/{request.id}"}},
            {"name": "instant", "valueInstant": instant_text(now)},
            *([{"name": "matrix", "valueString": matrix.in_force.version}] if matrix else []),
            *(_part("answer", _action(each, matrix)) for each in lines),
            *(_part("reader", _line(each, matrix)) for each in readers),
            *(_part("situation", _texts(each.value, *SITUATIONS[each])) for each in situations),
            *(_part("rule", _rule(rule, permit)) for rule, permit in rules),
        ],
    }


def _part(name: str, parts: Iterable[Tree]) -> Tree:
    return {"name": name, "part": list(parts)}


def _action(answer: Answer, matrix: Matrix | None) -> list[Tree]:
    return [{"name": "action", "valueCode": answer.action.value}, *_line(answer, matrix)]


def _line(answer: Answer, matrix: Matrix | None) -> list[Tree]:
    context, decision = answer.context, answer.decision
    parts: list[Tree] = [{"name": "category", "valueCode": context.actor_category}]
    if context.profession:
        parts.append({"name": "profession", "valueCode": context.profession})
    parts += [
        {"name": "situation", "valueCode": answer.situation.value},
        {"name": "allowed", "valueBoolean": decision.permit},
    ]
    if decision.reason:
        parts.append({"name": "reason", "valueCode": decision.reason})
    parts += [{"name": "rule", "valueCode": rule} for rule in decision.rules]
    if matrix and (confidence := matrix.confidence(answer)):
        parts.append({"name": "confidence", "valueCode": confidence})
    return parts + [{"name": "obligation", "valueCode": each} for each in sorted(decision.obligations)]


def _rule(rule: str, permit: bool) -> list[Tree]:
    return [
        {"name": "coding", "valueCoding": {"system": RULE_SYSTEM, "code": rule}},
        {"name": "effect", "valueCode": "permit" if permit else "deny"},
        *_texts(None, *explain.sentences(rule, permit)),
    ]


def _texts(code: str | None, fr: str, en: str) -> list[Tree]:
    translation = [{"url": "lang", "valueCode": "en"}, {"url": "content", "valueString": en}]
    text = {
        "name": "text",
        "valueString": fr,
        "_valueString": {"extension": [{"url": TRANSLATION, "extension": translation}]},
    }
    return [{"name": "code", "valueCode": code}, text] if code else [text]
