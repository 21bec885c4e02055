"""Search parameters of AuditEvent: those of R4, but for `entity-name`, which no event about a record has.

https://hl7.org/fhir/R4/auditevent.html#search; IHE ITI-81 (RESTful ATNA) asks for most of them, and for the identifiers
of agent, entity, patient and source.
"""

from __future__ import annotations

from collections.abc import Mapping

from dmp_fhir.audit import words
from dmp_fhir.audit.codes import DCM, RESTFUL
from dmp_fhir.canonicals import PROJECT, URI
from dmp_fhir.registry.search.definitions import HL7, Parameter, common, patient
from dmp_fhir.registry.search.sources import Agents, Column, Entities, FewTexts, Moment, Source, Words, WordStart

_EVENT = f"{HL7}/AuditEvent"


def _event(
    code: str, kind: str, source: Source, fr: str, en: str, chains: tuple[str, ...] = (), definition: str = ""
) -> Parameter:
    return Parameter(code, kind, definition or f"{_EVENT}-{code}", source, fr, en, chains)


def _words(letters: Mapping[str, str], *beside: Column) -> Words:
    return Words(tuple(letters.items()), beside)


def _column(sql: str, *systems: str) -> Column:
    return Column(sql, systems)


_REST = "CASE WHEN a.type = 'rest' THEN {} ELSE '' END"
_OTHER_TYPE = "CASE WHEN a.type = 'rest' THEN '' ELSE a.type END"
_REST_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"

AUDIT_EVENT = (
    *common("a", "recorded"),
    patient("AuditEvent-patient"),
    _event("date", "date", Moment("a.recorded"), "Instant de l'acte", "When"),
    _event(
        "agent",
        "reference",
        Agents(("a.agent_id", "a.structure_id"), ("Practitioner", "Organization", "Device"), ("", URI)),
        "Auteur de l'acte, sa structure ou son logiciel",
        "Who acted, for which organisation, or with which software",
        ("identifier",),
    ),
    _event("agent-name", "string", FewTexts("a.agent_name"), "Nom de l'auteur", "Name of who acted"),
    _event(
        "agent-role",
        "token",
        _words(words.AGENT_ROLES),
        "Profession ou spécialité de l'auteur",
        "Profession or specialty of who acted",
    ),
    _event(
        "address",
        "string",
        WordStart(words.ADDRESS),
        "Début de l'adresse réseau du client ou du serveur",
        "Start of the network address of client or server",
    ),
    _event("altid", "token", _words({"": words.ALT_ID}), "Empreinte du certificat", "Thumbprint of the certificate"),
    _event(
        "policy",
        "uri",
        _words({"": words.POLICY}),
        "Jeton de l'acte : urn:ietf:params:oauth:jti:…",
        "Token of the act: urn:ietf:params:oauth:jti:…",
    ),
    _event(
        "entity",
        "reference",
        Entities(),
        "Objet de l'acte : document, contenu, lot, consentement, patient",
        "What was used: document, content, submission set, consent, patient",
        ("identifier",),
    ),
    _event("entity-type", "token", _words(words.ENTITY_TYPES), "Nature de l'objet", "Type of what was used"),
    _event("entity-role", "token", _words(words.ENTITY_ROLES), "Rôle de l'objet", "Role of what was used"),
    _event(
        "source",
        "reference",
        Agents((), ("Device",), (URI,)),
        "Serveur qui a tracé, par son adresse",
        "Server that recorded, by its address",
        ("identifier",),
    ),
    _event("site", "token", _words({"": words.SERVER}), "Adresse du serveur qui a tracé", "Address of that server"),
    _event(
        "type",
        "token",
        Words((), (_column(_REST.format("a.type"), _REST_TYPE), _column(_OTHER_TYPE, DCM))),
        "Type d'événement",
        "Type of event",
    ),
    _event(
        "subtype",
        "token",
        _words(words.SUBTYPES, _column(_REST.format("a.subtype"), RESTFUL)),
        "Interaction",
        "Interaction",
    ),
    _event(
        "action",
        "token",
        _column("a.action", "http://hl7.org/fhir/audit-event-action"),
        "C, R, U, D ou E",
        "C, R, U, D or E",
    ),
    _event(
        "outcome",
        "token",
        _column("a.outcome", "http://hl7.org/fhir/audit-event-outcome"),
        "0 (fait), 4 (refusé), 8 (erreur)",
        "0 (done), 4 (refused), 8 (error)",
    ),
    _event(
        "purpose",
        "token",
        _column("a.purpose"),
        "Mode d'accès : normal, bris_de_glace, centre_15…",
        "Mode of access: normal, bris_de_glace, centre_15…",
        definition=f"{PROJECT}/SearchParameter/AuditEvent-purpose",
    ),
)
