"""capabilities: the CapabilityStatement, built from what is really wired (TF-160).
https://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

from functools import cache
from typing import Any

from dmp_fhir import __version__
from dmp_fhir.canonicals import (
    MHD,
    PDSM,
    PROFILE_AUDIT_EVENT,
    PROFILE_COMPREHENSIVE,
    PROFILE_FOLDER,
    PROFILE_SIMPLIFIED,
    PROFILE_SUBMISSION_SET,
    PROJECT,
)
from dmp_fhir.interactions import explain_access
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.operations import ACCESS_HISTORY, EXPLAIN_ACCESS, PROOFS, VALIDATE
from dmp_fhir.interactions.routes import SEARCHABLE, TYPES, methods_of
from dmp_fhir.profiles.checks import PROFILE_OF_TYPE
from dmp_fhir.registry.search.parameters import INCLUDES, REVINCLUDES, declared
from dmp_fhir.settings import Settings

Tree = dict[str, Any]

# The actors this server plays (PDSm and IHE MHD CapabilityStatements of kind requirements).
INSTANTIATES = (
    f"{PDSM}/CapabilityStatement/PDSm-GestionnaireDePartageDeDocuments",
    f"{MHD}/CapabilityStatement/IHE.MHD.DocumentRecipient.Comprehensive",
    f"{MHD}/CapabilityStatement/IHE.MHD.DocumentRecipient.Simplified",
    f"{MHD}/CapabilityStatement/IHE.MHD.DocumentResponder",
)
_PROFILES = {
    "DocumentReference": (PROFILE_COMPREHENSIVE, PROFILE_SIMPLIFIED),
    "List": (PROFILE_SUBMISSION_SET, PROFILE_FOLDER),
    "AuditEvent": (PROFILE_AUDIT_EVENT,),
} | {resource_type: (profile,) for resource_type, profile in PROFILE_OF_TYPE.items()}
_INTERACTIONS = (
    ("read", "GET", None),
    ("update", "PUT", None),
    ("patch", "PATCH", None),
    ("delete", "DELETE", None),
)
_NOTES = {
    "DocumentReference": "Sans status, les documents courants et remplacés sont candidats, jamais les supprimés ; les"
    " archivés seulement avec isArchived (D13). Un document se dépose par ITI-65 ou ITI-105, change par PATCH de"
    " status, securityLabel et isArchived. — Without status, current and superseded documents are candidates, deleted"
    " ones never; archived ones only with isArchived.",
    "Binary": "Octets du document dans son propre type, ou Binary FHIR. — Bytes of the document in its own type, or"
    " a FHIR Binary (ITI-68).",
    "Bundle": "Document FHIR déposé par ITI-65. — FHIR document deposited by ITI-65.",
}


def capability_statement(settings: Settings) -> Tree:
    return _statement(settings.base_url)


@cache
def _statement(base_url: str) -> Tree:
    return {
        "resourceType": "CapabilityStatement",
        "contained": [EXPLAIN_ACCESS, ACCESS_HISTORY, *PROOFS],
        "url": f"{PROJECT}/CapabilityStatement/dmp-fhir",
        "version": __version__,
        "name": "DmpFhir",
        "title": "Registre de documents du DMP / DMP document registry",
        "status": "active",
        "date": "2026-11-22",
        "kind": "instance",
        "instantiates": list(INSTANTIATES),
        "software": {"name": "dmp-fhir", "version": __version__},
        "implementation": {"description": "dmp-fhir", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": ["application/json-patch+json", "application/xml-patch+xml", "application/fhir+json"],
        "implementationGuide": [
            f"{PDSM}/ImplementationGuide/ans.fhir.fr.pdsm",
            f"{MHD}/ImplementationGuide/ihe.iti.mhd",
        ],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "cors": False,
                    "service": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                    "code": "OAuth",
                                }
                            ]
                        }
                    ],
                    "description": "Jeton porteur (JWT) par requête ; sans jeton : 401, sauf metadata."
                    " — A bearer token (JWT) with each request; without one: 401, except metadata.",
                },
                "resource": [_resource(resource_type) for resource_type in sorted(TYPES)],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


def _resource(resource_type: str) -> Tree:
    one = Request("GET", resource_type, id="x")
    every = Request("GET", resource_type)
    codes = [code for code, method, _ in _INTERACTIONS if method in methods_of(one)]
    codes += ["vread"]
    if "GET" in methods_of(Request("GET", resource_type, id="x", operation="_history")):
        codes.append("history-instance")
    creates = "POST" in methods_of(every)
    codes += (["create"] if creates else []) + (["search-type"] if resource_type in SEARCHABLE else [])
    resource: Tree = {"type": resource_type}
    if resource_type in _PROFILES:
        resource["supportedProfile"] = list(_PROFILES[resource_type])
    if resource_type in _NOTES:
        resource["documentation"] = _NOTES[resource_type]
    resource |= {
        "interaction": [{"code": code} for code in codes],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": False,
        "conditionalCreate": creates,
        "conditionalRead": "full-support",
        # R4 has no flag for a conditional patch; PDSm declares it with this one.
        "conditionalUpdate": resource_type == "DocumentReference",
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical", "local"],
    }
    resource["operation"] = [{"name": "validate", "definition": VALIDATE}]
    if resource_type in explain_access.TYPES:
        resource["operation"].append(
            {"name": EXPLAIN_ACCESS["code"], "definition": f"#{EXPLAIN_ACCESS['id']}"}
            | {"documentation": EXPLAIN_ACCESS["description"]}
        )
    if resource_type == "Patient":
        resource["operation"].append(
            {"name": ACCESS_HISTORY["code"], "definition": f"#{ACCESS_HISTORY['id']}"}
            | {"documentation": ACCESS_HISTORY["description"]}
        )
    if resource_type == "AuditEvent":
        resource["operation"] += [
            {"name": each["code"], "definition": f"#{each['id']}", "documentation": each["description"]}
            for each in PROOFS
        ]
    if resource_type in SEARCHABLE:
        includes, revincludes = INCLUDES.get(resource_type, ()), REVINCLUDES.get(resource_type, ())
        resource |= ({"searchInclude": list(includes)} if includes else {}) | (
            {"searchRevInclude": list(revincludes)} if revincludes else {}
        )
        resource["searchParam"] = [
            {"name": each.code, "type": each.type, "documentation": f"{each.fr} — {each.en}"}
            | ({"definition": each.definition} if each.definition else {})
            for each in declared(resource_type)
        ]
    return resource
