"""The judge of client software: what it recognises, what it finds wrong, how it says it would be right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from dmp_fhir.conformance.clients.expectations import (
    MISSING,
    SEEN,
    WRONG,
    BadProfile,
    Judged,
    judge,
    profiles,
    read_profiles,
)
from dmp_fhir.conformance.clients.recording import Asked, Exchange
from dmp_fhir.conformance.clients.report import write_html, write_json
from tests.cli.test_sandbox import dmp_fhir, wait_for
from tests.readme.tour import ROOT, environment, free_port

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
TOUR = ROOT / "fixtures" / "tour"
FORM = "application/x-www-form-urlencoded"
FHIR = "application/fhir+json"
PATCH = "application/json-patch+json"


def exchange(
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    body: Any = None,
    *,
    kind: str = FHIR,
    status: int = 200,
    answer: Any = None,
    authorized: bool = True,
    **headers: str,
) -> Exchange:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None or method == "POST":
        sent["Content-Type"] = kind
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = Asked(method, path, tuple((query or {}).items()), sent, content, authorized)
    answered = {"Content-Type": FHIR} if answer else {}
    return Exchange(1, datetime(2026, 11, 22, tzinfo=UTC), asked, status, answered, json.dumps(answer).encode())


def only(profile: str, one: Exchange) -> Judged:
    return judge(profiles()[profile], [one]).judged[0]


TD02 = exchange("POST", "Patient/_search", {"identifier": CLAIRE}, b"identifier=", kind=FORM)
LABEL = [{"op": "add", "path": "/securityLabel/-", "value": {}}]
ARCHIVE = json.loads((TOUR / "archive.json").read_bytes())
DELETE = json.loads((TOUR / "delete.json").read_bytes())
LOT = json.loads((TOUR / "publish.json").read_bytes())
REPLACEMENT = json.loads((TOUR / "replace.json").read_bytes())
RIGHT = {
    "alimentation": {
        "td02": TD02,
        "publish": exchange("POST", "", body=LOT),
        "replace": exchange("POST", "", body=REPLACEMENT),
        "find": exchange("GET", "DocumentReference", {"patient.identifier": CLAIRE, "identifier": "x"}),
        "delete": exchange("PATCH", "DocumentReference/1", body=DELETE, kind=PATCH),
        "capabilities": exchange("GET", "metadata", authorized=False),
    },
    "consultation": {
        "td02": TD02,
        "search": exchange("GET", "DocumentReference", {"patient.identifier": CLAIRE, "status": "current"}),
        "lots": exchange(
            "POST",
            "List/_search",
            {"patient.identifier": CLAIRE, "status": "current", "code": "submissionset"},
            b"",
            kind=FORM,
        ),
        "retrieve": exchange("GET", "Binary/1"),
    },
    "gestion": {
        "td02": TD02,
        "search": exchange("GET", "DocumentReference", {"patient.identifier": CLAIRE, "status": "current"}),
        "label": exchange("PATCH", "DocumentReference/1", body=LABEL, kind=PATCH, If_Match='W/"1"'),
        "archive": exchange("PATCH", "DocumentReference/1", body=ARCHIVE, kind=PATCH, If_Match='W/"1"'),
    },
}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_a_client_that_asks_rightly_conforms(name: str) -> None:
    result = judge(profiles()[name], list(RIGHT[name].values()))
    found = {one.expectation.id if one.expectation else None: [f.text.en for f in one.faults] for one in result.judged}
    assert found == {key: [] for key in RIGHT[name]}, "every exchange is recognised, none is wrong"
    assert result.conforming


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_what_is_mandatory_and_was_not_asked_is_missing(name: str) -> None:
    for expectation in profiles()[name].expectations:
        rest = [each for key, each in RIGHT[name].items() if key != expectation.id]
        result = judge(profiles()[name], rest)
        state = next(each.state for each in result.verdicts if each.expectation.id == expectation.id)
        assert state == MISSING
        assert result.conforming == (expectation.obligation != "SHALL")


REFUSED = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "error",
            "code": "code-invalid",
            "details": {"coding": [{"code": "D10"}], "text": "Code inconnu"},
            "diagnostics": "Unknown code",
            "expression": ["DocumentReference.type"],
        }
    ],
}
WRONG_ONES = {
    "no-ins": ("consultation", exchange("GET", "Patient", {"identifier": "274036912390153"}), "whole INS", "4.10|2740"),
    "no-token": ("consultation", exchange("GET", "Binary/1", authorized=False), "access token", "Bearer"),
    "no-patient": (
        "consultation",
        exchange("GET", "DocumentReference", {"status": "current"}),
        "names the patient",
        CLAIRE,
    ),
    "no-status": (
        "consultation",
        exchange("GET", "DocumentReference", {"patient": "1"}),
        "which status",
        "status=current",
    ),
    "no-code": (
        "consultation",
        exchange("GET", "List", {"patient": "1", "status": "current"}),
        "kind of list",
        "code=",
    ),
    "json": ("alimentation", exchange("POST", "", body=LOT, kind="application/x-json"), "Content-Type", FHIR),
    "profile": (
        "alimentation",
        exchange("POST", "DocumentReference", body={"resourceType": "DocumentReference"}),
        "declares its profile",
        "pdsm-simplified-publish",
    ),
    "refused": ("alimentation", exchange("POST", "", body=LOT, status=422, answer=REFUSED), "Unknown code", "POST"),
    "patch": (
        "gestion",
        exchange("PATCH", "DocumentReference/1", body=LABEL, kind="text/plain"),
        "three formats",
        PATCH,
    ),
    "if-match": (
        "gestion",
        exchange("PATCH", "DocumentReference/1", body=LABEL, kind=PATCH),
        "If-Match",
        'If-Match: W/"1"',
    ),
}


@pytest.mark.parametrize("case", sorted(WRONG_ONES))
def test_what_is_wrong_is_said_with_its_paragraph_and_put_right(case: str) -> None:
    profile, one, said, mended = WRONG_ONES[case]
    judged = only(profile, one)
    faults = [fault for fault in judged.faults if said in fault.text.en]
    assert len(faults) == 1, [fault.text.en for fault in judged.faults]
    assert faults[0].source.url.startswith("https://")
    assert mended in judged.mended.replace("%7C", "|")


def test_an_issue_of_the_server_is_told_with_its_place_and_rule() -> None:
    judged = only("alimentation", WRONG_ONES["refused"][1])
    assert [(fault.text.fr, fault.source.text) for fault in judged.faults if "Code" in fault.text.fr] == [
        ("Code inconnu (DocumentReference.type)", "D10")
    ]
    assert not judged.right


def test_a_wrong_exchange_does_not_spoil_a_right_one() -> None:
    wrong = exchange("GET", "DocumentReference", {"status": "current"}, status=400)
    result = judge(profiles()["consultation"], [wrong])
    assert {each.expectation.id: each.state for each in result.verdicts}["search"] == WRONG
    result = judge(profiles()["consultation"], [wrong, *RIGHT["consultation"].values()])
    assert {each.expectation.id: each.state for each in result.verdicts}["search"] == SEEN
    assert result.conforming


def test_what_belongs_to_no_expectation_is_shown_and_judged_by_nothing() -> None:
    judged = only("consultation", exchange("GET", "Practitioner"))
    assert judged.expectation is None
    assert judged.right


@pytest.mark.parametrize("change", ["colour: red", "checks: [{colour: red}]", "recognised: [{methods: [GET]}]"])
def test_a_mistake_in_the_profiles_is_said(change: str) -> None:
    exchange_said = {"title": "{fr: a, en: a}", "source": "[a, 'https://a']", "checks": "[]", "model": "x"}
    exchange_said["recognised"] = "[{methods: [GET], path: a}]"
    name, _, value = change.partition(": ")
    body = "\n".join(f"    {key}: {each}" for key, each in (exchange_said | {name: value}).items())
    head = "common: []\nprofiles: {a: {title: {fr: a, en: a}, exchanges: {one: SHALL}}}\nexchanges:\n  one:\n"
    text = f"{head}{body}\n"
    with pytest.raises(BadProfile):
        read_profiles(text)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_reports_escape_what_clients_send(language: str) -> None:
    hostile = exchange("GET", "DocumentReference", {"<script>alert(1)</script>": "&"})
    page = write_html(judge(profiles()["consultation"], [hostile]), language)
    assert "<script" not in page
    assert json.loads(write_json(judge(profiles()["consultation"], [hostile]), language))["conforming"] is False


# --- the whole command ------------------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[tuple[str, Path, subprocess.Popen[str]]]:
    folder, port = tmp_path / "client", free_port()
    command = [sys.executable, "-m", "dmp_fhir", "conformance", "client", "--profile", "consultation"]
    command += ["--folder", str(folder), "--port", str(port), "--lang", "en"]
    command += ["--report", "json", str(tmp_path / "report.json"), "--report", "html", str(tmp_path / "report.html")]
    process = subprocess.Popen(
        command, env=environment(str(ROOT)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/fhir")
        yield f"http://127.0.0.1:{port}", folder, process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_software_runs_its_transactions_and_reads_what_was_wrong(
    recording: tuple[str, Path, subprocess.Popen[str]], tmp_path: Path
) -> None:
    base, folder, process = recording
    token = dmp_fhir("token", "dr-moreau", DMP_FHIR_DATA=str(folder / "world")).stdout.strip()
    software = requests.Session()
    software.headers["Authorization"] = f"Bearer {token}"
    patient = {"patient.identifier": CLAIRE}
    assert software.post(f"{base}/fhir/Patient/_search", data={"identifier": CLAIRE}, timeout=20).status_code == 200
    assert software.get(f"{base}/fhir/DocumentReference", params={"status": "current"}, timeout=20).status_code == 400
    found = software.post(
        f"{base}/fhir/DocumentReference/_search", data=patient | {"status": "current"}, timeout=20
    ).json()
    url = found["entry"][0]["resource"]["content"][0]["attachment"]["url"]
    assert url.startswith(f"{base}/fhir/"), "links lead through the recorder"
    assert software.get(url, timeout=20).status_code == 200
    page = requests.get(f"{base}/exchanges", headers={"Accept-Language": "fr"}, timeout=20)
    assert "Demandé comme il faut" in page.text
    paused = requests.get(f"{base}/exchanges?pause", headers={"Accept-Language": "en"}, timeout=20).text
    assert ('http-equiv="refresh"' in page.text, 'http-equiv="refresh"' in paused) == (True, False)
    assert '<a href="?">Resume</a>' in paused
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "names the patient" in printed
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["conforming"] is True
    states = {each["id"]: each["state"] for each in report["expectations"]}
    assert states == {
        "td02": SEEN,
        "find": MISSING,
        "search": SEEN,
        "lots": MISSING,
        "retrieve": SEEN,
        "capabilities": SEEN,
    }
    wrong = next(each for each in report["exchanges"] if each["status"] == 400)
    assert f"patient.identifier={CLAIRE}" in wrong["mended"]
    written = "".join((tmp_path / name).read_text(encoding="utf-8") for name in ("report.json", "report.html"))
    assert token not in written
    assert token not in page.text
