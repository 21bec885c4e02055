"""Settings, read once from the environment. A bad one stops the start with a sentence that names it.

Every setting is a field of `Settings` with its environment variable, default and meaning in `describe()`;
`docs/settings.md` is generated from it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from dmp_fhir.canonicals import INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, INS_SYSTEMS
from dmp_fhir.profiles.cda_rules import refusing
from dmp_fhir.telemetry.logs import FORMS, LEVELS

PROFILES = ("development", "production")
SYNTHESIS_AUTHORS = ("treating-physician", "physician", "any")
PROFILE_LEVELS = ("released", "main", "mhd")
BOUND_TOKENS = ("", "software", "when-bound")
SHORTEST_SECRET = 16


class BadSetting(ValueError):
    """A setting that the server refuses to start with."""


def _setting(variable: str, meaning: str, default: Any = MISSING, *, secret: bool = False) -> Any:
    """A field of Settings; one that may hold a secret is left out of its repr (TF-250)."""
    metadata = {"variable": variable, "meaning": meaning}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose. Sizes are bytes, durations seconds."""

    profile: str = _setting(
        "DMP_FHIR_PROFILE",
        "`development` trusts the sandbox issuer; `production` refuses it, and refuses to start unsafe"
        " (`dmp-fhir safety`)",
        "development",
    )
    data_folder: Path = _setting("DMP_FHIR_DATA", "Folder of the database, the documents and the keys", Path("var"))
    database_url: str = _setting(
        "DATABASE_URL",
        "`sqlite:///PATH` or `postgresql://…`; empty means SQLite in the data folder",
        "",
        secret=True,
    )
    key_database: str = _setting(
        "DMP_FHIR_KEY_DATABASE",
        "Where the wrapped keys of the records are: `sqlite:///PATH` or `postgresql://…`, never the registry's own"
        " database; empty means `keys/record-keys.sqlite` in the data folder",
        "",
        secret=True,
    )
    master_keys: str = _setting(
        "DMP_FHIR_MASTER_KEYS",
        "Master keys, `VERSION:BASE64` of 32 random bytes with blanks between; empty means the files"
        " `keys/master-*.key` in the data folder, made by `init`",
        "",
        secret=True,
    )
    audit_heads: str = _setting(
        "DMP_FHIR_AUDIT_HEADS",
        "Folder of the file of signed heads of the trace, kept outside the database: on another disk, or shipped away;"
        " empty means `heads` in the data folder",
        "",
    )
    base_url: str = _setting(
        "DMP_FHIR_BASE_URL",
        "Address of the FHIR endpoint as clients see it; links are built from it, never from the Host header",
        "http://127.0.0.1:8000/fhir",
    )
    issuers_file: str = _setting(
        "DMP_FHIR_ISSUERS", "JSON file of trusted token issuers; empty means the sandbox issuer alone (development)", ""
    )
    clients_file: str = _setting(
        "DMP_FHIR_CLIENTS",
        "JSON file of the registered clients, the only ones let in; empty lets in those of the issuers",
        "",
    )
    bound_tokens: str = _setting(
        "DMP_FHIR_BOUND_TOKENS",
        "`software`: tokens of software are only taken with the client certificate they are bound to (RFC 8705);"
        " `when-bound`: only those that are bound ask for it; empty is `software` in production, else `when-bound`",
        "",
    )
    smtp: str = _setting(
        "DMP_FHIR_SMTP",
        "Mail server for messages to patients: `smtp://[USER@]HOST[:PORT]` (STARTTLS) or `smtps://…`; empty writes"
        " files in `outbox/`",
        "",
    )
    smtp_from: str = _setting("DMP_FHIR_SMTP_FROM", "Sender's address of these mails", "")
    smtp_password_file: str = _setting("DMP_FHIR_SMTP_PASSWORD_FILE", "File that holds the password of USER", "")
    smtp_ca: str = _setting(
        "DMP_FHIR_SMTP_CA", "PEM file of the authorities of the mail server; empty: those of the machine", ""
    )
    audit_repository: str = _setting(
        "DMP_FHIR_AUDIT_REPOSITORY",
        "ATNA audit repository that the trace is forwarded to (ITI-20): `https://…` (base of its FHIR endpoint) or"
        " `syslog-tls://HOST[:6514]`; empty: nowhere",
        "",
    )
    audit_repository_ca: str = _setting(
        "DMP_FHIR_AUDIT_REPOSITORY_CA", "PEM file of its authorities; empty: those of the web", ""
    )
    audit_repository_certificate: str = _setting(
        "DMP_FHIR_AUDIT_REPOSITORY_CERTIFICATE", "PEM file with the certificate and key shown to it (ITI-19)", ""
    )
    audit_repository_token_file: str = _setting(
        "DMP_FHIR_AUDIT_REPOSITORY_TOKEN_FILE", "File with the bearer token for it (https)", ""
    )
    client_ca: str = _setting(
        "DMP_FHIR_CLIENT_CA", "PEM file of the authorities of client certificates; empty accepts no certificate", ""
    )
    client_crl: str = _setting(
        "DMP_FHIR_CLIENT_CRL", "File or folder of their revocation lists (PEM or DER); production needs it", ""
    )
    crl_grace: int = _setting(
        "DMP_FHIR_CRL_GRACE", "Seconds for which a revocation list is still good after its next update was due", 0
    )
    tls_certificate: str = _setting(
        "DMP_FHIR_TLS_CERT",
        "PEM file of the certificate that clients see, here or at the proxy, to be told 30 days before it ends;"
        " `serve --tls-cert` sets it",
        "",
    )
    proxies: str = _setting(
        "DMP_FHIR_PROXIES",
        "Addresses or networks, with commas between, of the proxies that may name the client's certificate and address",
        "",
    )
    certificate_header: str = _setting(
        "DMP_FHIR_CERTIFICATE_HEADER",
        "Header in which a proxy hands on the client certificate (URL-encoded PEM, or as RFC 9440 writes it)",
        "ClientCert",
    )
    origin_header: str = _setting(
        "DMP_FHIR_ORIGIN_HEADER", "Header in which a proxy hands on the address of the client", "ClientAddress"
    )
    clock_leeway: int = _setting(
        "DMP_FHIR_CLOCK_LEEWAY", "Seconds by which an issuer's clock may be ahead of this one, at most 60", 30
    )
    profile_level: str = _setting(
        "DMP_FHIR_PROFILE_LEVEL",
        "`released`, `main` or `mhd`: which edition of the French profiles is required (D1)",
        "released",
    )
    cda_check: str = _setting(
        "DMP_FHIR_CDA_CHECK",
        "Which differences between a CDA and its metadata refuse the document: `standard`, `strict` (all), or rules"
        " with commas between (`CDA-04,CDA-05`), the others being warnings; `off` compares nothing",
        "standard",
    )
    lenient_search: bool = _setting(
        "DMP_FHIR_LENIENT_SEARCH", "Drop unknown search parameters instead of refusing them (D11)", False
    )
    synthesis_author: str = _setting(
        "DMP_FHIR_SYNTHESIS_AUTHOR",
        "Who deposits the synthèse médicale: `treating-physician`, `physician` or `any` (AR-39, D19)",
        "treating-physician",
    )
    role_professionals: bool = _setting(
        "DMP_FHIR_ROLE_PROFESSIONALS", "Social and medico-social professionals may be authorised (AR-89)", True
    )
    indirect_visibility: bool = _setting(
        "DMP_FHIR_INDIRECT_VISIBILITY", "AIR authentication may change the visibility of documents (AR-18, D21)", False
    )
    minors: bool = _setting("DMP_FHIR_MINORS", "Secret connection of minors exists (AR-82, AR-83)", True)
    majority_age: int = _setting("DMP_FHIR_MAJORITY_AGE", "Age of majority, in years (AR-80, AR-83)", 18)
    permit_months: int = _setting(
        "DMP_FHIR_PERMIT_MONTHS", "Length of an authorisation that states no end, in months (D20)", 12
    )
    outsider_hours: int = _setting(
        "DMP_FHIR_OUTSIDER_HOURS",
        "The same when a professional outside the declared care team records it, in hours (AR-26, D20)",
        24,
    )
    emergency_hours: int = _setting(
        "DMP_FHIR_EMERGENCY_HOURS", "Longest emergency access of one session, in hours, at most 24 (AR-50, D20)", 24
    )
    records_per_hour: int = _setting(
        "DMP_FHIR_RECORDS_PER_HOUR",
        "Different records that one professional's account may open in an hour, and INS it may ask about; then 429 and"
        " an alert",
        500,
    )
    records_per_day: int = _setting("DMP_FHIR_RECORDS_PER_DAY", "The same in a day (UTC)", 1_000)
    ins_per_hour: int = _setting(
        "DMP_FHIR_INS_PER_HOUR",
        "Different INS that the account of a structure may ask about in an hour (TD0.2); then 429 and an alert",
        5_000,
    )
    client_rate: int = _setting(
        "DMP_FHIR_CLIENT_RATE",
        "Requests a second that one client software may sustain, ten seconds of them at once; then 429. 0: 200 in"
        " production, no limit in development",
        0,
    )
    person_rate: int = _setting(
        "DMP_FHIR_PERSON_RATE",
        "The same for one person, whatever the software. 0: 20 in production, no limit in development",
        0,
    )
    failures_per_minute: int = _setting(
        "DMP_FHIR_FAILURES_PER_MINUTE",
        "Failed authentications in a minute from one address; beyond, 429, an alert, and one trace that tells their"
        " number. 0: 60 in production, no limit in development",
        0,
    )
    stall_seconds: int = _setting(
        "DMP_FHIR_STALL_SECONDS",
        "After so long with less than 500 bytes a second, in the middle of a body or of an answer, a connection is"
        " ended (Linux)",
        14,
    )
    limits_folder: str = _setting(
        "DMP_FHIR_LIMITS",
        "Folder of the counters that the workers of one machine share, on a local disk; empty: `limits` in the data"
        " folder",
        "",
    )
    test_identities: bool = _setting(
        "DMP_FHIR_TEST_IDENTITIES",
        "Make a production profile a test instance: records are opened for the INS of tests and demonstrations (OID"
        " …4.10 and …4.11) and for no other; development opens them for all",
        False,
    )
    log_level: str = _setting(
        "DMP_FHIR_LOG_LEVEL", "`debug`, `info` (each request), `warning`, `error` or `critical`", "info"
    )
    log_form: str = _setting("DMP_FHIR_LOG_FORM", "`json`, one object a line, or `text` for a terminal", "json")
    drain_seconds: int = _setting(
        "DMP_FHIR_DRAIN_SECONDS",
        "How long a server that was told to stop still answers with `/health/ready` at 503, for its balancer",
        0,
    )
    metrics_secret: str = _setting(
        "DMP_FHIR_METRICS_SECRET",
        "Bearer secret that opens `/metrics`, 16 characters or more; without it and without networks, 404",
        "",
        secret=True,
    )
    metrics_networks: str = _setting(
        "DMP_FHIR_METRICS_NETWORKS",
        "Networks that may read `/metrics` when they ask directly, not through a proxy (`127.0.0.0/8,10.1.0.0/16`)",
        "",
    )
    public_barometer: bool = _setting(
        "DMP_FHIR_PUBLIC_BAROMETER", "Show the page `/barometer` to anybody; else to whom `/metrics` is shown", False
    )
    max_body: int = _setting("DMP_FHIR_MAX_BODY", "Largest request body in general", 1_000_000)
    max_submission: int = _setting("DMP_FHIR_MAX_SUBMISSION", "Largest ITI-65 or ITI-105 request body", 150_000_000)
    max_document: int = _setting("DMP_FHIR_MAX_DOCUMENT", "Largest document", 100_000_000)
    max_entries: int = _setting("DMP_FHIR_MAX_ENTRIES", "Most entries in a bundle", 100)

    def __post_init__(self) -> None:
        _one_of(self, "profile", PROFILES)
        _one_of(self, "profile_level", PROFILE_LEVELS)
        _one_of(self, "log_level", LEVELS)
        _one_of(self, "log_form", FORMS)
        _check_metrics(self)
        try:
            refusing(self.cda_check)
        except ValueError as fault:
            raise BadSetting(f"DMP_FHIR_CDA_CHECK: {fault}") from fault
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*[^\s/?#])?", self.base_url):
            raise BadSetting(
                f"DMP_FHIR_BASE_URL: {self.base_url!r} is not an absolute http(s) address without final slash"
            )
        _one_of(self, "synthesis_author", SYNTHESIS_AUTHORS)
        if self.emergency_hours > 24:
            raise BadSetting("DMP_FHIR_EMERGENCY_HOURS: an emergency access lasts 24 hours at most")
        _one_of(self, "bound_tokens", BOUND_TOKENS)
        if self.clock_leeway > 60:
            raise BadSetting("DMP_FHIR_CLOCK_LEEWAY: 60 seconds at most")
        for name in _WHOLE_NUMBERS:
            if getattr(self, name) < (least := 0 if name in _FROM_ZERO or name in _BY_PROFILE else 1):
                raise BadSetting(f"{_variable(name)}: must be at least {least}")
        if self.database_url and not re.match(r"(sqlite:///|postgres(ql)?://)", self.database_url):
            raise BadSetting("DATABASE_URL: must start with sqlite:/// or postgresql://")
        if self.key_database and not re.match(r"(sqlite:///|postgres(ql)?://)", self.key_database):
            raise BadSetting("DMP_FHIR_KEY_DATABASE: must start with sqlite:/// or postgresql://")

    @property
    def ins_systems(self) -> frozenset[str]:
        """The naming systems of the INS that records are opened for: real people and invented ones are never in the
        same instance, but for development."""
        if self.profile != "production":
            return INS_SYSTEMS
        return frozenset({INS_NIR_TEST, INS_NIR_DEMO} if self.test_identities else {INS_NIR, INS_NIA})

    def limit(self, name: str) -> int | None:
        """A limit whose default goes with the profile; None when there is none."""
        return getattr(self, name) or (_BY_PROFILE[name] if self.profile == "production" else None)

    @property
    def seen_folder(self) -> Path:
        """Where the client certificates that were seen are noted."""
        return self.counters_folder / "certificates"

    @property
    def counters_folder(self) -> Path:
        return Path(self.limits_folder) if self.limits_folder else self.data_folder / "limits"

    @property
    def binds_software(self) -> bool:
        """Whether tokens of software are only taken with the client certificate they are bound to."""
        return (self.bound_tokens or ("software" if self.profile == "production" else "when-bound")) == "software"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_folder / 'registry.sqlite').absolute()}"

    @property
    def key_store(self) -> str:
        return self.key_database or f"sqlite:///{(self.key_folder / 'record-keys.sqlite').absolute()}"

    @property
    def payload_folder(self) -> Path:
        return self.data_folder / "documents"

    @property
    def outbox_folder(self) -> Path:
        return self.data_folder / "outbox"

    @property
    def heads_folder(self) -> Path:
        return Path(self.audit_heads) if self.audit_heads else self.data_folder / "heads"

    @property
    def key_folder(self) -> Path:
        return self.data_folder / "keys"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        values = {
            each.name: _convert(each.name, each.metadata["variable"], environment[each.metadata["variable"]])
            for each in fields(cls)
            if environment.get(each.metadata["variable"], "") != ""
        }
        return cls(**values)


