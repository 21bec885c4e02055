"""What is indexed, and the typed columns."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.canonicals import (
    CONSENT_KIND_SYSTEM,
    EXT_AUTHOR_ORG,
    EXT_CLOSURE,
    EXT_IS_ARCHIVED,
    IDNPS,
    IDNST,
    MHD_LIST_TYPES,
    RPPS,
    TRE_A07,
    URI,
)
from dmp_fhir.outcome import Refused
from dmp_fhir.registry.columns import (
    consent_columns,
    document_columns,
    list_columns,
    party_columns,
    record_columns,
)
from dmp_fhir.registry.index import extract
from dmp_fhir.registry.search.values import LONGEST_TEXT, LONGEST_VALUE, bounded, fold, literal

DAY = 86_400_000


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(max_codepoint=0x24F)))
def test_folding_ignores_case_and_composition(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert fold(text.swapcase().swapcase()) == fold(text.swapcase())


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Élodie", "elodie"),
        ("  LE-GOFF  ", "le goff"),
        ("l’Hôpital d'Été", "l hopital d ete"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("Ÿ\u0301", "y"),
        ("-", ""),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(max_size=2000))
def test_bounded_values_fit_an_index_and_stay_apart(text: str) -> None:
    assert len(bounded(text).encode()) <= LONGEST_VALUE
    assert bounded(text + "a") != bounded(text + "b")


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("DocumentReference/1", ("DocumentReference", "1")),
        ("Patient/a-b.c/_history/2", ("Patient", "a-b.c")),
        ("https://other.test/Patient/1", None),
        ("Patient?identifier=a|b", None),
        ("#p", None),
        ("urn:uuid:1", None),
        ("Patient/" + "a" * 65, None),
        ("Patient/1/2", None),
        ("patient/1", None),
    ],
)
def test_literal(reference: str, target: tuple[str, str] | None) -> None:
    assert literal(reference) == target


def test_identifiers_of_a_document_are_master_and_others() -> None:
    found = extract(
        {
            "resourceType": "DocumentReference",
            "masterIdentifier": {"system": URI, "value": "urn:oid:1"},
            "identifier": [{"value": "local"}, {"system": URI, "value": "urn:uuid:2"}, {"system": URI}],
        }
    )
    assert found.tokens == [
        ("identifier", URI, "urn:oid:1"),
        ("identifier", "", "local"),
        ("identifier", URI, "urn:uuid:2"),
    ]


def test_contained_role_is_found_by_its_number_and_by_the_name_of_its_professional() -> None:
    found = extract(
        {
            "resourceType": "DocumentReference",
            "contained": [
                {
                    "resourceType": "PractitionerRole",
                    "id": "r",
                    "practitioner": {"reference": "#p"},
                },
                {
                    "resourceType": "Practitioner",
                    "id": "p",
                    "identifier": [{"system": IDNPS, "value": "899700000112"}],
                    "name": [{"family": "Le Goff", "given": ["Yann", None, "Marie"]}],
                },
            ],
            "author": [{"reference": "#r"}, {"reference": "#r"}],
        }
    )
    assert found.references == [("author", "Practitioner", "", IDNPS, "899700000112")]
    assert set(found.texts) == {
        ("author:PractitionerRole.family", "le goff", "Le Goff"),
        ("author:PractitionerRole.given", "yann", "Yann"),
        ("author:PractitionerRole.given", "marie", "Marie"),
        ("author:PractitionerRole.name", "le goff", "Le Goff"),
        ("author:PractitionerRole.name", "yann", "Yann"),
        ("author:PractitionerRole.name", "marie", "Marie"),
        ("author:PractitionerRole.name", "yann marie le goff", "Yann Marie Le Goff"),
    }


def test_a_display_stands_in_for_a_name_that_is_not_given() -> None:
    found = extract(
        {
            "resourceType": "DocumentReference",
            "author": [{"type": "Device", "display": "Automate 7"}, {"display": "Zoé", "identifier": {"value": "1"}}],
        }
    )
    assert ("author:Device.name", "automate", "Automate") in found.texts
    assert ("author.given", "zoe", "Zoé") in found.texts
    assert found.references == [("author", "", "", "", "1")]


def test_references_by_address_elsewhere_are_kept_as_identifiers() -> None:
    found = extract(
        {
            "resourceType": "DocumentReference",
            "relatesTo": [
                {"target": {"reference": "DocumentReference/2", "identifier": {"system": URI, "value": "urn:oid:2"}}},
                {"target": {"reference": "https://other.test/DocumentReference/3"}},
            ],
        }
    )
    assert found.references == [
        ("relatesto", "DocumentReference", "2", URI, "urn:oid:2"),
        ("relatesto", "", "", URI, "https://other.test/DocumentReference/3"),
    ]


def test_author_organisation_is_found_in_both_places() -> None:
    def organization(number: str) -> dict:
        return {"url": EXT_AUTHOR_ORG, "valueReference": {"identifier": {"system": IDNST, "value": number}}}

    found = extract(
        {"resourceType": "List", "extension": [organization("1")], "source": {"extension": [organization("2")]}}
    )
    assert {each[-1] for each in found.references if each[0] == "authorOrg"} == {"1", "2"}


def test_long_values_are_cut_or_digested() -> None:
    found = extract(
        {"resourceType": "List", "title": "é" * 1000, "identifier": [{"system": "s" * 3000, "value": "v" * 3000}]}
    )
    ((_, folded, exact),) = found.texts
    assert (len(folded), len(exact)) == (LONGEST_TEXT, LONGEST_TEXT)
    ((_, system, code),) = found.tokens
    assert system.startswith("sha256:")
    assert code.startswith("sha256:")


def test_a_type_that_is_not_searched_has_no_values() -> None:
    found = extract({"resourceType": "Binary", "data": "AA=="})
    assert (found.tokens, found.texts, found.references) == ([], [], [])


def test_columns_of_a_document() -> None:
    columns = document_columns(
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "type": {"coding": [{"system": "urn:t", "code": "c" * 70}, {"code": "second"}]},
            "date": "2024-01-02T00:00:00Z",
            "securityLabel": [{"coding": [{"system": TRE_A07, "code": "MASQUE_PS"}, {"code": "INVISIBLE_PATIENT"}]}],
            "extension": [{"url": EXT_IS_ARCHIVED, "valueBoolean": True}],
            "content": [{"attachment": {"title": "Titre", "creation": "2024-01-01T00:00:00.5Z"}}],
            "context": {"period": {"start": "2024"}},
        }
    )
    assert columns["type_code"] == "c" * 64
    assert columns["type_system"] == "urn:t"
    assert (columns["archived"], columns["masked_professionals"]) == (True, True)
    assert (columns["hidden_patient"], columns["hidden_representatives"]) == (True, False)
    assert columns["date_high"] - columns["date_low"] == 1000
    assert columns["creation_high"] - columns["creation_low"] == 100
    assert columns["start_high"] - columns["start_low"] == 366 * DAY
    assert (columns["end_low"], columns["end_high"]) == (None, None)


@pytest.mark.parametrize("value", [False, None])
def test_only_true_is_archived(value: bool | None) -> None:
    extension = [{"url": EXT_IS_ARCHIVED} | ({} if value is None else {"valueBoolean": value})]
    assert document_columns({"status": "current", "extension": extension})["archived"] is False


@pytest.mark.parametrize("system", [MHD_LIST_TYPES, MHD_LIST_TYPES.replace("https", "http")])
def test_kind_of_a_list(system: str) -> None:
    code = {"coding": [{"system": "urn:x", "code": "folder"}, {"system": system, "code": "submissionset"}]}
    assert list_columns({"status": "current", "code": code})["kind"] == "submissionset"


@pytest.mark.parametrize("code", [None, {"coding": [{"code": "folder"}]}])
def test_a_list_of_no_known_kind_is_refused(code: dict | None) -> None:
    with pytest.raises(Refused) as raised:
        list_columns({"status": "current"} | ({"code": code} if code else {}))
    assert (raised.value.refusal.status, raised.value.refusal.issues[0].expression) == (422, "List.code")


def consent(actor: dict | None = None, **more: object) -> dict:
    actors = [{"reference": actor}] if actor else []
    return {
        "status": "active",
        "category": [{"coding": [{"system": CONSENT_KIND_SYSTEM, "code": "BLOCAGE"}]}],
        "dateTime": "2025-01-01",
        "provision": {"type": "deny", "actor": actors, "period": {"start": "2025-01-01", "end": "2025-01-02"}},
    } | more


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (None, (None, None)),
        (
            {"type": "Practitioner", "identifier": {"system": IDNPS, "value": "899700000112"}},
            ("Practitioner", "899700000112"),
        ),
        ({"identifier": {"system": RPPS, "value": "99700000112"}}, ("Practitioner", "899700000112")),
        (
            {"type": "Organization", "identifier": {"system": IDNST, "value": "1990000010"}},
            ("Organization", "1990000010"),
        ),
        ({"reference": "CareTeam/ct1"}, ("CareTeam", "ct1")),
    ],
)
def test_actor_of_a_consent(actor: dict | None, expected: tuple[str | None, str | None]) -> None:
    columns = consent_columns(consent(actor))
    assert (columns["actor_kind"], columns["actor_id"]) == expected
    assert columns["period_high"] - columns["period_low"] == 2 * DAY


@pytest.mark.parametrize(
    "tree",
    [
        consent({"reference": "Practitioner/p1"}),
        consent({"type": "Practitioner", "identifier": {"system": IDNPS, "value": "nobody"}}),
        consent({"display": "Dr Moreau"}),
        consent(category=[]),
        consent(
            category=[{"coding": [{"system": CONSENT_KIND_SYSTEM, "code": each} for each in ("BLOCAGE", "EQUIPE")]}]
        ),
        consent(dateTime=None) | {"provision": {}},
        consent(provision={"type": "deny", "actor": [{"reference": {"reference": "CareTeam/1"}}] * 2}),
        {name: value for name, value in consent().items() if name != "dateTime"},
    ],
)
def test_a_consent_that_would_not_act_as_written_is_refused(tree: dict) -> None:
    with pytest.raises(Refused) as raised:
        consent_columns(tree)
    assert raised.value.refusal.status == 422


@pytest.mark.parametrize(
    ("tree", "active"),
    [
        ({"resourceType": "Practitioner"}, True),
        ({"resourceType": "Practitioner", "active": False}, False),
        ({"resourceType": "CareTeam", "status": "active"}, True),
        ({"resourceType": "CareTeam"}, False),
        ({"resourceType": "CareTeam", "status": "proposed"}, False),
        ({"resourceType": "Device", "status": "inactive"}, False),
        ({"resourceType": "Device"}, True),
    ],
)
def test_active_parties(tree: dict, active: bool) -> None:
    assert party_columns(tree)["active"] is active


def test_period_of_a_representative_ends_after_its_last_day() -> None:
    columns = party_columns({"resourceType": "RelatedPerson", "period": {"end": "2030-01-01"}})
    assert columns["period_low"] is None
    assert (
        columns["period_high"]
        == party_columns({"resourceType": "RelatedPerson", "period": {"start": "2030-01-02"}})["period_low"]
    )


@pytest.mark.parametrize(
    ("tree", "status"),
    [
        ({"active": True}, "open"),
        ({"active": False}, "closed"),
        ({}, "open"),
        ({"extension": [{"url": EXT_CLOSURE}]}, "closed"),
    ],
)
def test_status_of_a_record(tree: dict, status: str) -> None:
    assert record_columns(tree | {"birthDate": "1980", "gender": "male"}) == {
        "status": status,
        "birth_date": "1980",
        "gender": "male",
    }
