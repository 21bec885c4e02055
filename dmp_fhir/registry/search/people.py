"""Search parameters of patients, of professionals and organisations, and of who is around a patient."""

from __future__ import annotations

from dmp_fhir.registry.search.definitions import (
    HL7,
    PEOPLE,
    PERSON_CHAINS,
    Parameter,
    common,
    identifier,
    patient,
    token,
)
from dmp_fhir.registry.search.sources import Flag, References, Texts


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


# TD0.2 names the patient by the INS: no guide has a search by traits (interactions/td02_record_status.py refuses it).
PATIENT = (
    *common("r"),
    identifier("Patient"),
    _active("Patient-active", "r.status = 'open'"),
)

PRACTITIONER = (
    *common("p"),
    identifier("Practitioner"),
    *_names("Practitioner-name", "individual-family", "individual-given"),
    _active("Practitioner-active"),
)

PRACTITIONER_ROLE = (
    *common("p"),
    identifier("PractitionerRole"),
    Parameter(
        "practitioner",
        "reference",
        f"{HL7}/PractitionerRole-practitioner",
        References(("Practitioner",)),
        "Professionnel",
        "Professional",
        PERSON_CHAINS,
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
    token("role", f"{HL7}/PractitionerRole-role", "Profession ou rôle", "Profession or role"),
    token("specialty", f"{HL7}/PractitionerRole-specialty", "Savoir-faire", "Specialty"),
    _active("PractitionerRole-active"),
)

ORGANIZATION = (
    *common("p"),
    identifier("Organization"),
    *_names("Organization-name"),
    token("type", f"{HL7}/Organization-type", "Type de structure", "Kind of organisation"),
    _active("Organization-active"),
)

RELATED_PERSON = (
    *common("p"),
    patient("RelatedPerson-patient"),
    identifier("RelatedPerson"),
    token("relationship", f"{HL7}/RelatedPerson-relationship", "Lien avec le patient", "Relation to the patient"),
    *_names("RelatedPerson-name"),
    _active("RelatedPerson-active"),
)

DEVICE = (
    *common("p"),
    identifier("Device"),
    token("type", f"{HL7}/Device-type", "Type de dispositif", "Kind of device"),
)

CARE_TEAM = (
    *common("p"),
    patient("clinical-patient"),
    identifier("CareTeam", "clinical-identifier"),
    token("status", f"{HL7}/CareTeam-status", "Statut de l'équipe", "Status of the team"),
    Parameter(
        "participant",
        "reference",
        f"{HL7}/CareTeam-participant",
        References(PEOPLE),
        "Membre de l'équipe",
        "Member of the team",
        ("identifier",),
    ),
)
