"""Search parameters of Consent (IHE PCF, ITI-108)."""

from __future__ import annotations

from dmp_fhir.registry.search.definitions import HL7, PEOPLE, Parameter, common, identifier, patient, token
from dmp_fhir.registry.search.sources import Column, Moment, References, Span

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
