"""Reports of a run: `WRITERS[format](report, language)` gives the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable

from dmp_fhir.conformance.reports.fhir import write_fhir
from dmp_fhir.conformance.reports.html import write_html
from dmp_fhir.conformance.reports.junit import write_junit
from dmp_fhir.conformance.results import Report

WRITERS: dict[str, Callable[[Report, str], bytes]] = {"html": write_html, "junit": write_junit, "fhir": write_fhir}
