"""Figures of several processes added up; a scrape looks at the database at most every half minute."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from dmp_fhir.telemetry import metrics
from dmp_fhir.telemetry.metrics import HELP, Metrics

WORKER = """
import os, sys
from dmp_fhir.telemetry.metrics import Metrics
figures = Metrics(dict)
for _ in range(5):
    figures.begins()
    figures.ends("read", "Patient", 200, 0.003)
figures.begins()
figures.fault("database")
if sys.argv[1] == "tell":
    print(figures.text().decode())
else:
    os._exit(9)
"""


def sample(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_workers_are_added_up_and_the_dead_have_nothing_under_way(tmp_path: Path) -> None:
    environment = os.environ | {metrics.FOLDER_VARIABLE: str(tmp_path)}

    def worker(act: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", WORKER, act], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == (0 if act == "tell" else 9), done.stderr
        return done.stdout

    worker("die")
    worker("die")
    text = worker("tell")
    assert sample(text, 'dmp_fhir_requests_total{interaction="read",status="2xx",type="Patient"}') == 15
    assert sample(text, 'dmp_fhir_request_duration_seconds_count{interaction="read"}') == 15
    assert sample(text, 'dmp_fhir_request_duration_seconds_bucket{interaction="read",le="0.002"}') == 0
    assert sample(text, 'dmp_fhir_request_duration_seconds_bucket{interaction="read",le="0.005"}') == 15
    assert sample(text, 'dmp_fhir_faults_total{kind="database"}') == 3
    assert sample(text, "dmp_fhir_requests_in_flight") == 1


def test_one_process_alone() -> None:
    looks: list[int] = []

    def look_up() -> dict[str, float]:
        looks.append(1)
        return {"records": 12.0}

    figures = Metrics(look_up)
    figures.begins()
    figures.ends("create", "DocumentReference", 201, 0.2)
    text = figures.text().decode()
    figures.text()
    assert sample(text, "dmp_fhir_records") == 12
    assert sample(text, 'dmp_fhir_requests_total{interaction="create",status="2xx",type="DocumentReference"}') == 1
    assert sample(text, "dmp_fhir_requests_in_flight") == 0
    assert sample(text, 'dmp_fhir_faults_total{kind="policy"}') == 0
    assert len(looks) == 1
    assert f"# HELP dmp_fhir_records {HELP['records']}" in text
