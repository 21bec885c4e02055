"""Bodies of our own: documents and lots by Dr Moreau for Claire Martin, unless said otherwise."""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any

Tree = dict[str, Any]

INS = "urn:oid:1.2.250.1.213.1.4.10"
CLAIRE = f"{INS}|274036912390153"
JULIEN = f"{INS}|172113523890227"
HENRI = f"{INS}|138014410990813"
NADIA = f"{INS}|285101305590966"
THOMAS = f"{INS}|101126748291182"
PS = "urn:oid:1.2.250.1.71.4.2.1"
STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"
URI = "urn:ietf:rfc:3986"
NOS = "https://mos.esante.gouv.fr/NOS"
TRE_A07 = f"{NOS}/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition"
PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition"
IS_ARCHIVED = f"{PDSM}/pdsm-ext-is-archived"
NORMAL = {"coding": [{"system": CONFIDENTIALITY, "code": "N"}]}


def mask(code: str) -> Tree:
    return {"coding": [{"system": TRE_A07, "code": code}]}


def concept(system: str, code: str) -> Tree:
    return {"coding": [{"system": system, "code": code}]}


def oid(name: str) -> str:
    """A uniqueId of its own for a name (ITU-T X.667)."""
    return f"urn:oid:2.25.{uuid.uuid5(uuid.NAMESPACE_URL, name).int}"


def urn(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"


def text_of(name: str) -> bytes:
    return f"Compte rendu {name} : tension 12/8, température 37,5 °C.\n".encode()


def sha1(content: bytes) -> str:
    return base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


def relation(code: str, name: str) -> Tree:
    """`relatesTo` a document by its uniqueId."""
    return {"code": code, "target": {"type": "DocumentReference", "identifier": {"system": URI, "value": oid(name)}}}


def document(name: str, *, ins: str = CLAIRE, content: bytes | None = None, **changes: Any) -> Tree:
    """A comprehensive DocumentReference (PDSm), whose document is the Binary `urn(name + " document")`."""
    content = text_of(name) if content is None else content
    system, value = ins.split("|")
    tree: Tree = {
        "resourceType": "DocumentReference",
        "contained": [
            {"resourceType": "Patient", "id": "patient", "identifier": [{"system": system, "value": value}]},
            {
                "resourceType": "PractitionerRole",
                "id": "author",
                "identifier": [{"system": PS, "value": "899700000112"}],
                "practitioner": {"reference": "#author-person"},
                "organization": {"reference": "#author-organization"},
            },
            {
                "resourceType": "Practitioner",
                "id": "author-person",
                "identifier": [{"system": PS, "value": "899700000112"}],
                "name": [{"family": "Moreau", "given": ["Anne"]}],
            },
            {
                "resourceType": "Organization",
                "id": "author-organization",
                "identifier": [{"system": STRUCTURE, "value": "1990000044"}],
                "name": "Maison de santé des Tilleuls",
            },
        ],
        "extension": [{"url": IS_ARCHIVED, "valueBoolean": False}],
        "masterIdentifier": {"use": "usual", "system": URI, "value": oid(name)},
        "status": "current",
        "type": concept("http://loinc.org", "11488-4"),
        "category": [concept(f"{NOS}/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument", "10")],
        "subject": {"reference": f"Patient?identifier={ins}"},
        "date": "2026-11-20T10:30:00+01:00",
        "author": [{"reference": "#author"}],
        "authenticator": {"reference": "#author"},
        "custodian": {"type": "Organization", "identifier": {"system": STRUCTURE, "value": "1990000044"}},
        "securityLabel": [NORMAL],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "language": "fr-FR",
                    "url": urn(f"{name} document"),
                    "size": len(content),
                    "hash": sha1(content),
                    "title": f"Consultation {name}",
                    "creation": "2026-11-20T10:15:00+01:00",
                },
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": {
            "period": {"start": "2026-11-20T10:00:00+01:00"},
            "facilityType": concept(f"{NOS}/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite", "SA05"),
            "practiceSetting": concept(f"{NOS}/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice", "AMBULATOIRE"),
            "sourcePatientInfo": {"reference": "#patient"},
        },
    }
    return tree | changes


