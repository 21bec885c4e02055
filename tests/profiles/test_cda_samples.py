"""Official sample documents of the ANS, when their folder is there (tests/fixtures/world.py, `shared`): each agrees
with the XDS metadata made from it, carried to a DocumentReference; and a wrong one is told apart from all the others.
Without the folder, documents of our own stand for them."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from dmp_fhir.profiles.cda import examine, stated_issues
from tests.fixtures.world import shared
from tests.support.cda import FIRST, SECOND, world_cda

Tree = dict[str, Any]
SYSTEMS = {"2.16.840.1.113883.6.1": "http://loinc.org"}


def _instant(dtm: str) -> str:
    return re.sub(r"(....)(..)(..)(..)(..)(..)", r"\1-\2-\3T\4:\5:\6Z", dtm)


def _concept(code: Tree) -> Tree:
    return {
        "coding": [{"system": SYSTEMS.get(code["codeSystem"], f"urn:oid:{code['codeSystem']}"), "code": code["code"]}]
    }


def _cx(text: str) -> Tree:
    """`value^^^&oid&ISO^type`, or `oid^^^^type`."""
    parts = text.split("^")
    oid = parts[3].split("&")[1] if parts[3] else None
    return {"system": f"urn:oid:{oid}", "value": parts[0]} if oid else {"value": f"urn:oid:{parts[0]}"}


def _xcn(text: str) -> Tree:
    parts = text.split("^")
    return {"system": f"urn:oid:{parts[8].split('&')[1]}", "value": parts[0]}


def _xon(text: str) -> Tree:
    parts = text.split("^")
    return {"system": f"urn:oid:{parts[5].split('&')[1]}", "value": parts[9]}


def _patient(info: list[str], ins: Tree) -> Tree:
    pid: dict[str, list[str]] = {}
    for line in info:
        name, _, value = line.partition("|")
        pid.setdefault(name, []).append(value)
    names = []
    for each in pid["PID-5"]:
        family, given, births, *rest = each.split("^")
        use = "official" if rest[-1] == "L" else "usual"
        name: Tree = {"use": use, "family": family, "given": [given]}
        if births:
            url = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name"
            name["extension"] = [{"url": url, "valueString": births}]
        names.append(name)
    day = re.sub(r"(....)(..)(..)", r"\1-\2-\3", pid["PID-7"][0])
    place = {
        "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
        "valueAddress": {
            "extension": [
                {
                    "url": "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code",
                    "valueCoding": {"code": pid["PID-11"][0].rpartition("^")[2]},
                }
            ]
        },
    }
    return {
        "resourceType": "Patient",
        "id": "patient",
        "extension": [place],
        "identifier": [ins],
        "name": names,
        "birthDate": day,
        "gender": {"M": "male", "F": "female"}[pid["PID-8"][0]],
    }


def document_reference(entry: Tree) -> Tree:
    """The XDS metadata as FHIR, following the mapping of the DMP."""
    ins = _cx(entry["patientId"])
    contained: list[Tree] = [_patient(entry["sourcePatientInfo"], ins)]
    authors = []
    for n, each in enumerate(entry["author"]):
        organization = {"reference": f"#organization-{n}"}
        contained.append({"resourceType": "Organization", "id": f"organization-{n}",
                          "identifier": [_xon(each["authorInstitution"])]})  # fmt: skip
        contained.append({"resourceType": "PractitionerRole", "id": f"author-{n}",
                          "identifier": [_xcn(each["authorPerson"])], "organization": organization})  # fmt: skip
        authors.append({"reference": f"#author-{n}"})
    period = {"start": _instant(entry["serviceStartTime"])}
    if entry.get("serviceStopTime"):
        period["end"] = _instant(entry["serviceStopTime"])
    related = []
    for each in entry["referenceIdList"]:
        related.append({"identifier": _cx(each) | {"type": {"coding": [{"code": each.split("^")[-1]}]}}})
    tree: Tree = {
        "resourceType": "DocumentReference",
        "contained": contained,
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{entry['uniqueId']}"},
        "status": "current",
        "type": _concept(entry["typeCode"]),
        "subject": {"identifier": ins},
        "author": authors,
        "authenticator": {"type": "Practitioner", "identifier": _xcn(entry["legalAuthenticator"])},
        "securityLabel": [_concept(each) for each in entry["confidentialityCode"]],
        "content": [
            {
                "attachment": {
                    "contentType": entry["mimeType"],
                    "language": entry["languageCode"],
                    "title": entry["title"],
                    "creation": _instant(entry["creationTime"]),
                },
                "format": {"code": entry["formatCode"]["code"]},
            }
        ],
        "context": {
            "event": [_concept(each) for each in entry["eventCodeList"]],
            "period": period,
            "facilityType": _concept(entry["healthcareFacilityTypeCode"]),
            "practiceSetting": _concept(entry["practiceSettingCode"]),
            "sourcePatientInfo": {"reference": "#patient"},
            "related": related,
        },
    }
    replaced = [{"identifier": {"value": _uri(each)}} for each in entry["replaces"]]
    return tree | ({"relatesTo": [{"code": "replaces", "target": each} for each in replaced]} if replaced else {})


def _uri(root: str) -> str:
    return f"urn:uuid:{root.lower()}" if "-" in root else f"urn:oid:{root}"


def _samples() -> list[tuple[str, Tree, bytes]]:
    folder = shared()
    if folder is None:
        return [(name, *world_cda(name)) for name in (FIRST, SECOND)]
    folder /= "data/cda"
    entries = json.loads((folder / "expected-metadata.json").read_bytes())
    return [(each["file"], document_reference(each), (folder / each["file"]).read_bytes()) for each in entries]


SAMPLES = _samples()


def differences(tree: Tree, data: bytes) -> set[str | None]:
    examined = examine(tree, data, "DocumentReference", "strict")
    assert examined.header is not None
    return {each.rule for each in examined.issues + stated_issues(examined, tree, "DocumentReference")}


@pytest.mark.parametrize(("name", "tree", "data"), SAMPLES, ids=[name for name, _, _ in SAMPLES])
def test_a_sample_agrees_with_its_metadata(name: str, tree: Tree, data: bytes) -> None:
    assert differences(tree, data) == set(), name


@pytest.mark.parametrize(("one", "other"), list(pairwise(SAMPLES)), ids=[name for name, _, _ in SAMPLES[1:]])
def test_the_metadata_of_another_document_do_not_agree(one: Any, other: Any) -> None:
    """All are of one patient: what tells them apart is their id, at least."""
    found = differences(one[1], other[2])
    assert "CDA-04" in found
    assert "CDA-05" not in found
    assert len(found) >= 2
