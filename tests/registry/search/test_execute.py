"""Every parameter of every type, on a small world, on both databases."""

from __future__ import annotations

import json

import pytest

from dmp_fhir.canonicals import (
    CONSENT_KIND_SYSTEM,
    EXT_AUTHOR_ORG,
    EXT_DESIGNATION_TYPE,
    EXT_IS_ARCHIVED,
    EXT_SOURCE_ID,
    IDNPS,
    IDNST,
    INS_NIR_TEST,
    LOINC,
    MHD_LIST_TYPES,
    TRE_A07,
    URI,
    V3_CONFIDENTIALITY,
)
from dmp_fhir.registry.search.parameters import declared, searched_types
from dmp_fhir.store.database import Database
from dmp_fhir.store.tables import DIRECTORY
from tests.registry.search.support import (
    BASE,
    INS,
    OTHER_RECORD,
    RECORD,
    document,
    event,
    ids,
    pairs_of,
    patient,
    practitioner,
    put,
    search,
    submission_set,
)

ARCHIVED = {"extension": [{"url": EXT_IS_ARCHIVED, "valueBoolean": True}]}
NOT_ARCHIVED = {"extension": [{"url": EXT_IS_ARCHIVED, "valueBoolean": False}]}


def concept(system: str, code: str) -> dict:
    return {"coding": [{"system": system, "code": code}]}


