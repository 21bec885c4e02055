"""$access-history: who looked into a record, when, and why, in sentences (AR-97 to AR-99; CSP R1111-43).

`GET Patient/[id]/$access-history`, or `GET Patient/$access-history` for the own record of a patient, representative or
helper: a Parameters resource, or with `_format` (or Accept) text/csv or text/plain. The rights are those of the search
of AuditEvent (ITI-81); a document's title is told to who may see the document. French, or English by Accept-Language.
"""

from __future__ import annotations

import csv
import io
from typing import Any, NamedTuple, NoReturn

from dmp_fhir.audit.history import ACTOR_TYPES, Entry, Title, document_of, entry_of, kind_of_document
from dmp_fhir.identity.identifiers import parse_person_id
from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.gate import Gate, raw_request
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.search import caller_of
from dmp_fhir.interactions.seeking import sought
from dmp_fhir.outcome import refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.predicate import audit_predicate
from dmp_fhir.registry.history import Line, Period, history_length, history_lines, titles_of
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.parameters import parameter
from dmp_fhir.registry.search.query import PatientById, PatientByIdentifier
from dmp_fhir.registry.search.readers import PREFIXES, read_date
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.negotiation import media_type

Tree = dict[str, Any]

OPERATION = "$access-history"
CSV, PLAIN = "text/csv; charset=utf-8", "text/plain; charset=utf-8"
_PATIENT_SIDE = frozenset({"PATIENT", "REPRESENTANT", "AIDANT"})
_DEFAULT, _MOST = 50, 200
_COLUMNS = (
    *("date", "actorType", "actorName", "actorProfession", "structureName", "accessMode", "action"),
    *("documentTitle", "outcome", "reason", "eventId", "sentence"),
)


class _Asked(NamedTuple):
    period: Period
    actors: tuple[str, ...]
    size: int
    after: tuple[int, int] | None
    total: int | None

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(category for kind in self.actors for category in ACTOR_TYPES[kind])


def access_history(gate: Gate) -> Response:
    request = gate.exchange.request
    _, record_id, decision = sought(gate, _home(gate), lambda record_id: record_id, Action.AUDIT_READ_OWN)
    asked = _asked(gate, request, record_id)
    standing = gate.standing(record_id)
    predicate = audit_predicate(gate.context, standing, gate.now, settings=gate.settings)
    found = (gate.reader, record_id, predicate, asked.period, asked.categories)
    lines = history_lines(*found, asked.after, asked.size + 1)
    total = asked.total if asked.total is not None else history_length(*found)
    more = len(lines) > asked.size
    lines = lines[: asked.size]
    entries = _entries(gate, record_id, lines)
    link = _next(gate, record_id, asked, lines[-1], total) if more else None
    gate.did(
        "operation",
        "E",
        record_id,
        decision=decision,
        query=raw_request(request),
        entities=(("AuditEvent", "", None),),
        cleaned=f"Patient/{record_id}/{OPERATION}",
    )
    return _answer(request, entries, total, link)


def _home(gate: Gate) -> str | None:
    """The record asked for, or the caller's own; None when there is none."""
    request, context = gate.exchange.request, gate.context
    if request.id is not None:
        return find_record(gate.reader, PatientById(request.id))
    person = parse_person_id(context.person_id) if context.person_id else None
    if context.actor_category not in _PATIENT_SIDE or person is None:
        refuse(
            400,
            "required",
            f"Nommez le dossier : Patient/[id]/{OPERATION}.",
            f"Name the record: Patient/[id]/{OPERATION}.",
            rule="D12",
        )
    return find_record(gate.reader, PatientByIdentifier(person.system, person.value))


# --- what was asked -------------------------------------------------------------------------------


def _asked(gate: Gate, request: Request, record_id: str) -> _Asked:
    given: dict[str, list[str]] = {}
    for name, value in request.parameters:
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        if name not in ("start", "end", "actor-type", "_count", "page", "_format", "_pretty"):
            _bad(name, "Paramètres : start, end, actor-type, _count.", "Parameters: start, end, actor-type, _count.")
        if name != "actor-type" and len(values) > 1:
            _bad(name, "Une fois au plus.", "Once at most.")
    if "page" in given:
        return _page(gate, given["page"][0], record_id)
    actors = tuple(dict.fromkeys(each for value in given.get("actor-type", ()) for each in value.split(",")))
    if unknown := set(actors) - ACTOR_TYPES.keys():
        names = ", ".join(ACTOR_TYPES)
        _bad("actor-type", f"Parmi : {names}.", f"{', '.join(sorted(unknown))[:80]}: one of {names}.")
    count = given.get("_count", [str(_DEFAULT)])[0]
    if not (count.isascii() and count.isdigit() and 1 <= int(count[:6]) <= _MOST):
        _bad("_count", f"Un nombre de 1 à {_MOST}.", f"A number from 1 to {_MOST}.")
    period = Period(_instant(given, "start", first=True), _instant(given, "end", first=False))
    return _Asked(period, actors, int(count), None, None)


