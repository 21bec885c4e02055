from __future__ import annotations

import pytest

from dmp_fhir.profiles.definitions import invariants, is_primitive, resource_types, type_of


def test_the_resource_types_of_r4():
    assert len(resource_types()) == 146
    assert {"DocumentReference", "List", "Binary", "Consent", "AuditEvent", "Bundle", "Parameters"} <= resource_types()
    assert not {"Resource", "DomainResource", "Extension", "SubscriptionStatus"} & resource_types()


def test_a_document_reference():
    kind = type_of("DocumentReference")
    assert [e.name for e in kind.elements][:4] == ["id", "meta", "implicitRules", "language"]
    status = kind.properties["status"].element
    assert (status.least, status.many) == (1, False)
    assert status.codes == {
        "http://hl7.org/fhir/document-reference-status": {"current", "superseded", "entered-in-error"}
    }
    assert kind.properties["subject"].element.targets == {"Patient", "Practitioner", "Group", "Device"}
    assert type_of(kind.properties["content"].type).properties["attachment"].element.least == 1


def test_choices_are_properties_of_one_element():
    kind = type_of("Extension")
    assert kind.properties["valueString"].element is kind.properties["valueCodeableConcept"].element
    assert len([name for name in kind.properties if name.startswith("value")]) == 50
    assert [name for name, known in kind.properties.items() if known.element.attribute] == ["id", "url"]


def test_properties_are_in_order():
    orders = [known.order for known in type_of("Patient").properties.values()]
    assert orders == sorted(orders)


def test_content_references_name_a_type():
    assert type_of("Bundle.entry").properties["link"].type == "Bundle.link"
    assert type_of("Parameters.parameter").properties["part"].type == "Parameters.parameter"


def test_every_type_named_has_a_table():
    pending, seen = set(resource_types()), set()
    while pending:
        name = pending.pop()
        seen.add(name)
        kind = type_of(name)
        if not is_primitive(name):
            pending |= {known.type for known in kind.properties.values()} - seen
    assert {"Dosage", "Timing.repeat", "ElementDefinition.slicing.discriminator", "xhtml"} <= seen


def test_invariants_stand_where_they_are_defined():
    assert {key for key, _, _ in invariants()["DomainResource"]} == {"dom-2", "dom-3", "dom-4", "dom-5", "dom-6"}
    assert ("ext-1", "error", "extension.exists() != value.exists()") in invariants()["Extension"]
    assert "dom-2" not in {key for rows in (invariants().get("Patient", ()),) for key, _, _ in rows}


def test_a_name_r4_does_not_have():
    with pytest.raises(KeyError):
        type_of("Nothing")