DOCUMENTS = [
    document(
        "d1",
        contained=[
            {
                "resourceType": "PractitionerRole",
                "id": "role",
                "identifier": [{"system": IDNPS, "value": "899700000112"}],
                "practitioner": {"reference": "#person"},
            },
            {"resourceType": "Practitioner", "id": "person", "name": [{"family": "Moreau", "given": ["Élodie"]}]},
        ],
        author=[{"reference": "#role"}],
        identifier=[{"use": "official", "system": URI, "value": "urn:uuid:aaaa"}],
        category=[concept("urn:class", "10")],
        date="2024-03-01T10:00:00+01:00",
        securityLabel=[concept(V3_CONFIDENTIALITY, "N"), concept(TRE_A07, "MASQUE_PS")],
        content=[
            {
                "attachment": {"contentType": "text/plain", "creation": "2024-02-29", "title": "Élan"},
                "format": {"system": "urn:format", "code": "f1"},
            }
        ],
        context={
            "period": {"start": "2024-02-01", "end": "2024-02-10"},
            "event": [concept("urn:event", "e1")],
            "facilityType": concept("urn:facility", "SA01"),
            "practiceSetting": concept("urn:setting", "AMBULATOIRE"),
            "related": [{"identifier": {"system": "urn:oid:9.9", "value": "A|7"}}],
        },
    ),
    document(
        "d2",
        status="superseded",
        author=[{"reference": "Practitioner/p1"}],
        type={"coding": [{"system": LOINC, "code": "60591-5"}, {"system": "urn:local", "code": "VSM"}]},
        date="2023",
        context={"period": {"start": "2024-02-05"}},
    ),
    document(
        "d3",
        author=[{"reference": "PractitionerRole/r1"}],
        relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference/d2"}}],
        **NOT_ARCHIVED,
    ),
    document("d4", author=[{"type": "Practitioner", "display": "Paul Durand"}], **ARCHIVED),
    document("d5", status="entered-in-error"),
    document(
        "d6",
        author=[{"reference": f"Patient/{RECORD}"}],
        context={"related": [{"reference": "https://elsewhere.test/Thing/1"}]},
    ),
]
LISTS = [
    submission_set(
        "s1",
        "d1",
        "d2",
        title="Lot d'été",
        identifier=[{"system": URI, "value": "urn:oid:1.5"}],
        contained=[
            {"resourceType": "Patient", "id": "me", "name": [{"family": "Lefèvre", "given": ["Anne-Sophie"]}]},
            {"resourceType": "Organization", "id": "org", "identifier": [{"system": IDNST, "value": "1990000010"}]},
        ],
        extension=[
            {"url": EXT_SOURCE_ID, "valueIdentifier": {"value": "urn:oid:1.2.3.4"}},
            {"url": EXT_DESIGNATION_TYPE, "valueCodeableConcept": concept("urn:designation", "04")},
        ],
        source={
            "reference": "#me",
            "extension": [{"url": EXT_AUTHOR_ORG, "valueReference": {"reference": "#org"}}],
        },
    ),
    submission_set(
        "s2",
        "d3",
        date="2024-06-01",
        contained=[
            {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"display": "Docteur Jean-Paul Petit"}}
        ],
        source={"reference": "#r"},
        extension=[{"url": EXT_AUTHOR_ORG, "valueReference": {"reference": "Organization/o1"}}],
    ),
    submission_set("f1", "d1", code=concept(MHD_LIST_TYPES, "folder"), title="Diabète", status="retired"),
    submission_set("f2", code=concept(MHD_LIST_TYPES, "folder"), **ARCHIVED),
]
AROUND = [
    {
        "resourceType": "RelatedPerson",
        "id": "rp1",
        "patient": {"reference": f"Patient/{RECORD}"},
        "identifier": [{"system": INS_NIR_TEST, "value": "288888888888888"}],
        "relationship": [concept("urn:relation", "MTH")],
        "name": [{"family": "Lefèvre", "given": ["Jeanne"]}],
    },
    {
        "resourceType": "Device",
        "id": "dev1",
        "identifier": [{"system": "urn:dev", "value": "7"}],
        "type": concept("urn:kind", "tensiometre"),
    },
    {
        "resourceType": "CareTeam",
        "id": "ct1",
        "status": "active",
        "identifier": [{"system": "urn:team", "value": "1"}],
        "participant": [{"member": {"reference": "Practitioner/p1"}}],
    },
    {
        "resourceType": "CareTeam",
        "id": "ct2",
        "status": "inactive",
        "participant": [{"member": {"type": "Practitioner", "identifier": {"system": IDNPS, "value": "899700000112"}}}],
    },
    {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "identifier": [{"system": "urn:consent", "value": "1"}],
        "category": [concept(LOINC, "59284-0"), concept(CONSENT_KIND_SYSTEM, "AUTORISATION")],
        "dateTime": "2025-06-15T10:00:00+02:00",
        "provision": {
            "type": "permit",
            "period": {"start": "2025-06-15", "end": "2026-06-15"},
            "actor": [
                {"reference": {"type": "Practitioner", "identifier": {"system": IDNPS, "value": "899700000112"}}}
            ],
        },
    },
    {
        "resourceType": "Consent",
        "id": "c2",
        "status": "inactive",
        "category": [concept(CONSENT_KIND_SYSTEM, "EQUIPE")],
        "dateTime": "2024-01-01",
        "provision": {"type": "permit", "actor": [{"reference": {"reference": "CareTeam/ct1"}}]},
    },
]
IN_DIRECTORY = [
    practitioner("p1", "Garnier", "Zoé", "899700000120"),
    practitioner("p2", "O’Brien", "Ana", "899700000138") | {"active": False},
    {
        "resourceType": "PractitionerRole",
        "id": "r1",
        "identifier": [{"system": "urn:role", "value": "1"}],
        "practitioner": {"reference": "Practitioner/p2"},
        "organization": {"reference": "Organization/o1"},
        "code": [concept("urn:g15", "10")],
        "specialty": [concept("urn:sm", "SM26")],
    },
    {
        "resourceType": "Organization",
        "id": "o1",
        "active": True,
        "name": "Clinique des Tilleuls",
        "alias": ["Les Tilleuls"],
        "identifier": [{"system": IDNST, "value": "1990000010"}],
        "type": [concept("urn:type", "CLI")],
    },
]


@pytest.fixture
def world(database: Database) -> Database:
    with database.transaction() as tx:
        put(tx, patient())
        put(tx, patient(OTHER_RECORD, "177777777777777"), OTHER_RECORD)
        put(tx, document("x1"), OTHER_RECORD)
        for position, tree in enumerate([*DOCUMENTS, *LISTS, *AROUND]):
            put(tx, tree, instant=2_000 + position)
        for tree in IN_DIRECTORY:
            put(tx, tree, DIRECTORY)
        event(tx, "e1", 1_700_000_000_000)
        event(
            tx,
            "e2",
            1_700_000_100_000,
            subtype="search",
            words='["n192.0.2.7","nhttps://dmp.test/fhir","ax5t","purn:ietf:params:oauth:jti:j-1","g10",'
            '"i|lps","iurn:ietf:rfc:3986|https://dmp.test/fhir","e2","rDocumentReference","@3","=DocumentReference/d2"]',
            action="E",
            outcome="4",
            agent_id=INS,
            agent_name="Anne Lefèvre",
            structure_id="",
            purpose="patient",
            entity_type="List",
            entity_id="s1",
        )
    return database