# Limits that development does without; what 0 stands for in production.
_BY_PROFILE = {"client_rate": 200, "person_rate": 20, "failures_per_minute": 60}
# Numbers for which none is a choice.
_FROM_ZERO = frozenset({"crl_grace", "drain_seconds"})
# Told apart by their defaults: every number and every flag has one.
_FLAGS = frozenset(each.name for each in fields(Settings) if isinstance(each.default, bool))
_WHOLE_NUMBERS = tuple(
    each.name for each in fields(Settings) if isinstance(each.default, int) and each.name not in _FLAGS
)


def _variable(name: str) -> str:
    return next(each.metadata["variable"] for each in fields(Settings) if each.name == name)


def _one_of(settings: Settings, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(settings, name)
    if value not in allowed:
        raise BadSetting(f"{_variable(name)}: {value!r} is none of {', '.join(allowed)}")


def _check_metrics(settings: Settings) -> None:
    if 0 < len(settings.metrics_secret) < SHORTEST_SECRET:
        raise BadSetting(f"DMP_FHIR_METRICS_SECRET: at least {SHORTEST_SECRET} characters")
    for network in filter(None, settings.metrics_networks.split(",")):
        try:
            ipaddress.ip_network(network.strip())
        except ValueError as bad:
            raise BadSetting(f"DMP_FHIR_METRICS_NETWORKS: {network.strip()!r} is not a network") from bad


def _convert(name: str, variable: str, text: str) -> Any:
    if name == "data_folder":
        return Path(text)
    if name in _WHOLE_NUMBERS:
        if not text.isascii() or not text.isdigit():
            raise BadSetting(f"{variable}: {text!r} is not a whole number")
        return int(text)
    if name in _FLAGS:
        if text.lower() not in ("true", "false"):
            raise BadSetting(f"{variable}: {text!r} is neither true nor false")
        return text.lower() == "true"
    return text.rstrip("/") if name == "base_url" else text


def describe() -> str:
    """The settings as a Markdown table."""
    rows = [
        f"| `{each.metadata['variable']}` | {_shown(each.default)} | {each.metadata['meaning']} |"
        for each in fields(Settings)
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _shown(default: Any) -> str:
    return f"`{default}`" if default != "" else "(empty)"
