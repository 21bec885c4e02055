"""The habilitation matrix: read, checked, and applied alike by both faces of the rules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.matrix import BadMatrix, in_force, packaged, read_matrix
from dmp_fhir.policy.predicate import document_predicate
from dmp_fhir.policy.settings import PolicySettings
from dmp_fhir.policy.standing import Permit
from dmp_fhir.profiles.terminology import code_list
from dmp_fhir.store.database import Database
from tests.policy.scenarios import shared_folder
from tests.policy.worlds import DAY, DOCTOR, ME, NOW, OPEN, OTHER, PATIENT

SMALL: dict[str, Any] = {
    "version": "test-1",
    "title": {"fr": "Essai", "en": "Trial"},
    "confidence": {"confirmed": "Sure.", "partial": "Half.", "unverified": "Guess."},
    "sources": {"D": "nobody"},
    "classes": {"11": {"label": "Synthèse", "types": ["60591-5", "83901-9"]}},
    "lists": {"short": ["11488-4"]},
    "professions": [
        {"code": "10", "label": "Médecin", "read": True, "confidence": "confirmed", "source": "D"},
        {
            "code": "60",
            "label": "Infirmier",
            "read": False,
            "confidence": "partial",
            "source": "D",
            "except": [{"classes": ["11"], "lists": ["short"], "confidence": "unverified", "source": "D"}],
        },
    ],
    "roles": [{"code": "*", "label": "Autres", "read": False, "confidence": "unverified", "source": "D"}],
}
AUTHORISED = replace(OPEN, permits=(Permit("Practitioner", ME),))


def changed(path: str, value: Any) -> bytes:
    tree = json.loads(json.dumps(SMALL))
    *way, last = (int(step) if step.isdigit() else step for step in path.split("/"))
    inner = tree
    for step in way:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(tree).encode()


def test_a_class_and_a_list_stand_for_their_types() -> None:
    found = read_matrix(json.dumps(SMALL).encode())
    nurse = found.professions["60"]
    assert [nurse.cell(code).read for code in ("60591-5", "83901-9", "11488-4", "34112-3")] == [True, True, True, False]
    assert nurse.cell("60591-5").confidence == "unverified"
    assert nurse.cell("34112-3").confidence == "partial"


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("version", "", "version"),
        ("version", 3, "version"),
        ("title", {"fr": "seul"}, "title"),
        ("confidence", {"confirmed": "Sure."}, "confidence"),
        ("roles", ..., "roles is missing"),
        ("rows", [], "rows is not known"),
        ("professions", [], "professions"),
        ("professions/0/code", "93x", "TRE_G15"),
        ("professions/1/code", "10", "two rows"),
        ("professions/0/read", "yes", "read"),
        ("professions/0/confidence", "sure", "confidence"),
        ("professions/0/source", "S1", "source"),
        ("professions/0/comment", "x", "comment is not known"),
        ("professions/1/except/0/types", ["11488-5"], "no type of document"),
        ("professions/1/except/0/types", ["60591-5"], "named twice"),
        ("professions/1/except/0/lists", ["long"], "not defined"),
        ("professions/1/except/0/classes", ["12"], "not defined"),
        ("professions/1/except/0", {"confidence": "partial", "source": "D"}, "names no type"),
        ("classes/11", {"label": " ", "types": []}, "label"),
        ("lists/short", "11488-4", "codes"),
    ],
)
def test_a_matrix_that_is_wrong_is_not_put_in_force(path: str, value: Any, place: str) -> None:
    with pytest.raises(BadMatrix, match=place):
        read_matrix(changed(path, value))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"null", b" " * 1_000_001])
def test_what_is_no_matrix_at_all(data: bytes) -> None:
    with pytest.raises(BadMatrix):
        read_matrix(data)


def test_the_operators_matrix_wins_and_a_damaged_one_stops(tmp_path: Path) -> None:
    assert in_force(tmp_path) is packaged()
    (tmp_path / "matrix.json").write_text(json.dumps(SMALL))
    assert in_force(tmp_path).version == "test-1"
    (tmp_path / "matrix.json").write_text("{")
    with pytest.raises(BadMatrix):
        in_force(tmp_path)


def test_every_cell_is_that_of_the_reference() -> None:
    """The facts of the packaged matrix, one by one, when the reference is at hand."""
    folder = shared_folder()
    rows = json.loads((folder / "data" / "habilitation-matrix.json").read_bytes())["rows"] if folder else []
    found, compared = packaged(), 0
    for row in rows:
        exceptions = {cell["typeCode"]: cell["read"] for cell in row["exceptions"]}
        profession = "*" if row["profession"] == "*ROLE" else row["profession"]
        category = "PS" if profession in found.professions else "PS_ROLE"
        for code in (*exceptions, "34874-8"):
            expected = exceptions.get(code, row["default"]["read"])
            assert found.cell(category, profession, code).read == expected, (profession, code)
            compared += 1
    assert compared > 100 or folder is None
    # The five types that the published summary names for dentists, and the one for physicians.
    assert not any(
        found.cell("PS", "40", code).read for code in ("80788-3", "75496-0", "83981-1", "83901-9", "68599-0")
    )
    assert not found.cell("PS", "10", "ATTEST-RESID").read
    assert found.cell("PS", "10", "68599-0") == found.professions["10"].default


def test_who_is_not_bound_by_the_matrix() -> None:
    residence = DocumentFacts("urn:a05", "ATTEST-RESID", author_persons=frozenset({OTHER}), deposited_ms=NOW - DAY)

    def reason(context: Any, standing: Any, document: DocumentFacts = residence) -> str | None:
        return decide(context, Action.DOC_READ, standing, document, NOW).reason

    assert reason(DOCTOR, AUTHORISED) == "MATRICE"
    assert reason(DOCTOR, replace(OPEN, treating_physicians=frozenset({ME}))) is None
    assert reason(DOCTOR, AUTHORISED, replace(residence, author_persons=frozenset({ME}))) is None
    assert reason(PATIENT, OPEN) is None
    emergency = replace(DOCTOR, purpose="bris_de_glace", reason="patient inconscient aux urgences")
    assert reason(emergency, OPEN) == "MATRICE"


def test_a_type_of_no_list_is_for_its_author_and_the_treating_physician() -> None:
    unknown = DocumentFacts("urn:x", "11488-4", author_persons=frozenset({OTHER}), type_unknown=True)
    assert decide(DOCTOR, Action.DOC_READ, AUTHORISED, unknown, NOW).reason == "MATRICE"
    assert decide(DOCTOR, Action.DOC_READ, replace(OPEN, treating_physicians=frozenset({ME})), unknown, NOW).permit
    assert decide(PATIENT, Action.DOC_READ, OPEN, unknown, NOW).permit


def test_a_role_never_takes_the_row_of_a_profession() -> None:
    role = replace(DOCTOR, actor_category="PS_ROLE", profession="10")
    report = DocumentFacts("http://loinc.org", "34112-3", author_persons=frozenset({OTHER}))
    assert decide(DOCTOR, Action.DOC_READ, AUTHORISED, report, NOW).permit
    assert decide(role, Action.DOC_READ, AUTHORISED, report, NOW).reason == "MATRICE"
    social = replace(role, profession="41")
    assert decide(social, Action.DOC_READ, AUTHORISED, replace(report, type_code="34842-5"), NOW).permit
    assert decide(social, Action.DOC_READ, AUTHORISED, report, NOW).reason == "MATRICE"


@pytest.mark.parametrize("settings", [PolicySettings(), PolicySettings(matrix=read_matrix(json.dumps(SMALL).encode()))])
def test_both_faces_agree_for_every_profession_and_type(database: Database, settings: PolicySettings) -> None:
    """Every row of the matrix against every type of document there is, known or not."""
    types = sorted({c for name in ("JDV_J07", "JDV_J66") for own in code_list(name).codes.values() for c in own})
    facts = {
        f"{code}{'?' if unknown else ''}": DocumentFacts(
            "urn:s", code, author_persons=frozenset({OTHER}), deposited_ms=NOW - DAY, type_unknown=unknown
        )
        for code in [*types, "not-a-type"]
        for unknown in (False, True)
    }
    with database.transaction() as tx:
        for number, document in facts.items():
            row = {"record_id": "record", "id": number, "version": 1, "created": NOW - DAY, "last_updated": 1}
            row |= {"status": "current", "archived": False, "type_system": "urn:s", "type_code": document.type_code}
            row |= {"masked_professionals": False, "hidden_patient": False, "hidden_representatives": False}
            tx.insert("document", row | {"type_unknown": document.type_unknown})
            author = {"record_id": "record", "document_id": number, "kind": "person", "identifier": OTHER}
            tx.insert("document_author", author)
    callers = [replace(DOCTOR, profession=code) for code in (*packaged().professions, "99")]
    callers += [replace(DOCTOR, actor_category="PS_ROLE", profession=code) for code in (*packaged().roles, "10")]
    compared = seen = 0
    with database.snapshot() as reader:
        for context in callers:
            predicate = document_predicate(context, AUTHORISED, NOW, settings=settings)
            rows = reader.rows(f"SELECT d.id FROM document d WHERE {predicate.sql}", dict(predicate.params))
            found = {row[0] for row in rows}
            expected = {
                number
                for number, document in facts.items()
                if decide(context, Action.DOC_READ, AUTHORISED, document, NOW, settings=settings).permit
            }
            assert found == expected, context
            compared += len(facts)
            seen += len(found)
    assert compared > 8000
    assert seen > 100
