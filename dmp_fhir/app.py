"""Builds the parts once and hands them to HTTP; no logic."""

from __future__ import annotations

import gc
import os
import resource
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from dmp_fhir.audit import heads
from dmp_fhir.audit.repository import reached
from dmp_fhir.audit.sealer import Sealer
from dmp_fhir.audit.watching import Watch as TraceWatch
from dmp_fhir.files import make_once
from dmp_fhir.http import description, fhir
from dmp_fhir.http.observing import observed
from dmp_fhir.http.operations import operations_around
from dmp_fhir.identity import setup
from dmp_fhir.identity.expiring import ExpiryWatch
from dmp_fhir.instants import Clock, system_clock
from dmp_fhir.interactions.services import Services
from dmp_fhir.limits.stalled import Watch
from dmp_fhir.policy.matrix import FILE_NAME, BadMatrix, in_force
from dmp_fhir.policy.settings import PolicySettings
from dmp_fhir.profiles import active
from dmp_fhir.profiles.rules import ProfileError
from dmp_fhir.profiles.validator import Validator
from dmp_fhir.registry.search.links import PageLinks
from dmp_fhir.safety import refuse_unsafe
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store import schema
from dmp_fhir.store.database import Database
from dmp_fhir.store.errors import KeysRefused
from dmp_fhir.store.figures import figures
from dmp_fhir.store.opening import master_keys, open_registry
from dmp_fhir.store.payloads import PayloadStore
from dmp_fhir.store.tables import metadata
from dmp_fhir.telemetry import logs
from dmp_fhir.telemetry.metrics import Metrics

# Schema, engine and migrations; requests go through store/database.py (docs/decisions/0003-database-access.md).
db = SQLAlchemy(metadata=metadata)
# The key of the pseudonyms in the logs.
LOG_KEY = "logs.key"
# The key of the backups.
BACKUP_KEY = "backup.key"
# Where `dmp-fhir serve` tells its workers how many requests each works on at once, or waits for the disk with.
AT_WORK = "DMP_FHIR_AT_WORK"
MOST_AT_WORK = 8


