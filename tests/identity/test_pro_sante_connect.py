"""Userinfo of Pro Santé Connect -> the same access context as any token."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from dmp_fhir.identity.claims import ClaimFault
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.issuers import PSC, TrustedIssuer
from dmp_fhir.identity.pro_sante_connect import access_context
from tests.support import tally

ISSUER = TrustedIssuer("https://psc.test.example", "", kind=PSC, clients=frozenset({"lps"}), scope="scope_all")
TEST_ISSUER = TrustedIssuer("https://psc.test.example", "", kind=PSC, scope="scope_all", test_identities=True)
CLAIMS = {"sub": "f:1:ANS", "client_id": "lps", "jti": "j1", "scope": "openid scope_all", "acr": "eidas1", "sid": "s1"}
CABINET: dict[str, Any] = {
    "codeModeExercice": "L",
    "codeSecteurDactivite": "SA07",
    "numeroFinessSite": "",
    "numeroSiretSite": "12345678200010",
    "identifiantTechniqueDeLaStructure": "R10000000000001",
    "raisonSocialeSite": "CABINET DU DR TEST",
    "codeRole": "",
    "codeGenreActivite": "GENR01",
}
HOSPITAL: dict[str, Any] = {
    "codeModeExercice": "S",
    "codeSecteurDactivite": "SA01",
    "numeroFinessSite": "990000010",
    "raisonSocialeSite": "CHU DE TEST",
    "codeRole": "FON-01",
}


def userinfo(*activities: dict[str, Any], **changes: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "sub": "f:1:ANS",
        "SubjectNameID": "899700000112",
        "given_name": "Anne",
        "family_name": "MOREAU",
        "SubjectRole": [],
        "SubjectOrganizationID": "",
        "Mode_Acces_Raison": "",
        "Acces_Regulation_Medicale": "FAUX",
        "Palier_Authentification": "APPPRIP3^1.2.250.1.213.1.5.1.1.1",
        "SubjectRefPro": {
            "codeCivilite": "MME",
            "exercices": [
                {
                    "codeProfession": "10",
                    "codeCategorieProfessionnelle": "C",
                    "codeTypeSavoirFaire": "S",
                    "codeSavoirFaire": "SM26",
                    "activities": list(activities or [CABINET]),
                }
            ],
        },
    }
    return deepcopy(tree | changes)


def refused(tree: dict[str, Any], situation: str | None = None, issuer: TrustedIssuer = ISSUER) -> str:
    tally.count("B", "bad tokens tried")
    tally.count("B", "accepted", 0)
    try:
        access_context(CLAIMS, tree, issuer, situation)
    except ClaimFault as fault:
        return str(fault.args[0])
    tally.count("B", "accepted")
    pytest.fail("accepted")


def test_one_situation() -> None:
    assert access_context(CLAIMS, userinfo(), ISSUER) == AccessContext(
        actor_category="PS",
        actor_id="899700000112",
        actor_name="Anne MOREAU",
        auth_mode="CPS",
        purpose="normal",
        profession="10",
        specialty="SM26",
        structure="312345678200010",
        structure_name="CABINET DU DR TEST",
        client_id="lps",
        token_id="j1",
        issuer="https://psc.test.example",
        scopes=frozenset({"openid", "scope_all"}),
        sector="SA07",
        role="GENR01",
        auth_level="APPPRIP3",
        session="s1",
    )


def test_the_place_is_named_by_finess_then_siret_then_technical_id() -> None:
    assert access_context(CLAIMS, userinfo(HOSPITAL), ISSUER).structure == "1990000010"
    technical = {**CABINET, "numeroSiretSite": ""}
    assert access_context(CLAIMS, userinfo(technical), ISSUER).structure == "R10000000000001"
    nowhere = {"codeModeExercice": "B", "codeSecteurDactivite": "SA30"}
    assert access_context(CLAIMS, userinfo(nowhere), ISSUER).structure is None


@pytest.mark.parametrize("place", ["1990000010", "990000010"])
def test_the_client_says_which_situation(place: str) -> None:
    tree = userinfo(CABINET, HOSPITAL)
    assert refused(tree) == "situation_exercice"
    found = access_context(CLAIMS, tree, ISSUER, place)
    assert (found.structure, found.sector, found.role) == ("1990000010", "SA01", "FON-01")
    assert refused(tree, "1990000044") == "situation_exercice"
    assert refused(tree, "") == "situation_exercice"
    assert refused(tree, "1990000010,312345678200010") == "situation_exercice"


def test_the_session_says_which_situation() -> None:
    by_place = userinfo(CABINET, HOSPITAL, SubjectOrganizationID="R10000000000001")
    assert access_context(CLAIMS, by_place, ISSUER).structure == "312345678200010"
    by_sector = userinfo(CABINET, HOSPITAL, Secteur_Activite="SA01^1.2.250.1.71.4.2.4")
    assert access_context(CLAIMS, by_sector, ISSUER).structure == "1990000010"
    # What the client says of this request comes before what was chosen at log-in.
    assert access_context(CLAIMS, by_place, ISSUER, "1990000010").structure == "1990000010"


def test_what_pro_sante_connect_leaves_empty_is_not_told() -> None:
    empty = dict.fromkeys(("Secteur_Activite", "Palier_Authentification", "SubjectNameID", "Mode_Acces_Raison"), "")
    found = access_context(CLAIMS, userinfo(preferred_username="899700000112", **empty), ISSUER)
    assert (found.actor_id, found.auth_level, found.purpose) == ("899700000112", "eidas1", "normal")
    assert refused(userinfo(CABINET, HOSPITAL, **empty, preferred_username="899700000112")) == "situation_exercice"


def test_a_situation_by_the_former_identifier_of_its_place() -> None:
    former = {**HOSPITAL, "ancienIdentifiantDeLaStructure": "499700000112005"}
    assert access_context(CLAIMS, userinfo(CABINET, former), ISSUER, "499700000112005").structure == "1990000010"


def test_two_professions() -> None:
    tree = userinfo(SubjectRole=["60^1.2.250.1.213.1.1.5.5"])
    tree["SubjectRefPro"]["exercices"].append({"codeProfession": "60", "activities": [HOSPITAL]})
    found = access_context(CLAIMS, tree, ISSUER)
    assert (found.profession, found.specialty, found.structure) == ("60", None, "1990000010")
    assert refused({**tree, "SubjectRole": []}) == "situation_exercice"
    assert refused({**tree, "SubjectRole": ["21^1.2.250.1.213.1.1.5.5"]}) == "SubjectRefPro"


def test_two_equal_situations_are_one() -> None:
    assert access_context(CLAIMS, userinfo(CABINET, dict(CABINET)), ISSUER).sector == "SA07"


def test_a_student_and_an_unknown_profession_are_roles() -> None:
    student = userinfo()
    student["SubjectRefPro"]["exercices"][0]["codeCategorieProfessionnelle"] = "E"
    found = access_context(CLAIMS, student, ISSUER)
    assert (found.actor_category, found.profession) == ("PS_ROLE", "G16_10")
    unknown = userinfo()
    unknown["SubjectRefPro"]["exercices"][0]["codeProfession"] = "41"
    assert access_context(CLAIMS, unknown, ISSUER).actor_category == "PS_ROLE"


def test_purpose() -> None:
    emergency = access_context(CLAIMS, userinfo(Mode_Acces_Raison="patient inconscient"), ISSUER)
    assert (emergency.purpose, emergency.reason) == ("bris_de_glace", "patient inconscient")
    regulation = access_context(CLAIMS, userinfo(Acces_Regulation_Medicale="VRAI"), ISSUER)
    assert (regulation.purpose, regulation.regulation) == ("centre_15", True)
    both = userinfo(Mode_Acces_Raison="motif", Acces_Regulation_Medicale="VRAI")
    assert refused(both) == "Acces_Regulation_Medicale"


def test_identifiers_of_tests_stay_in_tests() -> None:
    tree = userinfo(SubjectNameID="ANS20231122132732")
    assert refused(tree) == "SubjectNameID"
    assert access_context(CLAIMS, tree, TEST_ISSUER).actor_id == "ANS20231122132732"
    assert refused(userinfo(SubjectNameID="ANS2023' OR 1"), issuer=TEST_ISSUER) == "SubjectNameID"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sub": "f:1:somebody-else"}, "sub"),
        ({"sub": None}, "sub"),
        ({"SubjectNameID": "899700000113"}, "SubjectNameID"),
        ({"SubjectNameID": ""}, "SubjectNameID"),
        ({"SubjectNameID": 899700000112}, "SubjectNameID"),
        ({"SubjectRefPro": None}, "SubjectRefPro"),
        ({"SubjectRefPro": []}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": []}}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": "10"}}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": [10]}}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": [{}]}}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": [{"codeProfession": 10}]}}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": [{"codeProfession": "10", "activities": [[]]}]}}, "SubjectRefPro"),
        ({"SubjectRefPro": {"exercices": [{"codeProfession": "10"}] * 100}}, "SubjectRefPro"),
        ({"SubjectRole": "10^1.2"}, "SubjectRole"),
        ({"SubjectRole": [10]}, "SubjectRole"),
        ({"Acces_Regulation_Medicale": "OUI"}, "Acces_Regulation_Medicale"),
        ({"Acces_Regulation_Medicale": True}, "Acces_Regulation_Medicale"),
        ({"Acces_Regulation_Medicale": ["VRAI"]}, "Acces_Regulation_Medicale"),
        ({"Mode_Acces_Raison": ["motif"]}, "Mode_Acces_Raison"),
        ({"Mode_Acces_Raison": "m\x00"}, "Mode_Acces_Raison"),
        ({"Palier_Authentification": 3}, "Palier_Authentification"),
    ],
    ids=str,
)
def test_wrong_answers(changes: dict[str, Any], named: str) -> None:
    assert refused(userinfo(**changes)) == named


@pytest.mark.parametrize(
    "activity",
    [
        {**HOSPITAL, "numeroFinessSite": "990000011"},
        {**CABINET, "numeroSiretSite": "1234"},
        {**CABINET, "raisonSocialeSite": "a\x00b"},
        {**CABINET, "codeSecteurDactivite": ["SA07"]},
    ],
)
def test_wrong_places(activity: dict[str, Any]) -> None:
    refused(userinfo(activity))


def test_an_issuer_vouches_only_for_its_categories() -> None:
    narrow = TrustedIssuer("https://psc.test.example", "", kind=PSC, categories=frozenset({"STRUCTURE"}))
    assert refused(userinfo(), issuer=narrow) == "SubjectRefPro"
