"""PATCH of a document, in the three notations of R4, direct and conditional: PDSm flux 03 and 04, D4, D5, D6.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dmp_fhir.wire.json import dump_json
from dmp_fhir.wire.xml import dump_xml
from tests.rest.bodies import (
    CLAIRE,
    CONFIDENTIALITY,
    IS_ARCHIVED,
    NORMAL,
    TRE_A07,
    URI,
    mask,
    oid,
    replace,
    simple,
)
from tests.rest.caller import JSON_PATCH, MEDIA_TYPES, Caller, Tree, query
from tests.rest.test_refusals import refused

PATIENT = "patient-claire-martin"
MASKED = mask("MASQUE_PS")


def fhirpath_patch(kind: str, path: str, **value: Any) -> Tree:
    parts: list[Tree] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    parts += [{"name": "value", name: each} for name, each in value.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def xml_patch(selector: str, content: str) -> bytes:
    return f'<diff xmlns:f="http://hl7.org/fhir"><replace sel="{selector}">{content}</replace></diff>'.encode()


def label_xml() -> str:
    return (
        f'<securityLabel xmlns="http://hl7.org/fhir"><coding><system value="{TRE_A07}"/>'
        '<code value="MASQUE_PS"/></coding></securityLabel>'
    )


STATUS: dict[str, tuple[str, bytes]] = {
    "JSON Patch": (JSON_PATCH, json.dumps([replace("/status", "superseded")]).encode()),
    "FHIRPath Patch": (
        MEDIA_TYPES["json"],
        dump_json(fhirpath_patch("replace", "DocumentReference.status", valueCode="superseded")),
    ),
    "FHIRPath Patch in XML": (
        MEDIA_TYPES["xml"],
        dump_xml(fhirpath_patch("replace", "DocumentReference.status", valueCode="superseded")),
    ),
    "XML Patch": ("application/xml-patch+xml", xml_patch("f:DocumentReference/f:status/@value", "superseded")),
}
MASK: dict[str, tuple[str, bytes]] = {
    "JSON Patch": (JSON_PATCH, json.dumps([replace("/securityLabel/0", MASKED)]).encode()),
    "FHIRPath Patch": (
        MEDIA_TYPES["json"],
        dump_json(
            fhirpath_patch("replace", "DocumentReference.securityLabel[0]", valueCodeableConcept=MASKED),
        ),
    ),
    "FHIRPath Patch in XML": (
        MEDIA_TYPES["xml"],
        dump_xml(fhirpath_patch("replace", "DocumentReference.securityLabel[0]", valueCodeableConcept=MASKED)),
    ),
    "XML Patch": ("application/xml-patch+xml", xml_patch("f:DocumentReference/f:securityLabel[1]", label_xml())),
}


def published(caller: Caller, name: str = "un", **changes: Any) -> str:
    answer = caller.create(simple(name, **changes))
    assert answer.status == 201, answer.content
    return answer.address


def masks(tree: Tree) -> list[str]:
    return [each["coding"][0]["code"] for each in tree["securityLabel"]]


@pytest.mark.parametrize("notation", STATUS)
def test_status_in_every_notation(talk: Caller, notation: str) -> None:
    address = published(talk)
    content_type, body = STATUS[notation]
    answer = talk.ask("PATCH", address, body, Content_Type=content_type, If_Match='W/"1"')
    assert answer.status == 200, answer.content
    assert answer.headers["ETag"] == 'W/"2"'
    assert "Last-Modified" in answer.headers
    assert answer.tree["status"] == "superseded"
    assert talk.get(address).tree == answer.tree


@pytest.mark.parametrize("notation", MASK)
def test_mask_in_every_notation_keeps_the_confidentiality(registry: Caller, notation: str) -> None:
    """TD3.3a as the guide writes it would drop N: D6."""
    address = published(registry)
    content_type, body = MASK[notation]
    answer = registry.ask("PATCH", address, body, by=PATIENT, Content_Type=content_type)
    assert answer.status == 200, answer.content
    assert masks(answer.tree) == ["N", "MASQUE_PS"]
    refused(registry.get(address, by="infirmiere-robert"), 404)


def test_mask_and_unmask_by_the_patient(talk: Caller) -> None:
    """TD3.3a: the author and the treating physician keep it, the others lose it and get it back."""
    address = published(talk)
    assert talk.get(address, by="infirmiere-robert").status == 200
    assert masks(talk.patch(address, replace("/securityLabel/0", MASKED), by=PATIENT).tree) == ["N", "MASQUE_PS"]
    refused(talk.get(address, by="infirmiere-robert"), 404)
    assert talk.get(address).status == 200
    assert talk.get(address, by=PATIENT).status == 200
    listed = {
        each["id"] for each in talk.search("DocumentReference", "infirmiere-robert", patient__identifier=CLAIRE).matches
    }
    assert address.partition("/")[2] not in listed
    assert masks(talk.patch(address, replace("/securityLabel/0", NORMAL), by=PATIENT).tree) == ["N"]
    assert talk.get(address, by="infirmiere-robert").status == 200


def test_a_professional_masks_only_at_the_request_of_the_patient(talk: Caller) -> None:
    """AR-61, D34: the request is attested in the token."""
    address = published(talk)
    refused(talk.patch(address, replace("/securityLabel/0", MASKED)), 403)
    asked = talk.patch(address, replace("/securityLabel/0", MASKED), claims={"patient_request": True})
    assert asked.status == 200, asked.content


def test_visibility_to_the_patient(talk: Caller) -> None:
    """TD3.3b: hidden at the deposit only (AR-65), shown later by a professional; never hidden again."""
    address = published(talk, securityLabel=[NORMAL, mask("INVISIBLE_PATIENT")])
    refused(talk.get(address, by=PATIENT), 404)
    shown = talk.patch(address, replace("/securityLabel/0", NORMAL))
    assert shown.status == 200, shown.content
    assert masks(shown.tree) == ["N"]
    assert talk.get(address, by=PATIENT).status == 200
    refused(talk.patch(address, replace("/securityLabel/0", mask("INVISIBLE_PATIENT"))), 403)


def test_lifting_one_of_several_labels_names_it(talk: Caller) -> None:
    address = published(talk, securityLabel=[NORMAL, mask("INVISIBLE_PATIENT"), MASKED])
    refused(talk.patch(address, replace("/securityLabel/0", NORMAL), claims={"patient_request": True}), 422)
    kept = talk.patch(address, {"op": "remove", "path": "/securityLabel/1"}, claims={"patient_request": True})
    assert kept.status == 200, kept.content
    assert masks(kept.tree) == ["N", "INVISIBLE_PATIENT"]


def test_a_confidentiality_code_of_the_french_system_is_kept(talk: Caller) -> None:
    """D6: TRE_A08 and v3-Confidentiality are the same thing; exactly one stays."""
    system = "https://mos.esante.gouv.fr/NOS/TRE_A08-HL7Confidentiality/FHIR/TRE-A08-HL7Confidentiality"
    address = published(talk, securityLabel=[{"coding": [{"system": system, "code": "R"}]}, NORMAL])
    tree = talk.get(address).tree
    assert [each["coding"][0] for each in tree["securityLabel"]] == [{"system": system, "code": "R"}]
    tree = talk.patch(address, replace("/securityLabel/0", MASKED), by=PATIENT).tree
    assert tree["securityLabel"][0]["coding"][0] == {"system": system, "code": "R"}
    assert masks(tree) == ["R", "MASQUE_PS"]


@pytest.mark.parametrize("quotes", ["''", '""', "‘’", "“”"])
def test_archive_and_unarchive_with_the_path_of_the_guide(talk: Caller, quotes: str) -> None:
    """TD3.3d, D5."""
    address = published(talk)
    path = f"/extension[url:{quotes[0]}{IS_ARCHIVED}{quotes[1]}]/valueBoolean"
    here = {"patient__identifier": CLAIRE, "identifier": oid("un")}
    for flag in (True, False):
        answer = talk.patch(address, replace(path, flag))
        assert answer.status == 200, answer.content
        assert [each["valueBoolean"] for each in answer.tree["extension"] if each["url"] == IS_ARCHIVED] == [flag]
        assert len(talk.search("DocumentReference", **here, isArchived="true").matches) == flag
        assert len(talk.search("DocumentReference", **here, isArchived="false").matches) == (not flag)
        assert len(talk.search("DocumentReference", **here).matches) == (not flag)
        assert talk.get(address).status == 200


def test_replace_creates_an_absent_flag(talk: Caller) -> None:
    """D5."""
    tree = simple("un")
    del tree["extension"]
    address = talk.create(tree).address
    assert "extension" not in talk.get(address).tree
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    refused(talk.patch(address, replace(path, "true")), 422)
    assert talk.patch(address, replace(path, True)).tree["extension"] == [{"url": IS_ARCHIVED, "valueBoolean": True}]
    assert talk.patch(address, replace("/extension/0/valueBoolean", False)).status == 200


def test_delete_by_patch(talk: Caller) -> None:
    """TD3.3c, D3: 200, then 404 for everybody; only for the author."""
    address = published(talk)
    refused(talk.patch(address, replace("/status", "entered-in-error"), by="infirmiere-robert"), 403)
    answer = talk.patch(address, replace("/status", "entered-in-error"))
    assert answer.status == 200, answer.content
    for by in ("dr-moreau", PATIENT, "infirmiere-robert"):
        refused(talk.get(address, by=by), 404)
    assert talk.search("DocumentReference", patient__identifier=CLAIRE, identifier=oid("un")).matches == []
    refused(talk.patch(address, replace("/status", "current")), 404)


def test_withdrawn_from_default_searches(talk: Caller) -> None:
    """D3: superseded by PATCH; and no way back (TF-042)."""
    address = published(talk)
    assert talk.patch(address, replace("/status", "superseded")).status == 200
    here = {"patient__identifier": CLAIRE, "identifier": oid("un")}
    assert talk.search("DocumentReference", **here, status="current").matches == []
    assert len(talk.search("DocumentReference", **here, status="superseded").matches) == 1
    refused(talk.patch(address, replace("/status", "current")), 409)


@pytest.mark.parametrize(
    "operation",
    [
        replace("/type", {}),
        replace("/content/0/attachment/title", "x"),
        replace("/subject", {"reference": "Patient/x"}),
        {"op": "add", "path": "/description", "value": "x"},
        {"op": "remove", "path": "/masterIdentifier"},
        {"op": "move", "from": "/status", "path": "/description"},
        replace("/extension[url:'http://example.org/x']/valueBoolean", True),
    ],
)
def test_any_other_element_is_405_and_named(registry: Caller, operation: Tree) -> None:
    """D4."""
    address = published(registry)
    answer = refused(registry.patch(address, operation), 405)
    assert "D4" in answer.rules
    assert operation["path"][:12] in answer.tree["issue"][0]["details"]["text"]
    assert registry.get(address).headers["ETag"] == 'W/"1"'


def test_one_operation_that_is_refused_refuses_all(talk: Caller) -> None:
    address = published(talk)
    archive = replace(f"/extension[url:'{IS_ARCHIVED}']/valueBoolean", True)
    refused(talk.patch(address, archive, replace("/description", "x")), 405)
    refused(talk.patch(address, archive, replace("/securityLabel/0", MASKED)), 403)
    refused(talk.patch(address, {"op": "test", "path": "/status", "value": "superseded"}, archive), 422)
    assert talk.get(address).headers["ETag"] == 'W/"1"'
    both = talk.patch(
        address, archive, {"op": "test", "path": "/status", "value": "current"}, replace("/status", "superseded")
    )
    assert both.status == 200, both.content
    assert both.headers["ETag"] == 'W/"2"'


def test_a_patch_that_changes_nothing_makes_no_version(talk: Caller) -> None:
    address = published(talk)
    answer = talk.patch(address, replace("/status", "current"))
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"1"')


def test_if_match_of_a_patch(talk: Caller) -> None:
    address = published(talk)
    refused(talk.patch(address, replace("/status", "superseded"), If_Match='W/"2"'), 412)
    refused(talk.patch(address, replace("/status", "superseded"), If_Match="last"), 400)
    assert talk.patch(address, replace("/status", "superseded"), If_Match='W/"1"').status == 200


@pytest.mark.parametrize(("returns", "body"), [("minimal", None), ("OperationOutcome", "OperationOutcome")])
def test_prefer_of_a_patch(talk: Caller, returns: str, body: str | None) -> None:
    answer = talk.patch(published(talk), replace("/status", "superseded"), Prefer=f"return={returns}")
    assert answer.status == 200
    assert (answer.tree["resourceType"] if answer.content else None) == body


# --- conditional ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        {"identifier": f"{URI}|{oid('un')}"},
        {"identifier": oid("un")},
        {"identifier": f"{URI}|{oid('un')}", "patient__identifier": CLAIRE},
    ],
)
def test_conditional_patch_by_the_unique_id(talk: Caller, condition: dict[str, str]) -> None:
    address = published(talk)
    answer = talk.patch(f"DocumentReference?{query(**condition)}", replace("/status", "superseded"))
    assert answer.status == 200, answer.content
    assert f"DocumentReference/{answer.tree['id']}" == address


def test_conditional_patch_by_an_entry_uuid_of_the_past(talk: Caller) -> None:
    """D2."""
    address = published(talk)
    entry_uuid = talk.get(address).tree["identifier"][0]["value"]
    assert talk.patch(address, replace("/status", "superseded")).status == 200
    assert talk.get(address).tree["identifier"][0]["value"] != entry_uuid
    condition = query(identifier=f"{URI}|{entry_uuid}", patient__identifier=CLAIRE)
    flag = replace(f"/extension[url:'{IS_ARCHIVED}']/valueBoolean", True)
    answer = talk.patch(f"DocumentReference?{condition}", flag)
    assert answer.status == 200, answer.content
    assert f"DocumentReference/{answer.tree['id']}" == address


def test_a_condition_names_one_document(talk: Caller) -> None:
    published(talk)
    status = replace("/status", "superseded")
    refused(talk.patch(f"DocumentReference?{query(identifier=oid('none'))}", status), 404)
    for condition in ("", "?status=current", f"?{query(patient__identifier=CLAIRE)}", "?identifier=a,b"):
        refused(talk.patch(f"DocumentReference{condition}", status), 412)
    julien = query(identifier=oid("un"), patient__identifier="urn:oid:1.2.250.1.213.1.4.10|172113523890227")
    refused(talk.patch(f"DocumentReference?{julien}", status), 404)


def test_a_hidden_document_and_a_missing_one_answer_the_same(registry: Caller) -> None:
    """D14: for somebody who has no right on the record."""
    address = published(registry, securityLabel=[NORMAL, MASKED])
    operation = replace("/securityLabel/0", {"coding": [{"system": CONFIDENTIALITY, "code": "R"}]})
    hidden = refused(registry.patch(address, operation, by="infirmiere-robert"), 404)
    missing = refused(registry.patch("DocumentReference/none", operation, by="infirmiere-robert"), 404)
    assert hidden.content == missing.content