FOUND: list[tuple[str, str, set[str]]] = [
    # What a search without anything finds: archived and deleted ones are left out (D13, D3).
    ("DocumentReference", "_count=50", {"d1", "d2", "d3", "d6"}),
    ("DocumentReference", "isArchived=true", {"d4"}),
    ("DocumentReference", "isArchived=false", {"d1", "d2", "d3", "d6"}),
    ("DocumentReference", "isArchived=true,false", {"d1", "d2", "d3", "d4", "d6"}),
    ("DocumentReference", "isArchived:not=true", {"d1", "d2", "d3", "d6"}),
    ("DocumentReference", "isArchived=true&isArchived=false", set()),
    ("DocumentReference", "status=current", {"d1", "d3", "d6"}),
    ("DocumentReference", "status=current&isArchived=true", {"d4"}),
    ("DocumentReference", "status=superseded", {"d2"}),
    ("DocumentReference", "status=current,superseded", {"d1", "d2", "d3", "d6"}),
    ("DocumentReference", "status:not=current", {"d2"}),
    ("DocumentReference", "status=entered-in-error&isArchived=true,false", set()),
    ("DocumentReference", "status=http://hl7.org/fhir/document-reference-status|current", {"d1", "d3", "d6"}),
    ("DocumentReference", "status=http://hl7.org/fhir/document-reference-status|", {"d1", "d2", "d3", "d6"}),
    ("DocumentReference", "status=urn:other|current", set()),
    ("DocumentReference", "_id=d1,d5,x1", {"d1"}),
    ("DocumentReference", "_id:not=d1", {"d2", "d3", "d6"}),
    ("DocumentReference", "identifier=urn:ietf:rfc:3986|urn:oid:1.2.3.6431", {"d1"}),
    ("DocumentReference", "identifier=urn:oid:1.2.3.6432", {"d2"}),
    ("DocumentReference", "identifier=urn:uuid:aaaa", {"d1"}),
    ("DocumentReference", "identifier=|urn:uuid:aaaa", set()),
    ("DocumentReference", f"type={LOINC}|11488-4", {"d1", "d3", "d6"}),
    ("DocumentReference", "type=VSM", {"d2"}),
    ("DocumentReference", "type=urn:local|", {"d2"}),
    ("DocumentReference", "type=11488-4,VSM", {"d1", "d2", "d3", "d6"}),
    ("DocumentReference", "type=60591-5&type=VSM", {"d2"}),
    ("DocumentReference", "type:not=VSM", {"d1", "d3", "d6"}),
    ("DocumentReference", "category=10", {"d1"}),
    ("DocumentReference", "category:missing=true", {"d2", "d3", "d6"}),
    ("DocumentReference", "category:missing=false", {"d1"}),
    ("DocumentReference", "category:not=10", {"d2", "d3", "d6"}),
    ("DocumentReference", "facility=urn:facility|SA01", {"d1"}),
    ("DocumentReference", "setting=AMBULATOIRE", {"d1"}),
    ("DocumentReference", "event=e1", {"d1"}),
    ("DocumentReference", "format=urn:format|f1", {"d1"}),
    ("DocumentReference", "security-label=MASQUE_PS", {"d1"}),
    ("DocumentReference", f"security-label={V3_CONFIDENTIALITY}|N", {"d1"}),
    ("DocumentReference", "date=2023", {"d2"}),
    ("DocumentReference", "date=ge2024", {"d1"}),
    ("DocumentReference", "date=ge2023&date=lt2024", {"d2"}),
    ("DocumentReference", "date:missing=true", {"d3", "d6"}),
    ("DocumentReference", "creation=2024-02-29", {"d1"}),
    ("DocumentReference", "creation=lt2024-02-29", set()),
    ("DocumentReference", "period=ge2024-02-08", {"d1", "d2"}),
    ("DocumentReference", "period=gt2024-02-10", {"d2"}),
    ("DocumentReference", "period=eb2024-03", {"d1"}),
    ("DocumentReference", "period:missing=true", {"d3", "d6"}),
    ("DocumentReference", "period-start=2024-02-05", {"d2"}),
    ("DocumentReference", "period-end=2024-02-10", {"d1"}),
    ("DocumentReference", "related=urn:oid:9.9|A\\|7", {"d1"}),
    ("DocumentReference", "related:identifier=urn:oid:9.9|A\\|7", {"d1"}),
    ("DocumentReference", "related=https://elsewhere.test/Thing/1", {"d6"}),
    ("DocumentReference", "related:missing=false", {"d1", "d6"}),
    ("DocumentReference", "relatesto=DocumentReference/d2", {"d3"}),
    ("DocumentReference", "relatesto=d2", {"d3"}),
    ("DocumentReference", f"relatesto={BASE}/DocumentReference/d2", {"d3"}),
    ("DocumentReference", "relatesto=d1", set()),
    ("DocumentReference", "author=Practitioner/p1", {"d2"}),
    ("DocumentReference", "author:Practitioner=p1", {"d2"}),
    ("DocumentReference", "author:PractitionerRole=p1", set()),
    ("DocumentReference", "author=Practitioner/p1,PractitionerRole/r1", {"d2", "d3"}),
    ("DocumentReference", f"author=Practitioner/p1,{IDNPS}|899700000112", {"d1", "d2"}),
    ("DocumentReference", "author.family=moreau", {"d1"}),
    ("DocumentReference", "author.given=elod", {"d1"}),
    ("DocumentReference", "author.given:exact=Elodie", set()),
    ("DocumentReference", "author.given:exact=Élodie", {"d1"}),
    ("DocumentReference", "author.family:contains=REA", {"d1"}),
    ("DocumentReference", "author:PractitionerRole.family=moreau", {"d1"}),
    ("DocumentReference", "author:Practitioner.family=moreau", set()),
    ("DocumentReference", "author.family=garn", {"d2"}),
    ("DocumentReference", "author:Practitioner.family=garn", {"d2"}),
    ("DocumentReference", "author.family=o'brien", {"d3"}),
    ("DocumentReference", "author:PractitionerRole.given=ana", {"d3"}),
    ("DocumentReference", "author.family=Lefevre", {"d6"}),
    ("DocumentReference", "author.family=durand&isArchived=true", {"d4"}),
    ("DocumentReference", "author.family=durand,garnier", {"d2"}),
    ("DocumentReference", "author.identifier=899700000112", {"d1"}),
    ("DocumentReference", f"author.identifier={IDNPS}|899700000120", {"d2"}),
    ("DocumentReference", f"author:identifier={IDNPS}|899700000138", {"d3"}),
    ("DocumentReference", "author.identifier=|899700000112", set()),
    ("DocumentReference", "author:missing=true", set()),
    ("DocumentReference", "_lastUpdated=ge1970-01-01T00:00:02.002Z", {"d3", "d6"}),
    ("DocumentReference", "_lastUpdated=lt1970-01-01T00:00:02.001Z", {"d1"}),
    ("DocumentReference", f"patient=Patient/{RECORD}&status=current", {"d1", "d3", "d6"}),
    ("List", "_count=50", {"s1", "s2", "f1"}),
    ("List", "code=submissionset", {"s1", "s2"}),
    ("List", f"code={MHD_LIST_TYPES}|folder", {"f1"}),
    ("List", f"code={MHD_LIST_TYPES.replace('https', 'http')}|folder", {"f1"}),
    ("List", "isArchived=true", {"f2"}),
    ("List", "status=current", {"s1", "s2"}),
    ("List", "status=superseded", {"f1"}),
    ("List", "status=retired", {"f1"}),
    ("List", "date=ge2024-05&code=submissionset", {"s2"}),
    ("List", "identifier=urn:oid:1.5", {"s1"}),
    ("List", "designationType=urn:designation|04", {"s1"}),
    ("List", "sourceId=urn:oid:1.2.3.4", {"s1"}),
    ("List", "title=lot d ete", {"s1"}),
    ("List", "title:contains=BETE", {"f1"}),
    ("List", "title:exact=Diabète", {"f1"}),
    ("List", "title:missing=true", {"s2"}),
    ("List", "source.given=anne", {"s1"}),
    ("List", "source:Patient.family=lefevre", {"s1"}),
    ("List", "source:PractitionerRole.name=petit", {"s2"}),
    ("List", "source:PractitionerRole.name:contains=jean", {"s2"}),
    ("List", "source:Patient.family=petit", set()),
    ("List", "source.family=petit", {"s2"}),
    ("List", f"authorOrg.identifier={IDNST}|1990000010", {"s1", "s2"}),
    ("List", "authorOrg=Organization/o1", {"s2"}),
    ("List", f"authorOrg={IDNST}|1990000010", {"s1", "s2"}),
    ("List", "item=DocumentReference/d1", {"s1", "f1"}),
    ("List", "item=d3", {"s2"}),
    ("List", "item=d5", set()),
    ("Patient", "_count=5", {RECORD}),
    ("Patient", f"identifier={INS_NIR_TEST}|{INS}", {RECORD}),
    ("Patient", "identifier=177777777777777", set()),
    ("Patient", f"_id={RECORD}", {RECORD}),
    ("Patient", "active=true", {RECORD}),
    ("Patient", "active=false", set()),
    ("RelatedPerson", "identifier=288888888888888", {"rp1"}),
    ("RelatedPerson", "relationship=MTH&name=jeanne&active=true", {"rp1"}),
    ("Device", "identifier=urn:dev|7&type=tensiometre", {"dev1"}),
    ("CareTeam", "status=active", {"ct1"}),
    ("CareTeam", "participant=Practitioner/p1", {"ct1"}),
    ("CareTeam", "participant.identifier=899700000112", {"ct2"}),
    ("CareTeam", "identifier=urn:team|1", {"ct1"}),
    ("Consent", "status=active", {"c1"}),
    ("Consent", "identifier=urn:consent|1", {"c1"}),
    ("Consent", f"category={CONSENT_KIND_SYSTEM}|EQUIPE", {"c2"}),
    ("Consent", "actor=CareTeam/ct1", {"c2"}),
    ("Consent", f"actor.identifier={IDNPS}|899700000112", {"c1"}),
    ("Consent", "actor:identifier=899700000112", {"c1"}),
    ("Consent", "date=2025-06-15", {"c1"}),
    ("Consent", "date=lt2025", {"c2"}),
    ("Consent", "period=2025-12-01", set()),
    ("Consent", "period=ge2026-06-14", {"c1"}),
    ("Consent", "period:missing=true", {"c2"}),
    ("AuditEvent", "_count=9", {"e1", "e2"}),
    ("AuditEvent", "date=ge2023-11-14T22:14:00Z", {"e2"}),
    ("AuditEvent", "date=2023-11-14", {"e1", "e2"}),
    ("AuditEvent", "agent=Practitioner/p1", set()),
    ("AuditEvent", "agent=Organization/o1", {"e1"}),
    ("AuditEvent", f"agent.identifier={INS_NIR_TEST}|{INS}", {"e2"}),
    ("AuditEvent", "agent:identifier=https://rpps.esante.gouv.fr|99700000112", {"e1"}),
    ("AuditEvent", "agent.identifier=urn:nowhere|899700000112", set()),
    ("AuditEvent", "agent-name=dr elodie", {"e1"}),
    ("AuditEvent", "agent-name:contains=LEFE", {"e2"}),
    ("AuditEvent", "agent-name:exact=Anne Lefèvre", {"e2"}),
    ("AuditEvent", "agent-name=zzz", set()),
    ("AuditEvent", "entity=DocumentReference/d1", {"e1"}),
    ("AuditEvent", "entity=DocumentReference/d2", {"e2"}),
    ("AuditEvent", "entity=d2", {"e2"}),
    ("AuditEvent", "entity=2", set()),
    ("AuditEvent", "entity=DocumentReference/d", set()),
    ("AuditEvent", "entity.identifier=urn:nowhere|1", set()),
    ("AuditEvent", "entity-type=2", {"e2"}),
    ("AuditEvent", "entity-type=http://hl7.org/fhir/resource-types|", {"e2"}),
    ("AuditEvent", "entity-type=http://hl7.org/fhir/resource-types|2", set()),
    ("AuditEvent", "entity-type:not=2", {"e1"}),
    ("AuditEvent", "entity-role=3", {"e2"}),
    ("AuditEvent", "address=192.0.2", {"e2"}),
    ("AuditEvent", "address=HTTPS://DMP", {"e2"}),
    ("AuditEvent", "address=2.0", set()),
    ("AuditEvent", "address=192_0", set()),
    ("AuditEvent", "address:exact=192.0.2", set()),
    ("AuditEvent", "policy=urn:ietf:params:oauth:jti:j-1", {"e2"}),
    ("AuditEvent", "policy=urn:ietf:params:oauth:jti:J-1", set()),
    ("AuditEvent", "altid=x5t", {"e2"}),
    ("AuditEvent", "agent-role=10", {"e2"}),
    ("AuditEvent", "agent.identifier=|lps", {"e2"}),
    ("AuditEvent", "source=https://dmp.test/fhir", {"e2"}),
    ("AuditEvent", "source.identifier=lps", set()),
    ("AuditEvent", "site=https://dmp.test/fhir", {"e2"}),
    ("AuditEvent", "type=rest&subtype=read", {"e1"}),
    ("AuditEvent", "action=E&outcome=4&purpose=patient", {"e2"}),
]
IN_DIRECTORY_FOUND: list[tuple[str, str, set[str]]] = [
    ("Practitioner", f"identifier={IDNPS}|899700000120", {"p1"}),
    ("Practitioner", "name=zo", {"p1"}),
    ("Practitioner", "family=garnier&given=zoe&active=true", {"p1"}),
    ("Practitioner", "active=false", {"p2"}),
    ("PractitionerRole", "practitioner=p2", {"r1"}),
    ("PractitionerRole", "practitioner.family=o brien", {"r1"}),
    ("PractitionerRole", "practitioner.identifier=899700000138", {"r1"}),
    ("PractitionerRole", "organization=Organization/o1", {"r1"}),
    ("PractitionerRole", "organization.name=clinique", {"r1"}),
    ("PractitionerRole", "organization.identifier=1990000010", {"r1"}),
    ("PractitionerRole", "identifier=urn:role|1&role=10&specialty=SM26&active=true", {"r1"}),
    ("Organization", "name=les til", {"o1"}),
    ("Organization", "name:contains=tilleuls&identifier=1990000010&type=CLI&active=true", {"o1"}),
]