def create_app(settings: Settings | None = None, clock: Clock = system_clock) -> Flask:
    """The WSGI application. The database must be migrated (`dmp-fhir init`)."""
    settings = settings or Settings.from_environment()
    refuse_unsafe(settings)
    app = Flask("dmp_fhir", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["SQLALCHEMY_DATABASE_URI"] = schema.sqlalchemy_url(settings.database)
    db.init_app(app)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.url_map.redirect_defaults = False
    services = app.extensions["dmp_fhir"] = build_services(settings, clock)
    fhir.register(app)
    app.register_blueprint(description.blueprint)
    answering = _in_turn(fhir.around(app.wsgi_app, services), services)
    metrics = Metrics(lambda: _figures(services))
    app.wsgi_app = operations_around(  # type: ignore[method-assign, assignment]
        observed(answering, metrics), services, metrics
    )
    return app


def _figures(services: Services) -> dict[str, float]:
    found, settings = figures(services.database, services.payloads), services.settings
    if "audit_entries" in found:
        address = settings.audit_repository.rstrip("/")
        sent = reached(settings.data_folder, address) if address else found["audit_entries"]
        found["audit_to_forward"] = found["audit_entries"] - sent
    return found


def create_worker() -> Flask:
    """The application of one process of `dmp-fhir serve`, with what works beside its requests."""
    logs.catch_the_uncaught()
    # What is in memory stays there when the process breaks (TF-158).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    app = create_app()
    services: Services = app.extensions["dmp_fhir"]
    leave_what_is_built()
    services.database.turns.bound(int(os.environ.get(AT_WORK, MOST_AT_WORK)))
    watch = trace_watch(services.database, services.settings)
    Sealer(services.database, services.clock, also=services.failures.tell_if_due, watch=watch.look).start()
    Watch(services.settings.stall_seconds, services.underway).start()
    ExpiryWatch(services.settings, services.clock, services.rates.first_in_the_day).start()
    return app


def trace_watch(database: Database, settings: Settings) -> TraceWatch:
    return TraceWatch(database, database.sealing, settings.data_folder / "watch.lock")


def leave_what_is_built() -> None:
    """The garbage collector does not look at what was made at the start, which lives as long as the process, and looks
    less often: a request leaves few cycles, and a submission is tens of thousands of objects that are none."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _in_turn(application: WSGIApplication, services: Services) -> WSGIApplication:
    """One request at a time in this process, but for the time they wait for the disk or their client
    (store/turns.py)."""
    turns, underway = services.database.turns, services.underway

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with underway.request(environ.get("REMOTE_ADDR", "")), turns.turn():
            return application(environ, start_response)

    return respond


def build_services(settings: Settings, clock: Clock = system_clock) -> Services:
    if not schema.is_current(settings.database):
        raise BadSetting("DATABASE_URL: the database is not migrated to this version; run `dmp-fhir init`")
    database = open_database(settings, clock)
    return Services(
        settings=settings,
        database=database,
        payloads=PayloadStore(settings.payload_folder),
        verifier=setup.verifier(settings, clock, database.turns.waiting),
        page_links=PageLinks(_key(settings.key_folder, "page-links.key")),
        clock=clock,
        policy=policy_settings(settings),
        validator=profiles_in_force(settings),
        peers=setup.peers(settings, clock),
    )


def open_database(settings: Settings, clock: Clock = system_clock) -> Database:
    """The database, with the keys of its records and the key that signs the heads of the trace; BadSetting when keys of
    records are missing or not its own."""
    try:
        masters = master_keys(settings.key_folder, settings.master_keys)
        database = open_registry(settings.database, settings.key_store, masters, clock)
    except KeysRefused as refused:
        raise BadSetting(str(refused)) from refused
    return heads.attach(database, settings.key_folder, settings.heads_folder, clock)


def profiles_in_force(settings: Settings) -> Validator:
    try:
        return active.validator(settings.data_folder)
    except ProfileError as bad:
        raise BadSetting(f"profiles: {bad}") from bad


def policy_settings(settings: Settings) -> PolicySettings:
    """What the operator chose in the rules, with the habilitation matrix in force."""
    try:
        matrix = in_force(settings.data_folder)
    except BadMatrix as bad:
        raise BadSetting(f"{settings.data_folder / FILE_NAME}: {bad}") from bad
    return PolicySettings(
        matrix=matrix,
        synthesis_author=settings.synthesis_author,
        role_professionals=settings.role_professionals,
        indirect_visibility=settings.indirect_visibility,
        minors=settings.minors,
        majority_age=settings.majority_age,
        permit_months=settings.permit_months,
        outsider_hours=settings.outsider_hours,
        emergency_hours=settings.emergency_hours,
    )


def log_configuration(settings: Settings) -> dict[str, Any]:
    """The logs of every process of the server."""
    _key(settings.key_folder, LOG_KEY)
    return logs.configuration(settings.log_level, settings.log_form, settings.key_folder / LOG_KEY)


def pseudonyms(settings: Settings) -> logs.Pseudonyms:
    """What stands in the logs for numbers of persons."""
    return logs.Pseudonyms(_key(settings.key_folder, LOG_KEY))


def backup_key(settings: Settings, *, new: bool) -> bytes | None:
    """What backups are sealed with; made when there is none and `new`, else None."""
    if not new and not (settings.key_folder / BACKUP_KEY).exists():
        return None
    return _key(settings.key_folder, BACKUP_KEY)


def _key(folder: Path, name: str) -> bytes:
    """A 256-bit key of its own, made on first use and readable by its owner only. Several processes may start at once:
    the first one's key, which appears whole, is everybody's."""
    path = folder / name
    if not path.exists():
        make_once(path, secrets.token_bytes(32))
    return path.read_bytes()
