"""Filling a registry through the interactions in process: same checks, same policy, same trace as over HTTP."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.operations import Index, Stored
from benchmarks.world import (
    AUTHORISED,
    DOCUMENTS_PER_PATIENT,
    TREATING,
    Lots,
    Patient,
    choices,
    numbered_lots,
    opening,
    patient,
)
from dmp_fhir.app import build_services
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.sandbox import Persona, Sandbox
from dmp_fhir.ids import new_id
from dmp_fhir.interactions.dispatch import handle
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.services import Exchange, Services
from dmp_fhir.settings import Settings
from dmp_fhir.store.identifiers import keys_of, matricule
from dmp_fhir.wire.json import parse_json


@dataclass(frozen=True, slots=True)
class Place:
    """Where a registry under test lives."""

    database: str
    folder: Path
    url: str

    def settings(self, port: int = 8000) -> Settings:
        return Settings(
            data_folder=self.folder,
            database_url=self.url,
            base_url=f"http://127.0.0.1:{port}/fhir",
            records_per_hour=1_000_000,
            records_per_day=10_000_000,
        )


class Caller:
    """Asks a registry of this process, as anybody."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.sandbox = Sandbox(services.settings.key_folder)

    def context(self, who: Persona | str) -> AccessContext:
        token = self.sandbox.issue(who, now_ms=self.services.clock())
        return replace(self.services.verifier.verify(f"Bearer {token}"), origin="127.0.0.1")

    def ask(self, context: AccessContext, request: Request) -> Response:
        response = handle(Exchange(self.services, context, request, new_id()))
        if response.status not in (200, 201):
            raise RuntimeError(f"{request.method}: {response.status} {response.tree or response.json!r}")
        return response

    def post(self, context: AccessContext, body: bytes) -> Response:
        return self.ask(context, Request("POST", operation="bundle", tree=parse_json(body)))


def as_patient(who: Patient) -> Persona:
    return Persona(
        slug="patient",
        category="PATIENT",
        identifier=who.ins,
        name=f"{who.given} {who.family}",
        label="patient",
        auth_mode="PORTAIL",
        purpose="patient",
        person_id=f"urn:oid:1.2.250.1.213.1.4.10|{who.ins}",
    )


def fill(place: Place, first: int, last: int) -> float:
    """Add documents `first` to `last - 1`, with the records they need, from two processes; seconds it took."""
    started = time.perf_counter()
    middle = (first + last) // 2 // DOCUMENTS_PER_PATIENT * DOCUMENTS_PER_PATIENT
    fillers = [multiprocessing.Process(target=_fill, args=(place, *part)) for part in ((first, middle), (middle, last))]
    for filler in fillers:
        filler.start()
    for filler in fillers:
        filler.join()
    if any(filler.exitcode for filler in fillers):
        raise RuntimeError("the registry could not be filled")
    return time.perf_counter() - started


def _fill(place: Place, first: int, last: int) -> None:
    caller = Caller(build_services(place.settings()))
    operator = caller.context("exploitant")
    for number in range(first // DOCUMENTS_PER_PATIENT, last // DOCUMENTS_PER_PATIENT):
        who = patient(number)
        caller.ask(operator, Request("POST", operation="bundle", tree=opening(who)))
        caller.ask(caller.context(as_patient(who)), Request("POST", operation="bundle", tree=choices(who)))
    lots, physician = Lots(), caller.context(TREATING)
    for who, number in numbered_lots(first, last):
        caller.post(physician, lots.lot(who, number))
    caller.services.database.close()


def index_of(place: Place) -> Index:
    """The documents of a registry that everybody of the bench may see, and tokens that last for the run."""
    services = build_services(place.settings())
    with services.database.snapshot() as reader:
        rows = reader.rows(
            "SELECT p.record_id, i.system, i.sealed, p.document_id, p.id FROM payload p"
            " JOIN document d ON d.record_id = p.record_id AND d.id = p.document_id"
            " JOIN ins i ON i.record_id = p.record_id WHERE NOT d.masked_professionals AND p.content_type = 'text/xml'"
        )
        keys = keys_of(reader)
        stored = [
            Stored(matricule(keys, record_id, system, sealed), document_id, payload_id)
            for record_id, system, sealed, document_id, payload_id in rows
        ]
    services.database.close()
    sandbox, now = Sandbox(place.settings().key_folder), services.clock()
    tokens = {who: sandbox.issue(who, now_ms=now, lifetime_s=3600) for who in (TREATING, AUTHORISED)}
    return Index(stored, tokens)
