"""The figures are those of a registry whose content is known; small numbers stay out; the page is plain HTML."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.audit.placing import append_rows
from dmp_fhir.cli import main
from dmp_fhir.cli.barometer import last_month
from dmp_fhir.http.barometer import FILE_NAME, html
from dmp_fhir.registry.barometer import ACTORS, CATEGORIES, SMALLEST, breakdown, compute, months_before
from dmp_fhir.store import database as store
from dmp_fhir.store.database import Database
from tests.store import rows
from tests.support.keys import settle_keys
from tests.support.server import START, MakeApp

NOVEMBER, OCTOBER = START, START - 30 * 86_400_000
SECRET = "a-secret-of-the-metrics"


@pytest.fixture
def filled(database: Database) -> Database:
    """Twenty records open, six of them empty, seven closed; documents of two categories, read by professionals."""
    with database.transaction() as tx:
        for n in range(27):
            made = NOVEMBER if n < 8 else OCTOBER
            tx.insert("record", rows.record(f"r{n}", created=made, status="open" if n < 20 else "closed"))
        for n in range(14):
            code = "10" if n < 9 else "42"
            tx.insert("document", rows.document(f"r{n}", f"d{n}", created=NOVEMBER if n < 12 else OCTOBER))
            token = {"record_id": f"r{n}", "resource_type": "DocumentReference", "resource_id": f"d{n}"}
            tx.insert("search_token", token | {"parameter": "category", "code": code, "system": "s"})
        tx.insert("document", rows.document("r14", "gone", status="entered-in-error", created=OCTOBER))
        for n in range(30):
            act: dict[str, Any] = {"subtype": "read", "action": "R", "outcome": "0", "recorded": NOVEMBER}
            kind = {"agent_category": "PS" if n < 20 else "PATIENT", "entity_type": "Binary"}
            append_rows(tx, [rows.trace(f"r{n % 6}", f"t{n}") | act | kind])
        refused = {"action": "R", "outcome": "4", "recorded": NOVEMBER, "subtype": "read"}
        append_rows(tx, [rows.trace("r19", "refused") | refused])
    return database


def test_figures_of_a_month(filled: Database) -> None:
    with filled.snapshot() as reader:
        found = compute(reader, "2026-11", START)
        before = compute(reader, "2026-10", START)
    expected = {"open": 20, "closed": 7, "suspended": 0, "opened": 8, "fed": 12, "consulted": 6, "empty": 6}
    assert found.records == expected
    assert found.empty_share == 0.3
    november = found.documents_by_month["2026-11"]
    # Three prescriptions are too few to be shown, and the reports would give them away.
    assert (november["10"], november["42"], november["11"]) == (None, None, 0)
    assert found.consulted == {"professional": 20, "structure": 0, "patient": 10, "other": 0}
    assert before.records | {"opened": 19, "fed": None, "consulted": 0} == before.records
    assert list(found.documents_by_month) == months_before("2026-11")
    assert set(before.consulted.values()) == {0}


@given(st.dictionaries(st.sampled_from(list(CATEGORIES)), st.integers(0, 20)))
def test_nobody_is_told_of_by_a_breakdown(counts: dict[str, int]) -> None:
    """No number from 1 to 4 is shown, nor can be worked out from the others and their sum."""
    shown = breakdown(counts, CATEGORIES)
    hidden = [counts.get(name, 0) for name, count in shown.items() if count is None]
    assert all(count is None or count == 0 or count >= SMALLEST for count in shown.values())
    assert all(count == counts.get(name, 0) for name, count in shown.items() if count is not None)
    others = [count for count in shown.values() if count]
    assert len(hidden) != 1 or not others


@pytest.mark.parametrize(("month", "first"), [("2026-11", "2025-12"), ("2026-01", "2025-02"), ("2024-12", "2024-01")])
def test_twelve_months(month: str, first: str) -> None:
    found = months_before(month)
    assert (len(found), found[0], found[-1]) == (12, first, month)


@pytest.mark.parametrize("month", ["2026-13", "2026", "november", "2026-1", "", "2026-11-01"])
def test_what_is_no_month(month: str) -> None:
    with pytest.raises(ValueError):
        months_before(month)


def test_the_command_prints_and_publishes(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_app: MakeApp
) -> None:
    settle_keys(filled, tmp_path)
    monkeypatch.setenv("DATABASE_URL", filled.url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    run = CliRunner().invoke
    shown = run(main, ["barometer", "--month", "2026-11"])
    assert shown.exit_code == 0, shown.output
    for opened in list(store._open):
        opened.close()
    assert re.search(r"^Open +20$", shown.output, re.MULTILINE)
    assert re.search(r"^Share of empty records +30.0%$", shown.output, re.MULTILINE)
    assert re.search(r"^Reports( +0){5} +–$", shown.output, re.MULTILINE)
    assert run(main, ["barometer", "--month", "x"]).exit_code == 2
    told = run(main, ["barometer", "--month", "2026-11", "--json", "--publish"])
    assert orjson.loads(told.output)["records"]["consulted"] == 6
    for opened in list(store._open):
        opened.close()
    client = make_app(filled.url, data_folder=tmp_path, public_barometer=True).test_client()
    assert ">20<" in client.get("/barometer").text


@pytest.mark.parametrize(("now", "month"), [(START, "2026-10"), (START + 40 * 86_400_000, "2026-12")])
def test_the_month_that_ended_last(now: int, month: str) -> None:
    assert last_month(now) == month


FIGURES: dict[str, Any] = {
    "month": "2026-11",
    "computed": "2026-12-01T03:00:00.000Z",
    "records": dict.fromkeys(("open", "closed", "suspended", "opened", "fed", "consulted", "empty"), 12)
    | {"fed": None},
    "empty_share": 0.125,
    "documents_by_month": {"2026-11": dict.fromkeys(CATEGORIES, 7)},
    "published": dict.fromkeys(ACTORS, 8),
    "consulted": dict.fromkeys(ACTORS),
    "smallest": SMALLEST,
}


@pytest.mark.parametrize("english", [False, True])
def test_the_page_is_accessible_and_runs_nothing(english: bool) -> None:
    text = html(FIGURES, english=english, nonce="n")
    tree = ElementTree.fromstring(re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", text).strip())
    assert tree.get("lang") == ("en" if english else "fr")
    assert tree.find(".//main") is not None
    assert tree.findtext(".//h1") == ("Barometer of the registry" if english else "Baromètre du registre")
    tables = tree.findall(".//table")
    assert all(table.find("caption") is not None for table in tables)
    assert all(cell.get("scope") for table in tables for cell in table.iter("th"))
    assert all(len(row.findall("td")) + len(row.findall("th")) > 1 for table in tables for row in table.iter("tr"))
    assert [each.tag for each in tree.iter() if each.tag in ("script", "img", "link", "iframe", "form")] == []
    assert ("12.5%" if english else "12,5%") in text
    assert not any(name.startswith("on") or name == "style" for each in tree.iter() for name in each.attrib)


def test_the_page_escapes(tmp_path: Path) -> None:
    assert "<script>" not in html(FIGURES | {"month": "<script>"}, english=True, nonce="n")


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "registry.sqlite")
    return f"sqlite:///{tmp_path}/registry.sqlite"


def test_who_sees_the_page_and_in_which_language(make_app: MakeApp, data_folder: Path, sqlite_url: str) -> None:
    closed = make_app(sqlite_url, metrics_secret=SECRET).test_client()
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert closed.get("/barometer", headers=bearer).status_code == 404  # nothing published
    (data_folder / FILE_NAME).write_bytes(orjson.dumps(FIGURES))
    assert closed.get("/barometer").status_code == 404
    assert closed.get("/barometer", headers=bearer).status_code == 200
    client = make_app(sqlite_url, public_barometer=True).test_client()
    for query, languages, language in [
        ("", None, "fr"),
        ("", "en-GB, fr;q=0.5", "en"),
        ("?lang=en", "fr", "en"),
        ("?lang=fr", "en", "fr"),
        ("?lang=de", "de", "fr"),
    ]:
        answer = client.get(f"/barometer{query}", headers={"Accept-Language": languages} if languages else {})
        assert answer.headers["Content-Language"] == language
        assert f'<html lang="{language}">' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    nonce = re.search(r"style-src 'nonce-([\w-]+)'", policy)
    assert nonce
    assert f'<style nonce="{nonce[1]}">' in answer.text
    assert policy.startswith("default-src 'none';")
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get("/barometer").headers["Content-Security-Policy"] != policy
