"""Valid resources of each PDSm profile, small and written by hand, for the tests that break them."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/"
MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
NOS = "https://mos.esante.gouv.fr/NOS/"
URI = "urn:ietf:rfc:3986"
LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"


def nos(name: str) -> str:
    """Canonical URL of a code system (TRE) or value set (JDV) of the ANS."""
    short, _, rest = name.partition("-")
    return f"{NOS}{name}/FHIR/{short.replace('_', '-')}-{rest}"


def concept(system: str, code: str) -> Tree:
    return {"coding": [{"system": system, "code": code}]}


def patient(name: str) -> Tree:
    system = "urn:oid:1.2.250.1.213.1.4.10"
    return {"resourceType": "Patient", "id": name, "identifier": [{"system": system, "value": "274036912390153"}]}


def role(name: str) -> Tree:
    identifier = {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700000112"}
    return {"resourceType": "PractitionerRole", "id": name, "identifier": [identifier]}


def extension(url: str, **value: Any) -> Tree:
    return {"url": url, **value}


def recipient() -> Tree:
    return extension(PDSM + "pdsm-ext-intended-recipient", valueReference={"reference": "#source"})


def comprehensive() -> Tree:
    return {
        "resourceType": "DocumentReference",
        "id": "fiche",
        "contained": [patient("patient"), role("author")],
        "extension": [extension(PDSM + "pdsm-ext-is-archived", valueBoolean=False)],
        "masterIdentifier": {"use": "usual", "system": URI, "value": "urn:oid:1.2.250.1.999.1"},
        "identifier": [
            {"use": "official", "system": URI, "value": "urn:uuid:3f44b500-ffa8-495b-a662-d539f1a88289"},
        ],
        "status": "current",
        "type": concept("http://loinc.org", "34133-9"),
        "category": [concept(nos("TRE_A03-ClasseDocument"), "11")],
        "subject": {"reference": "Patient/p1"},
        "date": "2026-11-20T09:30:00+01:00",
        "author": [{"reference": "#author"}],
        "authenticator": {"reference": "#author"},
        "custodian": {"reference": "Organization/o1"},
        "relatesTo": [{"code": "appends", "target": {"reference": "DocumentReference/d1"}}],
        "description": "Remarque",
        "securityLabel": [concept(nos("TRE_A08-HL7Confidentiality"), "N")],
        "content": [
            {
                "attachment": {
                    "contentType": "text/xml",
                    "language": "fr-FR",
                    "url": "Binary/b1",
                    "size": 12,
                    "hash": "A/hMRrv6Y15BjSM8kMLidrz+mHc=",
                    "title": "Synthèse",
                    "creation": "2026-11-20T09:30:00+01:00",
                },
                "format": {"system": nos("TRE_A11-IheFormatCode"), "code": "urn:ihe:iti:xds-sd:pdf:2008"},
            }
        ],
        "context": {
            "event": [concept("http://hl7.org/fhir/sid/icd-10", "E11")],
            "period": {"start": "2026-11-20T09:00:00+01:00", "end": "2026-11-20T09:25:00+01:00"},
            "facilityType": concept(nos("TRE_R02-SecteurActivite"), "SA52"),
            "practiceSetting": concept(nos("TRE_A01-CadreExercice"), "AMBULATOIRE"),
            "sourcePatientInfo": {"reference": "#patient"},
            "related": [
                {"identifier": {"type": {"coding": [{"system": URI}]}, "system": "urn:oid:1.2.250.1.999", "value": "1"}}
            ],
        },
    }


def simplified() -> Tree:
    full = comprehensive()
    kept = ("resourceType", "contained", "masterIdentifier", "status", "type", "category", "subject", "date", "author")
    tree = {name: full[name] for name in (*kept, "authenticator", "custodian", "securityLabel", "context")}
    attachment = {"contentType": "text/plain", "language": "fr-FR", "data": "Qm9uam91cg==", "title": "Note"}
    tree["content"] = [{"attachment": attachment, "format": full["content"][0]["format"]}]
    del tree["context"]["related"]
    return tree


def _list(kind: str) -> Tree:
    return {
        "resourceType": "List",
        "extension": [
            extension(
                MHD + "ihe-designationType",
                valueCodeableConcept=concept(nos("TRE_A00-ProducteurDocNonPS"), "EXP_PATIENT"),
            )
        ],
        "identifier": [{"use": "official", "system": URI, "value": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a88289"}],
        "status": "current",
        "mode": "working",
        "title": "Dépôt",
        "code": concept(LIST_TYPES, kind),
        "subject": {"reference": "Patient/p1"},
        "date": "2026-11-20T09:30:00+01:00",
        "note": [{"text": "Remarque"}],
        "entry": [{"item": {"reference": "DocumentReference/fiche"}}],
    }


def submission_set() -> Tree:
    tree = _list("submissionset")
    organization = {"resourceType": "Organization", "id": "organization", "name": "Maison de santé"}
    tree["contained"] = [role("source"), organization]
    tree["extension"] += [
        extension(MHD + "ihe-sourceId", valueIdentifier={"system": URI, "value": "urn:oid:1.2.250.1.999"}),
        extension(PDSM + "pdsm-ext-is-archived", valueBoolean=False),
        recipient(),
    ]
    tree["identifier"].append({"use": "usual", "system": URI, "value": "urn:oid:1.2.250.1.999.2"})
    author_org = extension(MHD + "ihe-authorOrg", valueReference={"reference": "#organization"})
    tree["source"] = {"extension": [author_org], "reference": "#source"}
    return tree


def folder() -> Tree:
    tree = _list("folder")
    tree["identifier"].append({"use": "usual", "system": URI, "value": "urn:oid:1.2.250.1.999.3"})
    return tree


def patch_parameters() -> Tree:
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def provide_bundle() -> Tree:
    def entry(url: str, resource: Tree, method: str, address: str) -> Tree:
        request = {"method": method, "url": address}
        return {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-{url:0>12}", "resource": resource, "request": request}

    return {
        "resourceType": "Bundle",
        "meta": {"profile": [MHD + "IHE.MHD.Comprehensive.ProvideBundle"]},
        "type": "transaction",
        "entry": [
            entry("1", submission_set(), "POST", "List"),
            entry("2", comprehensive(), "POST", "DocumentReference"),
            entry("3", patch_parameters(), "PATCH", "DocumentReference/d1"),
            entry("4", {"resourceType": "Binary", "contentType": "text/plain", "data": "Qm9u"}, "POST", "Binary"),
            entry("5", folder(), "PUT", "List/l1"),
            entry("6", {"resourceType": "Patient", "birthDate": "1974-03-12"}, "POST", "Patient"),
        ],
    }


def find_documents() -> Tree:
    entry = {"fullUrl": "https://dmp.example/DocumentReference/fiche", "resource": comprehensive()}
    return {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]}


def find_lists() -> Tree:
    lists = [submission_set() | {"id": "s"}, folder() | {"id": "f"}]
    entries = [{"fullUrl": f"https://dmp.example/List/{each['id']}", "resource": each} for each in lists]
    return {"resourceType": "Bundle", "type": "searchset", "total": 2, "entry": entries}
