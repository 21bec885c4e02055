"""Search parameters of DocumentReference (ITI-67) and List (ITI-66), those of MHD and PDSm included."""

from __future__ import annotations

from dmp_fhir.canonicals import MHD, PDSM
from dmp_fhir.registry.search.definitions import HL7, PEOPLE, PERSON_CHAINS, Parameter, common, patient, token
from dmp_fhir.registry.search.sources import Column, Flag, Items, References, Span, Texts


def _archived(alias: str) -> Parameter:
    return Parameter(
        "isArchived",
        "token",
        f"{PDSM}/SearchParameter/PDSm-isArchived",
        Flag(f"{alias}.archived"),
        "Archivé ; sans ce paramètre, l'archivé n'est pas rendu ; sans l'extension, une fiche n'est pas archivée",
        "Archived; without this parameter what is archived is left out; without the extension, not archived",
    )


_DOC = f"{HL7}/DocumentReference"
DOCUMENT_REFERENCE = (
    *common("d"),
    patient("clinical-patient"),
    patient("DocumentReference-subject", "subject"),
    Parameter(
        "status",
        "token",
        f"{_DOC}-status",
        Column("d.status", ("http://hl7.org/fhir/document-reference-status",)),
        "Statut : current, superseded",
        "Status: current, superseded",
    ),
    token(
        "identifier",
        f"{HL7}/clinical-identifier",
        "uniqueId (masterIdentifier) ou entryUUID, présents et passés",
        "uniqueId (masterIdentifier) or entryUUID, present and past",
    ),
    token("type", f"{HL7}/clinical-type", "Type de document (typeCode)", "Type of document (typeCode)"),
    token("category", f"{_DOC}-category", "Classe de document (classCode)", "Class of document (classCode)"),
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
    token("facility", f"{_DOC}-facility", "Modalité d'exercice (facilityType)", "Kind of facility (facilityType)"),
    token("setting", f"{_DOC}-setting", "Cadre d'exercice (practiceSetting)", "Practice setting"),
    token("event", f"{_DOC}-event", "Actes et pathologies (event)", "Acts and conditions (event)"),
    token("format", f"{_DOC}-format", "Format du contenu (formatCode)", "Format of the content (formatCode)"),
    token(
        "security-label",
        f"{_DOC}-security-label",
        "Confidentialité et visibilité, parmi ce que l'appelant peut voir",
        "Confidentiality and visibility, among what the caller may see",
    ),
    Parameter(
        "related",
        "reference",
        f"{_DOC}-related",
        References((), documents=True),
        "Références associées (context.related), par système|valeur",
        "Related references (context.related), by system|value",
    ),
    Parameter(
        "relatesto",
        "reference",
        f"{_DOC}-relatesto",
        References(("DocumentReference",), documents=True),
        "Document que celui-ci remplace, complète, transforme ou signe",
        "Document that this one replaces, appends, transforms or signs",
    ),
    Parameter(
        "author",
        "reference",
        f"{_DOC}-author",
        References(PEOPLE),
        "Auteur ; les chaînes portent sur l'auteur contenu et sur celui de l'annuaire",
        "Author; chains look at contained authors and at those of the directory",
        PERSON_CHAINS,
    ),
    _archived("d"),
)

LIST = (
    *common("l"),
    patient("clinical-patient"),
    patient("List-subject", "subject"),
    token(
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
    token("identifier", f"{HL7}/clinical-identifier", "uniqueId ou entryUUID", "uniqueId or entryUUID"),
    token(
        "designationType",
        f"{MHD}/SearchParameter/List-DesignationType",
        "Type d'activité du lot ou codes du classeur",
        "Content type of the set or codes of the folder",
    ),
    token("sourceId", f"{MHD}/SearchParameter/List-SourceId", "Système source du lot", "Source system of the set"),
    Parameter(
        "source",
        "reference",
        f"{HL7}/List-source",
        References(PEOPLE),
        "Auteur du lot (PDSm : Patient ou PractitionerRole)",
        "Author of the set (PDSm: Patient or PractitionerRole)",
        PERSON_CHAINS,
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
