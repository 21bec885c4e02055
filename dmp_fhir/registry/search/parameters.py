"""The search parameters of this server, as data: parsed, run, declared in the CapabilityStatement and documented from here.

https://hl7.org/fhir/R4/searchparameter-registry.html, https://profiles.ihe.net/ITI/MHD/ITI-66.html and ITI-67.html, PDSm
search parameters, https://profiles.ihe.net/ITI/BALP/ (ITI-81). Nothing that is not listed is searched (D11).
"""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.canonicals import MHD, PDSM, PROJECT
from dmp_fhir.registry.search.sources import (
    Column,
    Day,
    FewTexts,
    Flag,
    Items,
    Moment,
    NationalIds,
    Pointer,
    References,
    Selector,
    Source,
    Span,
    Texts,
    Tokens,
)

HL7 = "http://hl7.org/fhir/SearchParameter"

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
# `:text` is refused everywhere: displays are not indexed.
MODIFIERS = {
    "token": ("not", "missing"),
    "string": ("exact", "contains", "missing"),
    "date": ("missing",),
    "reference": ("identifier", "missing"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter: `type` is its FHIR type, `definition` the canonical address of its SearchParameter, `chains`
    the parameters of the target that may follow a dot."""

    code: str
    type: str
    definition: str
    source: Source
    fr: str
    en: str
    chains: tuple[str, ...] = ()

    @property
    def modifiers(self) -> tuple[str, ...]:
        """Those of its type that mean something here: what is always present is never `:missing`."""
        match self.source:
            case Selector() | NationalIds():
                return ("identifier",)
            case Flag() | Column():
                return ("not",)
            case FewTexts():
                return ("exact", "contains")
            case Items() | Pointer() | Moment():
                return ()
        return MODIFIERS[self.type]

    @property
    def targets(self) -> tuple[str, ...]:
        match self.source:
            case Selector():
                return ("Patient",)
            case References(targets) | Items(targets) | NationalIds(_, targets):
                return targets
        return ()


@dataclass(frozen=True, slots=True)
class SortKey:
    """What `_sort` may order by: an SQL expression that is never NULL. `changes` when it moves as resources change."""

    sql: str
    changes: bool = False


_PEOPLE = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Organization", "Device")
_PERSON_CHAINS = ("given", "family", "name", "identifier")
_OLDEST = "-4611686018427387904"


def _common(alias: str, changed: str = "last_updated") -> tuple[Parameter, ...]:
    return (
        Parameter(
            "_id", "token", f"{HL7}/Resource-id", Column(f"{alias}.id"), "Identifiant de la ressource", "Resource id"
        ),
        Parameter(
            "_lastUpdated",
            "date",
            f"{HL7}/Resource-lastUpdated",
            Moment(f"{alias}.{changed}"),
            "Instant de la dernière modification",
            "Instant of the latest change",
        ),
    )


def _patient(definition: str, code: str = "patient") -> Parameter:
    return Parameter(
        code, "reference", f"{HL7}/{definition}", Selector(), "Patient concerné", "Patient concerned", ("identifier",)
    )


def _token(code: str, definition: str, fr: str, en: str) -> Parameter:
    return Parameter(code, "token", definition, Tokens(), fr, en)


def _archived(alias: str) -> Parameter:
    return Parameter(
        "isArchived",
        "token",
        f"{PDSM}/SearchParameter/PDSm-isArchived",
        Flag(f"{alias}.archived"),
        "Archivé ; sans ce paramètre, ce qui est archivé n'est pas rendu ; une fiche sans l'extension n'est pas archivée",
        "Archived; without this parameter what is archived is left out; without the extension, not archived",
    )


_DOC = f"{HL7}/DocumentReference"
_DOCUMENT_REFERENCE = (
    *_common("d"),
    _patient("clinical-patient"),
    _patient("DocumentReference-subject", "subject"),
    Parameter(
        "status",
        "token",
        f"{_DOC}-status",
        Column("d.status", ("http://hl7.org/fhir/document-reference-status",)),
        "Statut : current, superseded",
        "Status: current, superseded",
    ),
    _token(
        "identifier",
        f"{HL7}/clinical-identifier",
        "uniqueId (masterIdentifier) ou entryUUID, présents et passés",
        "uniqueId (masterIdentifier) or entryUUID, present and past",
    ),
    _token("type", f"{HL7}/clinical-type", "Type de document (typeCode)", "Type of document (typeCode)"),
    _token("category", f"{_DOC}-category", "Classe de document (classCode)", "Class of document (classCode)"),
    Parameter(
        "creation",
        "date",
        f"{MHD}/SearchParameter/DocumentReference-Creation",
        Span("d.creation_low", "d.creation_high"),
        "Date de création du document (attachment.creation)",
        "Date of creation of the document (attachment.creation)",
    ),
    Parameter(
        "date",
        "date",
        f"{_DOC}-date",
        Span("d.date_low", "d.date_high"),
        "Date de la fiche (DocumentReference.date)",
        "Date of the record (DocumentReference.date)",
    ),
    Parameter(
        "period",
        "date",
        f"{_DOC}-period",
        Span("d.start_low", "d.end_high", open_ended=True),
        "Période de l'acte",
        "Period of the act",
    ),
    Parameter(
        "period-start",
        "date",
        f"{PDSM}/SearchParameter/PDSm-DocumentReference-period-start",
        Span("d.start_low", "d.start_high"),
        "Début de l'acte",
        "Start of the act",
    ),
    Parameter(
        "period-end",
        "date",
        f"{PDSM}/SearchParameter/PDSm-DocumentReference-period-end",
        Span("d.end_low", "d.end_high"),
        "Fin de l'acte",
        "End of the act",
    ),
    _token("facility", f"{_DOC}-facility", "Modalité d'exercice (facilityType)", "Kind of facility (facilityType)"),
    _token("setting", f"{_DOC}-setting", "Cadre d'exercice (practiceSetting)", "Practice setting"),
    _token("event", f"{_DOC}-event", "Actes et pathologies (event)", "Acts and conditions (event)"),
    _token("format", f"{_DOC}-format", "Format du contenu (formatCode)", "Format of the content (formatCode)"),
    _token(
        "security-label",
        f"{_DOC}-security-label",
        "Confidentialité et visibilité, parmi ce que l'appelant peut voir",
        "Confidentiality and visibility, among what the caller may see",
    ),
    Parameter(
        "related",
        "reference",
        f"{_DOC}-related",
        References(()),
        "Références associées (context.related), par système|valeur",
        "Related references (context.related), by system|value",
    ),
    Parameter(
        "relatesto",
        "reference",
        f"{_DOC}-relatesto",
        References(("DocumentReference",)),
        "Document que celui-ci remplace, complète, transforme ou signe",
        "Document that this one replaces, appends, transforms or signs",
    ),
    Parameter(
        "author",
        "reference",
        f"{_DOC}-author",
        References(_PEOPLE),
        "Auteur ; les chaînes portent sur l'auteur contenu et sur celui de l'annuaire",
        "Author; chains look at contained authors and at those of the directory",
        _PERSON_CHAINS,
    ),
    _archived("d"),
)

_LIST = (
    *_common("l"),
    _patient("clinical-patient"),
    _patient("List-subject", "subject"),
    _token(
        "code",
        f"{HL7}/clinical-code",
        "submissionset (lot) ou folder (classeur) ; le système MHD écrit en http est admis",
        "submissionset or folder; the MHD system written with http is accepted",
    ),
    Parameter(
        "status",
        "token",
        f"{HL7}/List-status",
        Column("l.status", ("http://hl7.org/fhir/list-status",), (("superseded", "retired"),)),
        "Statut : current, retired (superseded de MHD est compris comme retired)",
        "Status: current, retired (superseded of MHD is read as retired)",
    ),
    Parameter(
        "date",
        "date",
        f"{HL7}/clinical-date",
        Span("l.date_low", "l.date_high"),
        "Date de soumission du lot, de mise à jour du classeur",
        "Submission time of the set, update time of the folder",
    ),
    _token("identifier", f"{HL7}/clinical-identifier", "uniqueId ou entryUUID", "uniqueId or entryUUID"),
    _token(
        "designationType",
        f"{MHD}/SearchParameter/List-DesignationType",
        "Type d'activité du lot ou codes du classeur",
        "Content type of the set or codes of the folder",
    ),
    _token("sourceId", f"{MHD}/SearchParameter/List-SourceId", "Système source du lot", "Source system of the set"),
    Parameter(
        "source",
        "reference",
        f"{HL7}/List-source",
        References(_PEOPLE),
        "Auteur du lot (PDSm : Patient ou PractitionerRole)",
        "Author of the set (PDSm: Patient or PractitionerRole)",
        _PERSON_CHAINS,
    ),
    Parameter(
        "authorOrg",
        "reference",
        f"{PDSM}/SearchParameter/PDSm-List-authorOrg",
        References(("Organization",)),
        "Structure de l'auteur du lot",
        "Organisation of the author of the set",
        ("identifier",),
    ),
    Parameter("title", "string", f"{HL7}/List-title", Texts(), "Titre", "Title"),
    Parameter(
        "item", "reference", f"{HL7}/List-item", Items(), "Document du lot ou du classeur", "Document of the list"
    ),
    _archived("l"),
)

_IDENTIFIER = {
    "Patient": "Patient-identifier",
    "RelatedPerson": "RelatedPerson-identifier",
    "Device": "Device-identifier",
    "CareTeam": "clinical-identifier",
    "Consent": "clinical-identifier",
}


def _identifier(resource_type: str) -> Parameter:
    definition = _IDENTIFIER.get(resource_type, f"{resource_type}-identifier")
    return _token("identifier", f"{HL7}/{definition}", "Identifiant national ou local", "National or local identifier")


def _names(name: str, family: str | None = None, given: str | None = None) -> tuple[Parameter, ...]:
    parameters = [Parameter("name", "string", f"{HL7}/{name}", Texts(), "Nom, ou partie du nom", "Name, or part of it")]
    if family:
        parameters.append(Parameter("family", "string", f"{HL7}/{family}", Texts(), "Nom de famille", "Family name"))
    if given:
        parameters.append(Parameter("given", "string", f"{HL7}/{given}", Texts(), "Prénom", "Given name"))
    return tuple(parameters)


def _active(definition: str, sql: str = "p.active") -> Parameter:
    return Parameter(
        "active", "token", f"{HL7}/{definition}", Flag(sql), "En activité : true, false", "Active: true, false"
    )


_PATIENT = (
    *_common("r"),
    _identifier("Patient"),
    *_names("Patient-name", "individual-family", "individual-given"),
    Parameter(
        "birthdate", "date", f"{HL7}/individual-birthdate", Day("r.birth_date"), "Date de naissance", "Birth date"
    ),
    _token("gender", f"{HL7}/individual-gender", "Sexe", "Gender"),
    _active("Patient-active", "r.status = 'open'"),
)

_PRACTITIONER = (
    *_common("p"),
    _identifier("Practitioner"),
    *_names("Practitioner-name", "individual-family", "individual-given"),
    _active("Practitioner-active"),
)

_PRACTITIONER_ROLE = (
    *_common("p"),
    _identifier("PractitionerRole"),
    Parameter(
        "practitioner",
        "reference",
        f"{HL7}/PractitionerRole-practitioner",
        References(("Practitioner",)),
        "Professionnel",
        "Professional",
        _PERSON_CHAINS,
    ),
    Parameter(
        "organization",
        "reference",
        f"{HL7}/PractitionerRole-organization",
        References(("Organization",)),
        "Structure d'exercice",
        "Organisation",
        ("name", "identifier"),
    ),
    _token("role", f"{HL7}/PractitionerRole-role", "Profession ou rôle", "Profession or role"),
    _token("specialty", f"{HL7}/PractitionerRole-specialty", "Savoir-faire", "Specialty"),
    _active("PractitionerRole-active"),
)

_ORGANIZATION = (
    *_common("p"),
    _identifier("Organization"),
    *_names("Organization-name"),
    _token("type", f"{HL7}/Organization-type", "Type de structure", "Kind of organisation"),
    _active("Organization-active"),
)

_RELATED_PERSON = (
    *_common("p"),
    _patient("RelatedPerson-patient"),
    _identifier("RelatedPerson"),
    _token("relationship", f"{HL7}/RelatedPerson-relationship", "Lien avec le patient", "Relation to the patient"),
    *_names("RelatedPerson-name"),
    _active("RelatedPerson-active"),
)

_DEVICE = (
    *_common("p"),
    _patient("Device-patient"),
    _identifier("Device"),
    _token("type", f"{HL7}/Device-type", "Type de dispositif", "Kind of device"),
)

_CARE_TEAM = (
    *_common("p"),
    _patient("clinical-patient"),
    _identifier("CareTeam"),
    _token("status", f"{HL7}/CareTeam-status", "Statut de l'équipe", "Status of the team"),
    Parameter(
        "participant",
        "reference",
        f"{HL7}/CareTeam-participant",
        References(_PEOPLE),
        "Membre de l'équipe",
        "Member of the team",
        ("identifier",),
    ),
)

_CONSENT = (
    *_common("c"),
    _patient("clinical-patient"),
    _identifier("Consent"),
    Parameter(
        "status",
        "token",
        f"{HL7}/Consent-status",
        Column("c.status", ("http://hl7.org/fhir/consent-state-codes",)),
        "Statut",
        "Status",
    ),
    _token("category", f"{HL7}/Consent-category", "Nature du choix", "Kind of choice"),
    Parameter(
        "actor",
        "reference",
        f"{HL7}/Consent-actor",
        References((*_PEOPLE, "CareTeam")),
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
_AUDIT_EVENT = (
    *_common("a", "recorded"),
    _patient("AuditEvent-patient"),
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

_DECLARED: dict[str, tuple[Parameter, ...]] = {
    "Patient": _PATIENT,
    "Practitioner": _PRACTITIONER,
    "PractitionerRole": _PRACTITIONER_ROLE,
    "Organization": _ORGANIZATION,
    "RelatedPerson": _RELATED_PERSON,
    "Device": _DEVICE,
    "CareTeam": _CARE_TEAM,
    "DocumentReference": _DOCUMENT_REFERENCE,
    "List": _LIST,
    "Consent": _CONSENT,
    "AuditEvent": _AUDIT_EVENT,
}
_BY_CODE = {name: {each.code: each for each in parameters} for name, parameters in _DECLARED.items()}

INCLUDES: dict[str, tuple[str, ...]] = {
    "DocumentReference": (
        "DocumentReference:relatesto",
        "DocumentReference:patient",
        "DocumentReference:subject",
    ),
    "List": ("List:item", "List:patient", "List:subject"),
}
REVINCLUDES: dict[str, tuple[str, ...]] = {"DocumentReference": ("List:item",)}

_PARTY_SORTS = {"_id": SortKey("p.id"), "_lastUpdated": SortKey("p.last_updated", changes=True)}
SORTS: dict[str, dict[str, SortKey]] = {
    "DocumentReference": {
        "_id": SortKey("d.id"),
        "_lastUpdated": SortKey("d.last_updated", changes=True),
        "date": SortKey(f"COALESCE(d.date_low, {_OLDEST})"),
        "creation": SortKey(f"COALESCE(d.creation_low, {_OLDEST})"),
        "period": SortKey(f"COALESCE(d.start_low, {_OLDEST})"),
        "type": SortKey("COALESCE(d.type_code, '')"),
    },
    "List": {
        "_id": SortKey("l.id"),
        "_lastUpdated": SortKey("l.last_updated", changes=True),
        "date": SortKey(f"COALESCE(l.date_low, {_OLDEST})"),
        "title": SortKey("SUBSTR(COALESCE(l.title, ''), 1, 100)"),
    },
    "Consent": {
        "_id": SortKey("c.id"),
        "_lastUpdated": SortKey("c.last_updated", changes=True),
        "date": SortKey("c.decided"),
    },
    "AuditEvent": {"_id": SortKey("a.id"), "_lastUpdated": SortKey("a.recorded"), "date": SortKey("a.recorded")},
    "Patient": {"_id": SortKey("r.id"), "_lastUpdated": SortKey("r.last_updated", changes=True)},
} | dict.fromkeys(
    ("Practitioner", "PractitionerRole", "Organization", "RelatedPerson", "Device", "CareTeam"), _PARTY_SORTS
)

RESULT_PARAMETERS = ("_count", "_sort", "_total", "_summary", "_include", "_revinclude")


def declared(resource_type: str) -> tuple[Parameter, ...]:
    """The search parameters of a resource type; none for a type that is not searched."""
    return _DECLARED.get(resource_type, ())


def searched_types() -> tuple[str, ...]:
    return tuple(_DECLARED)


def parameter(resource_type: str, code: str) -> Parameter | None:
    return _BY_CODE[resource_type].get(code)