def simple(name: str, *, content: bytes | None = None, **changes: Any) -> Tree:
    """The same for ITI-105: the document in `data`."""
    content = text_of(name) if content is None else content
    tree = document(name, content=content, **changes)
    attachment = dict(tree["content"][0]["attachment"])
    del attachment["url"]
    attachment["data"] = base64.b64encode(content).decode()
    return tree | {"content": [tree["content"][0] | {"attachment": attachment}]}


def submission_set(name: str, *members: str, ins: str = CLAIRE, **changes: Any) -> Tree:
    """`members` are full URLs."""
    tree: Tree = {
        "resourceType": "List",
        "contained": [
            {"resourceType": "Practitioner", "id": "source", "identifier": [{"system": PS, "value": "899700000112"}]}
        ],
        "extension": [
            {"url": f"{MHD}/ihe-designationType", "valueCodeableConcept": concept("http://loinc.org", "11488-4")},
            {
                "url": f"{MHD}/ihe-sourceId",
                "valueIdentifier": {"system": URI, "value": "urn:oid:2.16.840.1.113883.19.7"},
            },
        ],
        "identifier": [{"use": "usual", "system": URI, "value": oid(f"{name} set")}],
        "status": "current",
        "mode": "working",
        "title": f"Lot {name}",
        "code": concept(LIST_TYPES, "submissionset"),
        "subject": {"reference": f"Patient?identifier={ins}"},
        "date": "2026-11-20T11:00:00+01:00",
        "source": {"reference": "#source"},
        "entry": [{"item": {"reference": each}} for each in members],
    }
    return tree | changes


def folder(name: str, *members: str, ins: str = CLAIRE, **changes: Any) -> Tree:
    """`members` are references."""
    tree: Tree = {
        "resourceType": "List",
        "extension": [
            {"url": f"{MHD}/ihe-designationType", "valueCodeableConcept": concept("http://loinc.org", "11488-4")}
        ],
        "identifier": [{"use": "usual", "system": URI, "value": oid(f"{name} folder")}],
        "status": "current",
        "mode": "working",
        "title": f"Classeur {name}",
        "code": concept(LIST_TYPES, "folder"),
        "subject": {"reference": f"Patient?identifier={ins}"},
        "date": "2026-11-20T11:00:00+01:00",
        "entry": [{"item": {"reference": each}} for each in members],
    }
    return tree | changes


def post(resource: Tree, full_url: str | None = None) -> Tree:
    entry: Tree = {"fullUrl": full_url} if full_url else {}
    return entry | {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def bundle(*entries: Tree, kind: str = "transaction") -> Tree:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def binary(content: bytes, content_type: str = "text/plain") -> Tree:
    return {"resourceType": "Binary", "contentType": content_type, "data": base64.b64encode(content).decode()}


def lot(name: str, *more: Tree, ins: str = CLAIRE, content: bytes | None = None, **changes: Any) -> Tree:
    """An ITI-65 bundle with one document: submission set, DocumentReference, Binary, then `more` entries."""
    content = text_of(name) if content is None else content
    return bundle(
        post(submission_set(name, urn(name), ins=ins), urn(f"{name} set")),
        post(document(name, ins=ins, content=content, **changes), urn(name)),
        post(binary(content), urn(f"{name} document")),
        *more,
    )


def supersede(document_id: str) -> Tree:
    """The PATCH entry of an MHD replacement (slice UpdateDocumentRefs)."""
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "value", "valueCode": "superseded"},
    ]
    return {
        "fullUrl": urn(f"patch {document_id}"),
        "resource": {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]},
        "request": {"method": "PATCH", "url": f"DocumentReference/{document_id}"},
    }


def replace(path: str, value: Any) -> Tree:
    """One operation of a JSON Patch."""
    return {"op": "replace", "path": path, "value": value}
