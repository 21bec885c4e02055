"""Health says up or not to anybody; metrics are for the operator, and name nobody (TF-156)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from dmp_fhir.audit.repository import FILE_NAME
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store.figures import figures
from dmp_fhir.telemetry.metrics import HELP
from tests.rest.bodies import CLAIRE
from tests.support import tally
from tests.support.server import MakeApp, MakeToken

SECRET = "a-secret-of-the-metrics"
BEARER = {"Authorization": f"Bearer {SECRET}"}


def without_id(response: TestResponse) -> tuple[int, dict[str, str], bytes]:
    return response.status_code, {**response.headers, "X-Request-Id": ""}, response.data


def test_health_says_up_and_nothing_else(make_app: MakeApp, seeded_url: str) -> None:
    client = make_app(seeded_url).test_client()
    for path in ("/health/live", "/health/ready"):
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.data, answer.content_type) == (200, b"up\n", "text/plain; charset=utf-8")
        assert (client.head(path).status_code, client.head(path).data) == (200, b"")
        assert client.post(path).status_code == 404
    with client.application.extensions["dmp_fhir"].database.snapshot() as reader:
        assert reader.row("SELECT COUNT(*) FROM audit_event WHERE agent_id = ''") == (0,)


def test_not_ready_without_documents_or_keys(make_app: MakeApp, seeded_url: str, data_folder: Path) -> None:
    client = make_app(seeded_url).test_client()
    key, documents = data_folder / "keys" / "page-links.key", data_folder / "documents"
    for path in (key, documents):
        aside = path.with_name("aside")
        path.rename(aside)
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.data) == (503, b"down\n")
        assert client.get("/health/live").status_code == 200
        aside.rename(path)
        assert client.get("/health/ready").status_code == 200


def test_not_ready_on_another_schema(make_app: MakeApp, seeded_url: str) -> None:
    app = make_app(seeded_url)
    with app.extensions["dmp_fhir"].database.transaction() as tx:
        tx.execute("UPDATE alembic_version SET version_num = '0001'")
    assert app.test_client().get("/health/ready").status_code == 503


def test_not_ready_without_the_database(
    make_app: MakeApp, tmp_path: Path, data_folder: Path, sqlite_world: Path
) -> None:
    shutil.copytree(sqlite_world / "keys", data_folder / "keys", dirs_exist_ok=True)
    shutil.copy(sqlite_world / "registry.sqlite", tmp_path / "registry.sqlite")
    app = make_app(f"sqlite:///{tmp_path}/registry.sqlite", metrics_secret=SECRET)
    services = app.extensions["dmp_fhir"]
    services.database.close()
    for path in tmp_path.glob("registry.sqlite*"):
        path.unlink()
    assert app.test_client().get("/health/ready").status_code == 503
    assert app.test_client().get("/health/live").status_code == 200
    assert figures(services.database, services.payloads)["up"] == 0
    assert b"dmp_fhir_up 0.0" in app.test_client().get("/metrics", headers=BEARER).data


@pytest.mark.parametrize(
    ("settings", "headers", "address", "open_to"),
    [
        ({}, {}, "127.0.0.1", False),
        ({}, {"Authorization": "Bearer "}, "127.0.0.1", False),
        ({"metrics_secret": SECRET}, {}, "127.0.0.1", False),
        ({"metrics_secret": SECRET}, {"Authorization": f"Bearer {SECRET}x"}, "127.0.0.1", False),
        ({"metrics_secret": SECRET}, {"Authorization": SECRET}, "127.0.0.1", False),
        ({"metrics_secret": SECRET}, {"Authorization": "Bearer \xe9"}, "127.0.0.1", False),
        ({"metrics_secret": SECRET}, BEARER, "192.0.2.1", True),
        ({"metrics_networks": "10.1.0.0/16, 2001:db8::/32"}, {}, "10.1.2.3", True),
        ({"metrics_networks": "10.1.0.0/16, 2001:db8::/32"}, {}, "2001:db8::1", True),
        ({"metrics_networks": "10.1.0.0/16"}, {}, "10.2.0.1", False),
        ({"metrics_networks": "10.1.0.0/16"}, {}, "", False),
        ({"metrics_networks": "10.1.0.0/16"}, {"X-Forwarded-For": "10.1.2.3"}, "10.1.2.3", False),
        ({"metrics_networks": "10.1.0.0/16"}, {"Forwarded": "for=10.1.2.3"}, "10.1.2.3", False),
        ({"metrics_networks": "10.1.0.0/16", "metrics_secret": SECRET}, BEARER, "192.0.2.1", True),
    ],
)
def test_tf_156_metrics_are_for_the_operator(
    make_app: MakeApp,
    tmp_path: Path,
    sqlite_template: Path,
    settings: dict[str, str],
    headers: dict[str, str],
    address: str,
    open_to: bool,
) -> None:
    shutil.copy(sqlite_template, tmp_path / "registry.sqlite")
    client = make_app(f"sqlite:///{tmp_path}/registry.sqlite", **settings).test_client()
    answer = client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    tally.count("F", "metrics and health asked by others")
    if open_to:
        assert answer.status_code == 200
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    else:
        assert without_id(answer) == without_id(client.get("/nowhere", headers=headers))


def test_metrics_count_in_our_words_only(make_app: MakeApp, seeded_url: str, token: MakeToken) -> None:
    client = make_app(seeded_url, metrics_secret=SECRET).test_client()
    doctor = {"Authorization": f"Bearer {token('dr-moreau')}"}
    assert client.get(f"/fhir/DocumentReference?patient.identifier={quote(CLAIRE)}", headers=doctor).status_code == 200
    assert client.get("/fhir/Canary/canary", headers=doctor).status_code == 404
    assert client.get("/fhir/Patient/canary").status_code == 401
    assert client.open("/fhir/Patient/x", method="CANARY", headers=doctor).status_code == 405
    assert client.get("/fhir/metadata").status_code == 200
    assert client.get("/canary").status_code == 404
    text = client.get("/metrics", headers=BEARER).data.decode()
    for labels in (
        'interaction="search-type",status="2xx",type="DocumentReference"',
        'interaction="read",status="4xx",type="other"',
        'interaction="read",status="4xx",type="Patient"',
        'interaction="capabilities",status="2xx",type="none"',
        'interaction="none",status="4xx",type="none"',
    ):
        assert f"dmp_fhir_requests_total{{{labels}}}" in text, text
    assert "anary" not in text
    assert all(f"dmp_fhir_{name} " in text for name in HELP)
    assert "dmp_fhir_up 1.0" in text


def test_metrics_tell_what_was_not_forwarded(make_app: MakeApp, seeded_url: str, data_folder: Path) -> None:
    """TF-166: seen without the job that forwards."""
    address = "syslog-tls://atna.example"

    def waiting(**settings: str) -> tuple[float, float]:
        app = make_app(seeded_url, metrics_secret=SECRET, **settings)
        text = app.test_client().get("/metrics", headers=BEARER).text
        names = ("audit_entries", "audit_to_forward")
        entries, waits = (re.search(rf"^dmp_fhir_{name} (\S+)$", text, re.MULTILINE)[1] for name in names)  # type: ignore[index]
        return float(entries), float(waits)

    entries, waits = waiting()
    assert (entries > 10, waits) == (True, 0)
    entries, waits = waiting(audit_repository=f"{address}/")
    assert waits == entries
    (data_folder / FILE_NAME).write_text(json.dumps({address: 10}))
    entries, waits = waiting(audit_repository=f"{address}/")
    assert waits == entries - 10


@pytest.mark.parametrize(
    ("name", "value"),
    [("metrics_secret", "short"), ("metrics_networks", "everywhere"), ("log_level", "loud"), ("log_form", "xml")],
)
def test_settings_that_are_none(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"DMP_FHIR_{name.upper()}"):
        Settings(**{name: value})
