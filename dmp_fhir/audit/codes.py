"""Codes that AuditEvents are written with. They are parts of resources, made once and shared: never changed.

https://profiles.ihe.net/ITI/BALP/content.html, https://dicom.nema.org/medical/dicom/current/output/html/part15.html
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from dmp_fhir.canonicals import PROJECT, V3_ACT_REASON

BALP = "https://profiles.ihe.net/ITI/BALP"
BASIC = f"{BALP}/StructureDefinition/IHE.BasicAudit"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
OAUTH = f"{BALP}/CodeSystem/UserAgentTypes"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
RESTFUL = "http://hl7.org/fhir/restful-interaction"
ADMINISTRATION_SYSTEM = f"{PROJECT}/CodeSystem/audit-administration"

OAUTH_MINIMAL = f"{BASIC}.OAUTHaccessTokenUse.Minimal"
AUTHZ_CONSENT = f"{BASIC}.AuthZconsent"
EXT_ACCESS_MODE = f"{PROJECT}/StructureDefinition/dmp-access-mode"
EXT_ASSURANCE = f"{BALP}/StructureDefinition/ihe-assuranceLevel"
PROFILE_EVENT = f"{PROJECT}/StructureDefinition/dmp-audit-event"
PROFILE_REFUSAL = f"{PROJECT}/StructureDefinition/dmp-audit-refusal"
PROFILE_OPERATION = f"{PROJECT}/StructureDefinition/dmp-audit-operation"
PROFILE_DECISION = f"{PROJECT}/StructureDefinition/dmp-audit-decision"
PROFILE_ADMINISTRATION = f"{PROJECT}/StructureDefinition/dmp-audit-administration"
PROFILE_APPLICATION = f"{PROJECT}/StructureDefinition/dmp-audit-application"

JTI = "urn:ietf:params:oauth:jti:"


def coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def coded(*codings: dict[str, str]) -> dict[str, Any]:
    return {"coding": list(codings)}


TYPE_REST = coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation")
TYPE_ALERT = coding(DCM, "110113", "Security Alert")
TYPE_APPLICATION = coding(DCM, "110100", "Application Activity")
AUTHZ_SUBTYPE = coding(f"{BALP}/CodeSystem/AuthZsubType", "AuthZ-Consent", "Authorization Decision using Consent")
CONFIGURATION = coding(DCM, "110131", "Security Configuration")
STARTED = coding(DCM, "110120", "Application Start")
STOPPED = coding(DCM, "110121", "Application Stop")

SOURCE = coded(coding(DCM, "110153", "Source Role ID"))
DESTINATION = coded(coding(DCM, "110152", "Destination Role ID"))
APPLICATION_AGENT = coded(coding(DCM, "110150", "Application"))
LAUNCHER = coded(coding(DCM, "110151", "Application Launcher"))
CUSTODIAN = coded(coding("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian"))
AUTHORIZER = coded(
    coding("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "authserver", "authorization server")
)
PROVIDER = coded(coding("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV", "healthcare provider"))

_BEARER = coding(OAUTH, "UserOauthAgent", "User OAuth Agent participant")
_IRCP = coding(PARTICIPATION, "IRCP", "information recipient")
_AUT = coding(PARTICIPATION, "AUT", "author (originator)")
_CST = coding(PARTICIPATION, "CST", "custodian")
# What a user did it as: read, wrote, or wrote for an organisation; by the token it came with, or without one.
RECIPIENT = (coded(_IRCP), coded(_IRCP, _BEARER))
AUTHOR = (coded(_AUT), coded(_AUT, _BEARER))
KEEPER = (coded(_CST), coded(_CST, _BEARER))

PURPOSES = MappingProxyType(
    {
        purpose: coded(coding(V3_ACT_REASON, code, display))
        for purpose, code, display in (
            ("normal", "TREAT", "treatment"),
            ("bris_de_glace", "BTG", "break the glass"),
            ("centre_15", "ETREAT", "Emergency Treatment"),
            ("patient", "PATRQT", "patient requested"),
            ("systeme", "HOPERAT", "healthcare operations"),
        )
    }
)
"""Purposes of use of a caller, as purposeOfEvent and purposeOfUse."""

SERVER = [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")]
SECURITY_SERVER = [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "6", "Security Server")]

PERSON = coding(ENTITY_TYPE, "1", "Person")
SYSTEM_OBJECT = coding(ENTITY_TYPE, "2", "System Object")
OTHER = coding(ENTITY_TYPE, "4", "Other")
PATIENT = coding(OBJECT_ROLE, "1", "Patient")
REPORT = coding(OBJECT_ROLE, "3", "Report")
RESOURCE = coding(OBJECT_ROLE, "4", "Domain Resource")
JOB = coding(OBJECT_ROLE, "20", "Job")
QUERY = coding(OBJECT_ROLE, "24", "Query")
CONSENT = coding(RESOURCE_TYPES, "Consent", "Consent")
DOCUMENT = coding(RESOURCE_TYPES, "DocumentReference", "DocumentReference")
TOKEN = _BEARER
REQUEST_ID = {"system": f"{BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