def test_every_parameter_finds_what_it_should(world: Database) -> None:
    cases = [(*case, RECORD) for case in FOUND] + [(*case, DIRECTORY) for case in IN_DIRECTORY_FOUND]
    wrong = []
    for resource_type, text, expected, record_id in cases:
        page = search(world, resource_type, *pairs_of(text), record_id=record_id)
        if ids(page) != expected or page.total != len(expected):
            wrong.append((resource_type, text, ids(page), page.total))
    assert wrong == []


def test_every_declared_parameter_is_tried() -> None:
    tried = {
        (resource_type, name.partition(":")[0].partition(".")[0])
        for resource_type, text, _ in FOUND + IN_DIRECTORY_FOUND
        for name, _ in pairs_of(text)
    }
    untried = {
        (resource_type, each.code)
        for resource_type in searched_types()
        for each in declared(resource_type)
        if each.code not in ("_id", "_lastUpdated", "patient", "subject")
    } - tried
    assert untried == set()


def test_bodies_come_out_as_they_went_in(world: Database) -> None:
    (found,) = search(world, "DocumentReference", ("_id", "d1")).matches
    assert json.loads(found.body) == DOCUMENTS[0]
    assert (found.resource_type, found.version, found.last_updated) == ("DocumentReference", 1, 2_000)


def test_another_record_is_never_found(world: Database) -> None:
    assert ids(search(world, "DocumentReference", record_id=OTHER_RECORD)) == {"x1"}
    assert ids(search(world, "Patient", record_id=OTHER_RECORD)) == {OTHER_RECORD}
    assert ids(search(world, "Practitioner")) == set()


def test_count_only(world: Database) -> None:
    for pair in (("_summary", "count"), ("_count", "0")):
        page = search(world, "DocumentReference", pair)
        assert (page.total, page.matches, page.next) == (4, [], None)


def test_no_total_when_none_is_asked_for(world: Database) -> None:
    assert search(world, "DocumentReference", ("_total", "none")).total is None


@pytest.mark.parametrize("resource_type", ["DocumentReference", "List", "Consent", "AuditEvent"])
def test_no_search_without_its_predicate(world: Database, resource_type: str) -> None:
    with pytest.raises(KeyError):
        search(world, resource_type, predicates={})
