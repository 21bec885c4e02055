"""Search parameters of Consent (IHE PCF, ITI-108) and AuditEvent (IHE BALP, ITI-81)."""

from __future__ import annotations

from dmp_fhir.canonicals import PROJECT
from dmp_fhir.registry.search.definitions import HL7, PEOPLE, Parameter, common, identifier, patient, token
from dmp_fhir.registry.search.sources import Column, FewTexts, Moment, NationalIds, Pointer, References, Span

CONSENT = (
    *common("c"),
    patient("clinical-patient"),
    identifier("Consent", "clinical-identifier"),
    Parameter(
        "status",
        "token",
        f"{HL7}/Consent-status",
        Column("c.status", ("http://hl7.org/fhir/consent-state-codes",)),
        "Statut",
        "Status",
    ),
    token("category", f"{HL7}/Consent-category", "Nature du choix", "Kind of choice"),
    Parameter(
        "actor",
        "reference",
        f"{HL7}/Consent-actor",
        References((*PEOPLE, "CareTeam")),
        "Professionnel, structure, équipe ou proche visé",
        "Professional, organisation, team or relative concerned",
        ("identifier",),
    ),
    Parameter(
        "date",
        "date",
        f"{HL7}/clinical-date",
        Moment("c.decided"),
        "Début de la date de la décision",
        "Start of the date of the decision",
    ),
    Parameter(
        "period",
        "date",
        f"{HL7}/Consent-period",
        Span("c.period_low", "c.period_high", open_ended=True),
        "Période de validité",
        "Period of validity",
    ),
)

_EVENT = f"{HL7}/AuditEvent"
_AGENT = NationalIds(("a.agent_id", "a.structure_id"), ("Practitioner", "Organization"))
AUDIT_EVENT = (
    *common("a", "recorded"),
    patient("AuditEvent-patient"),
    Parameter("date", "date", f"{_EVENT}-date", Moment("a.recorded"), "Instant de l'acte", "When"),
    Parameter(
        "agent",
        "reference",
        f"{_EVENT}-agent",
        _AGENT,
        "Auteur de l'acte ou sa structure",
        "Who acted, or for which organisation",
        ("identifier",),
    ),
    Parameter(
        "agent-name", "string", f"{_EVENT}-agent-name", FewTexts("a.agent_name"), "Nom de l'auteur", "Name of who acted"
    ),
    Parameter(
        "entity",
        "reference",
        f"{_EVENT}-entity",
        Pointer("a.entity_type", "a.entity_id"),
        "Objet de l'acte",
        "What was used",
    ),
    Parameter(
        "entity-type",
        "token",
        f"{_EVENT}-entity-type",
        Column("a.entity_type", ("http://hl7.org/fhir/resource-types",)),
        "Type de la ressource",
        "Type of the resource",
    ),
    Parameter(
        "type",
        "token",
        f"{_EVENT}-type",
        Column("a.type", ("http://terminology.hl7.org/CodeSystem/audit-event-type",)),
        "Type d'événement",
        "Type of event",
    ),
    Parameter(
        "subtype",
        "token",
        f"{_EVENT}-subtype",
        Column("a.subtype", ("http://hl7.org/fhir/restful-interaction",)),
        "Interaction",
        "Interaction",
    ),
    Parameter(
        "action",
        "token",
        f"{_EVENT}-action",
        Column("a.action", ("http://hl7.org/fhir/audit-event-action",)),
        "C, R, U, D ou E",
        "C, R, U, D or E",
    ),
    Parameter(
        "outcome",
        "token",
        f"{_EVENT}-outcome",
        Column("a.outcome", ("http://hl7.org/fhir/audit-event-outcome",)),
        "0 (fait), 4 (refusé), 8 (erreur)",
        "0 (done), 4 (refused), 8 (error)",
    ),
    Parameter(
        "purpose",
        "token",
        f"{PROJECT}/SearchParameter/AuditEvent-purpose",
        Column("a.purpose"),
        "Mode d'accès : normal, bris_de_glace, centre_15…",
        "Mode of access: normal, bris_de_glace, centre_15…",
    ),
)
