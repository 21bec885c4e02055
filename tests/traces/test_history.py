"""The patient's view of accesses (TF-176): $access-history, in sentences, filtered, paged, as text."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.support import tally
from tests.support.server import MakeToken

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
MOTIVE = "patiente inconsciente, hémorragie"
HOME = "Patient/$access-history"


@pytest.fixture
def ask(client: FlaskClient, token: MakeToken) -> Any:
    def get(path: str, by: str, *, claims: dict[str, Any] | None = None, **headers: str) -> Any:
        bearer = {"Authorization": f"Bearer {token(by, **(claims or {}))}"} | headers
        return client.get(f"/fhir/{path}", headers=bearer)

    return get


def lines(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return [
        {part["name"]: next(value for key, value in part.items() if key != "name") for part in each["part"]}
        for each in answer.json["parameter"]
        if each["name"] == "entry"
    ]


def value(answer: Any, name: str) -> Any:
    return next(
        (next(v for k, v in each.items() if k != "name") for each in answer.json["parameter"] if each["name"] == name),
        None,
    )


def all_lines(ask: Any, path: str, by: str) -> list[dict[str, str]]:
    found = []
    while path:
        answer = ask(path, by)
        found += lines(answer)
        path = (value(answer, "next") or "").partition("/fhir/")[2]
    return found


def test_two_hundred_accesses_of_all_kinds_are_in_the_patients_view(ask: Any) -> None:
    """TF-176. Each act of anyone leaves one line; the lines name who, when and what."""
    before = {each["eventId"] for each in all_lines(ask, HOME, "patient-claire-martin")}
    bundle = ask(f"DocumentReference?patient.identifier={quote(CLAIRE)}&_count=20", "dr-moreau").json
    # What awaits its announcement is in the patient's view once it is announced (AR-63, decision 0037).
    documents = [each["resource"] for each in bundle["entry"] if "INVISIBLE_PATIENT" not in str(each["resource"])]
    made = 1
    for n in range(33):
        document = documents[n % len(documents)]
        address = document["content"][0]["attachment"]["url"].partition("/fhir/")[2]
        for path, by, claims in (
            (f"DocumentReference/{document['id']}", "dr-moreau", {}),
            (address, "dr-moreau", {}),
            (f"DocumentReference/{document['id']}/_history", "dr-moreau", {}),
            (f"DocumentReference?patient.identifier={quote(CLAIRE)}&_count=1", "dr-petit", {}),
            (f"DocumentReference?patient.identifier={quote(CLAIRE)}", "dr-roux", {}),
            (f"Patient?identifier={quote(CLAIRE)}", "infirmiere-robert", {}),
        ):
            ask(path, by, claims=claims)
            made += 1
    emergency = {"purpose": "bris_de_glace", "reason": MOTIVE}
    assert (
        ask(f"DocumentReference?patient.identifier={quote(CLAIRE)}", "dr-chevalier", claims=emergency).status_code
        == 200
    )
    made += 1
    after = [
        each for each in all_lines(ask, f"{HOME}?_count=200", "patient-claire-martin") if each["eventId"] not in before
    ]
    others = [each for each in after if each["actorType"] != "patient"]
    tally.count("G", "accesses made", made)
    tally.count("G", "seen by the patient", len(others))
    assert len(others) == made == 200
    for each in others:
        assert each["date"]
        assert each["actorName"]
        assert each["action"]
        assert each["outcome"] in ("done", "refused")
    (urgent,) = [each for each in others if each["accessMode"] == "bris_de_glace"]
    assert urgent["reason"] == MOTIVE
    assert urgent["sentence"].endswith(f"Consultation de la liste des documents — bris de glace : {MOTIVE}")
    read = [each for each in others if each["action"] == "Consultation du document" and each["outcome"] == "done"]
    assert read
    assert all(each["documentTitle"] in each["sentence"] for each in read)
    assert "Dr Anne Moreau, médecin" in read[0]["sentence"]


def test_each_sees_what_the_rule_book_allows(ask: Any) -> None:
    ask(f"DocumentReference?patient.identifier={quote(CLAIRE)}&_count=1", "dr-petit")
    record = ask(f"Patient?identifier={quote(CLAIRE)}", "dr-moreau").json["entry"][0]["resource"]["id"]
    path = f"Patient/{record}/$access-history"
    full = {each["actorName"] for each in lines(ask(f"{path}?_count=200", "dr-moreau"))}
    assert len(full) > 3
    assert {each["actorName"] for each in lines(ask(path, "dr-petit"))} == {"Dr Hélène Petit"}
    assert ask(path, "patient-julien-martin").status_code == 404
    assert {each["actorType"] for each in lines(ask(path, "labo-feeder"))} <= {"facility"}
    assert ask(HOME, "dr-moreau").status_code == 400
    assert ask("Patient/unknown/$access-history", "dr-moreau").status_code == 404
    # Reading the history is in the history (E14).
    assert lines(ask(HOME, "patient-claire-martin"))[0]["action"] == "Consultation de l'historique"


def test_period_actors_pages_and_languages(ask: Any) -> None:
    everything = all_lines(ask, HOME, "patient-claire-martin")
    old = all_lines(ask, f"{HOME}?end=2025-12-31", "patient-claire-martin")
    new = lines(ask(f"{HOME}?start=2026-01-01&end=2026-11-21&_count=200", "patient-claire-martin"))
    assert old
    assert new
    assert {each["eventId"] for each in old}.isdisjoint(each["eventId"] for each in new)
    dates = [each["date"] for each in everything]
    assert dates == sorted(dates, reverse=True)
    assert len({each["eventId"] for each in everything}) == len(everything)
    found = lines(ask(f"{HOME}?actor-type=facility,patient&_count=200", "patient-claire-martin"))
    assert {each["actorType"] for each in found} == {"facility", "patient"}
    english = lines(ask(f"{HOME}?_count=1", "patient-claire-martin", **{"Accept-Language": "en"}))
    assert english[0]["action"] == "History read"
    for bad in (
        "start=x",
        "start=ge2026",
        "actor-type=doctor",
        "_count=0",
        "_count=201",
        "page=x",
        "start=2026&start=2026",
        "a=b",
    ):
        assert ask(f"{HOME}?{bad}", "patient-claire-martin").status_code == 400, bad
    link = value(ask(f"{HOME}?_count=5", "patient-claire-martin"), "next").partition("/fhir/")[2]
    assert ask(link, "dr-moreau").status_code == 404


def test_a_title_is_told_to_who_may_see_the_document(ask: Any) -> None:
    """Deleted documents keep their line, in neutral words (AR-99)."""
    entries = all_lines(ask, f"{HOME}?_count=200", "patient-claire-martin")
    deleted = [each for each in entries if each["action"] == "Suppression"]
    assert deleted
    assert all("documentTitle" not in each and "un document" in each["sentence"] for each in deleted)
    assert any(each["action"] == "Masquage aux professionnels" and "documentTitle" in each for each in entries)


def test_sentences_are_what_people_say(ask: Any) -> None:
    entries = all_lines(ask, f"{HOME}?_count=200", "patient-claire-martin")
    sentences = {each["sentence"].partition(" — ")[2] for each in entries}
    assert "Ajout : Directives anticipées du 18/10/2026 « Directives anticipées »" in sentences
    assert "Dépôt d'un lot de documents" in sentences
    english = lines(ask(f"{HOME}?_count=200", "patient-claire-martin", **{"Accept-Language": "en"}))
    told = {each["sentence"].partition(" — ")[2] for each in english}
    assert "Added: Directives anticipées, 2026-10-18, “Directives anticipées”" in told
    assert "Documents submitted" in told
    neutral = {"Ajout au dossier", "Modification du dossier", "Consultation du dossier", "Interrogation du dossier"}
    assert not neutral & {each["action"] for each in entries if each["outcome"] == "done"}


def test_a_representative_does_not_learn_what_is_secret(ask: Any, client: FlaskClient) -> None:
    before = len(all_lines(ask, HOME, "representative-julien-martin"))
    assert all(each["accessMode"] != "secret" for each in all_lines(ask, HOME, "representative-julien-martin"))
    assert before < len(all_lines(ask, HOME, "patient-lea-martin"))


def test_as_text_and_as_a_table(ask: Any) -> None:
    table = ask(f"{HOME}?_format=csv&_count=3", "patient-claire-martin")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len(rows) == 3
    assert 'rel="next"' in table.headers["Link"]
    text = ask(HOME, "patient-claire-martin", Accept="text/plain")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Consultation de l'historique" in text.text.splitlines()[0]
    assert ask(f"{HOME}?_format=pdf", "patient-claire-martin").status_code == 406


def test_it_is_declared(client: FlaskClient) -> None:
    statement = client.get("/fhir/metadata").json
    (patient,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Patient"]
    (operation,) = [each for each in patient["operation"] if each["name"] == "access-history"]
    assert operation["definition"] == "#access-history"
    assert "access-history" in [each["id"] for each in statement["contained"]]
    assert client.post("/fhir/Patient/$access-history").status_code == 401