def _instant(given: dict[str, list[str]], name: str, *, first: bool) -> int | None:
    """The first millisecond of `start`, the one after the last of `end`: both days are in the period."""
    if name not in given:
        return None
    date = parameter("AuditEvent", "date")
    if date is None or given[name][0][:2] in PREFIXES:
        _bad(name, "Une date sans préfixe.", "A date without prefix.")
    read = read_date(date, given[name][0])
    return read.low if first else read.high


def _page(gate: Gate, token: str, record_id: str) -> _Asked:
    state = gate.exchange.services.page_links.open(token, caller=caller_of(gate.context), now_ms=gate.now)
    if state.get("type") != OPERATION or state["record"] != record_id:
        _bad("page", "Ce lien est celui d'une autre recherche.", "This link belongs to another search.")
    period, after = Period(*state["period"]), (state["after"][0], state["after"][1])
    return _Asked(period, tuple(state["actors"]), state["size"], after, state["total"])


def _next(gate: Gate, record_id: str, asked: _Asked, last: Line, total: int) -> str:
    state: dict[str, Any] = {
        "type": OPERATION,
        "record": record_id,
        "period": list(asked.period),
        "actors": asked.actors,
    }
    state |= {"size": asked.size, "after": (last.recorded, last.sequence), "total": total}
    sealed = gate.exchange.services.page_links.seal(state, caller=caller_of(gate.context), now_ms=gate.now)
    return f"{gate.exchange.base_url}/Patient/{record_id}/{OPERATION}?page={sealed}"


def _bad(name: str, fr: str, en: str) -> NoReturn:
    refuse(
        400, "value", f"{name[:40]} : {fr}", f"{name[:40]}: {en}", expression=f"{OPERATION}.{name[:40]}", rule=OPERATION
    )


# --- the answer -----------------------------------------------------------------------------------


def _entries(gate: Gate, record_id: str, lines: list[Line]) -> list[Entry]:
    events = [(parse_json(line.body), line.category) for line in lines]
    documents = {document for event, _ in events if (document := document_of(event))}
    visible = gate.predicates(record_id, Action.DOC_FINDID)["DocumentReference"]
    titles = {
        document: Title(title or "?", kind_of_document(system, code), instant_text(instant)[:10])
        for document, (title, system, code, instant) in titles_of(
            gate.reader, record_id, sorted(documents), visible
        ).items()
    }
    return [entry_of(event, category, titles) for event, category in events]


def _answer(request: Request, entries: list[Entry], total: int, link: str | None) -> Response:
    form = form_of(request)
    rows = [_values(each, english=request.english) for each in entries]
    if form == CSV:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerows([_COLUMNS, *([_cell(row[name]) for name in _COLUMNS] for row in rows)])
        return Response(200, content=text.getvalue().encode(), content_type=CSV, headers=_link(link))
    if form == PLAIN:
        plain = "".join(f"{row['date']}  {_line(row['sentence'])}\n" for row in rows)
        return Response(200, content=plain.encode(), content_type=PLAIN, headers=_link(link))
    parameters: list[Tree] = [{"name": "total", "valueInteger": total}]
    if link:
        parameters.append({"name": "next", "valueUri": link})
    parameters += [
        {"name": "entry", "part": [_part(name, value) for name, value in row.items() if value]} for row in rows
    ]
    return Response(200, tree={"resourceType": "Parameters", "parameter": parameters})


def _values(entry: Entry, *, english: bool) -> dict[str, str]:
    return {
        "date": entry.date,
        "actorType": entry.actor_type,
        "actorName": entry.actor_name,
        "actorProfession": entry.actor_profession,
        "structureName": entry.structure_name,
        "accessMode": entry.access_mode,
        "action": entry.action.en if english else entry.action.fr,
        "documentTitle": entry.document_title or "",
        "outcome": entry.outcome,
        "reason": entry.reason,
        "eventId": entry.event_id,
        "sentence": entry.sentence.en if english else entry.sentence.fr,
    }


def _part(name: str, value: str) -> Tree:
    kind = {"date": "valueInstant", "actorType": "valueCode", "accessMode": "valueCode", "outcome": "valueCode"}
    return {"name": name, kind.get(name, "valueString"): value}


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    line = _line(text)
    return f"'{line}" if line[:1] in ("=", "+", "-", "@") else line


def _line(text: str) -> str:
    return " ".join(text.split())


def _link(link: str | None) -> list[tuple[str, str]]:
    return [("Link", f'<{link}>; rel="next"')] if link else []


def form_of(request: Request) -> str | None:
    """CSV or PLAIN when asked for by `_format` or Accept, None for FHIR."""
    asked = dict(request.parameters).get("_format")
    if asked is not None:
        names = {"csv": CSV, "text/csv": CSV, "text": PLAIN, "text/plain": PLAIN}
        return names.get(asked.partition(";")[0].strip().lower())
    ranges = {each.name for part in request.accept.split(",") if (each := media_type(part))}
    for form in (CSV, PLAIN):
        if form.partition(";")[0] in ranges and not any("fhir" in name or "json" in name for name in ranges):
            return form
    return None
