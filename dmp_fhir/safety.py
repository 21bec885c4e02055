"""What the production profile refuses to start with, one small check each (TF-250, TF-273).

A check looks at one thing and yields a sentence for each problem: the setting or file, what is wrong, what to do; never
a secret. All problems are told at once. `refuse_unsafe` runs the checks that need neither the database nor the account
of the server, at every start of a worker; `dmp-fhir serve` and `dmp-fhir safety` run all. The table in
docs/operating.md is `describe()`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dmp_fhir.audit.repository import Repository
from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.identity import sandbox
from dmp_fhir.identity.peers import networks
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store.database import Database
from dmp_fhir.store.sqlite import path_of

# Names that lead to no public server: RFC 6761, RFC 6762, RFC 8375.
_LOCAL_NAMES = ("localhost", "local", "test", "invalid", "internal", "home.arpa", "lan")
_REMOTE_FILE_SYSTEMS = re.compile(r"nfs|cifs|smb|9p|afs|ceph|glusterfs|fuse\.(sshfs|s3fs|gcsfuse|rclone)")
_WEAK_WORDS = re.compile(rb"(?i)change.?me|password|secret|example|default|0123456789|abcdefgh")
_TRUE = frozenset({"1", "true", "yes", "on"})
_KEY_SUFFIXES = (".key", ".pem", ".jwk.json")
SHORTEST_KEY = 32
FEWEST_BYTES = 12
FEWEST_PREFIX = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is about to start."""

    settings: Settings
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    user: int = field(default_factory=os.geteuid)


@dataclass(frozen=True, slots=True)
class Check:
    """`name` for the documentation and the tests, `refuses` in words, `find` the sentences of the problems found."""

    name: str
    refuses: str
    find: Callable[[Place], Iterator[str]]


def problems(place: Place, checks: Iterable[Check] | None = None) -> list[str]:
    """The sentences of all checks, in their order; empty when the place is safe."""
    return [sentence for check in (ALL if checks is None else checks) for sentence in check.find(place)]


def refuse_unsafe(settings: Settings, checks: Iterable[Check] | None = None) -> None:
    """BadSetting with every problem when the profile is `production` and something is unsafe."""
    if settings.profile == "production" and (found := problems(Place(settings), checks or AT_EVERY_START)):
        raise BadSetting("\n- ".join(("the production profile refuses to start:", *found)))


def describe() -> str:
    """The checks as a Markdown table."""
    rows = [f"| `{each.name}` | {each.refuses} |" for each in ALL]
    return "\n".join(["| check | refuses |", "| --- | --- |", *rows]) + "\n"


# --- address -------------------------------------------------------------------------------------------------------


def _base_url(place: Place) -> Iterator[str]:
    address = urlsplit(place.settings.base_url)
    if address.scheme != "https":
        yield "DMP_FHIR_BASE_URL: not https: give the address that clients use, behind TLS"
    if fault := _not_public(address.hostname or ""):
        yield f"DMP_FHIR_BASE_URL: {fault}: give the name that clients use, for instance https://dmp.hospital.fr/fhir"


def _not_public(host: str) -> str | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if "." not in host or any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES):
            return f"{host!r} is a local name"
        return None
    return "the host is an IP address"


# --- issuers --------------------------------------------------------------------------------------------------------


def _issuers(place: Place) -> Iterator[str]:
    if not place.settings.issuers_file:
        yield "DMP_FHIR_ISSUERS: empty: the sandbox issuer is not trusted in production; name a file of your issuers"
        return
    path = Path(place.settings.issuers_file)
    try:
        entries = json.loads(path.read_bytes())
    except OSError as fault:
        yield f"DMP_FHIR_ISSUERS: {path}: {fault.strerror}: name a file that the server can read"
        return
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        yield f"DMP_FHIR_ISSUERS: {path} is no JSON list of issuers: correct the file"
        return
    if path.stat().st_mode & 0o022:
        yield f"DMP_FHIR_ISSUERS: {path} can be changed by other accounts, who could issue tokens: chmod 644"
    ours = _sandbox_key(place.settings)
    for each in entries:
        yield from _issuer(each, ours)


def _issuer(entry: Mapping[str, Any], sandbox_key: Mapping[str, Any]) -> Iterator[str]:
    name = str(entry.get("issuer"))
    keys = entry.get("jwks", {}).get("keys", []) if isinstance(entry.get("jwks"), dict) else []
    sandbox_keys = [each for each in keys if sandbox_key and each.get("x") == sandbox_key.get("x")]
    if name == sandbox.ISSUER or sandbox_keys:
        yield f"DMP_FHIR_ISSUERS: {name} is the sandbox issuer, whose tokens anybody here can print: take it out"
        return
    for what, address in (("issuer", name), *((each, entry[each]) for each in entry if str(each).endswith("_uri"))):
        parts = urlsplit(str(address))
        if parts.scheme == "http":
            yield f"DMP_FHIR_ISSUERS: {what} {address} is not https: its keys and tokens could be changed on the way"
        if parts.hostname and any(parts.hostname.endswith(f".{name}") for name in ("test", "invalid", "localhost")):
            yield f"DMP_FHIR_ISSUERS: {what} {address} is a test address: name the real issuer"


def _sandbox_key(settings: Settings) -> Mapping[str, Any]:
    try:
        key = json.loads((settings.key_folder / sandbox.KEY_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return key if isinstance(key, dict) else {}


# --- client certificates --------------------------------------------------------------------------------------------


def _certificates(place: Place) -> Iterator[str]:
    settings = place.settings
    if settings.binds_software and not settings.client_ca:
        yield (
            "DMP_FHIR_CLIENT_CA: empty, but tokens of software must come with a client certificate: name the"
            " authorities of these, or set DMP_FHIR_BOUND_TOKENS=when-bound"
        )
    if settings.client_ca and not settings.client_crl:
        yield "DMP_FHIR_CLIENT_CRL: empty: a revoked certificate would open records; name the authorities' lists"
    for path in (settings.clients_file, settings.client_ca):
        if path and Path(path).exists() and Path(path).stat().st_mode & 0o022:
            yield f"{path} can be changed by other accounts, who could let anybody in: chmod 644"
    try:
        wide = any(each.prefixlen < FEWEST_PREFIX for each in networks(settings.proxies))
    except ValueError as fault:
        yield f"DMP_FHIR_PROXIES: {fault}: give addresses or networks, with commas between"
        return
    if wide:
        yield "DMP_FHIR_PROXIES: a network this wide lets strangers name a certificate: give the proxies' addresses"


def _audit_repository(place: Place) -> Iterator[str]:
    settings = place.settings
    if not settings.audit_repository:
        return
    files = (settings.audit_repository_certificate, settings.audit_repository_token_file)
    try:
        Repository.of(settings.audit_repository, settings.audit_repository_ca, *files)
    except (ValueError, OSError) as fault:
        yield f"DMP_FHIR_AUDIT_REPOSITORY: {fault}"
        return
    for path in filter(None, files):
        if Path(path).stat().st_mode & 0o077:
            yield f"DMP_FHIR_AUDIT_REPOSITORY: {path} is open to other accounts, who could write a trace: chmod 600"


# --- files ----------------------------------------------------------------------------------------------------------


def _data_folder(place: Place) -> Iterator[str]:
    folder = place.settings.data_folder
    if folder.is_dir() and folder.stat().st_mode & 0o027:
        yield f"DMP_FHIR_DATA: {folder} can be read or changed by other accounts: chmod 700"
    sqlite = place.settings.database.startswith("sqlite:")
    if sqlite and (kind := _remote_file_system(folder.absolute())):
        yield f"DMP_FHIR_DATA: {folder} is on a network file system ({kind}), which SQLite cannot use: use a local disk"
    counters = place.settings.counters_folder
    if kind := _remote_file_system(counters.absolute()):
        yield f"DMP_FHIR_LIMITS: {counters} is on a network file system ({kind}): name a folder of a local disk"


def _remote_file_system(folder: Path) -> str | None:
    """The type of the file system, when it is one of the network (Linux)."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    mounts = {each.split()[1]: each.split()[2] for each in lines if len(each.split()) > 2}
    nearest = next((str(each) for each in (folder, *folder.parents) if str(each) in mounts), None)
    kind = mounts.get(nearest, "") if nearest else ""
    return kind if _REMOTE_FILE_SYSTEMS.match(kind) else None


def _keys(place: Place) -> Iterator[str]:
    folder = place.settings.key_folder
    if not folder.is_dir():
        return
    if folder.stat().st_mode & 0o077:
        yield f"DMP_FHIR_DATA: {folder} is open to other accounts: chmod 700"
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.stat().st_mode & (0o022 if path.name.startswith("public") else 0o077):
            yield f"DMP_FHIR_DATA: {path} is open to other accounts: chmod 600, and replace the key"
        if path.name.startswith("master-"):
            continue  # a weak one is refused when it is read (store/masters.py), and none is made in its place
        if path.name.endswith(_KEY_SUFFIXES) and (fault := _weak(path.read_bytes())):
            yield f"DMP_FHIR_DATA: {path}: {fault}: remove it, a new key is made at the start"


def _weak(key: bytes) -> str | None:
    if len(key) < SHORTEST_KEY:
        return f"a key has {SHORTEST_KEY} bytes or more"
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    if len(set(key)) < FEWEST_BYTES or len(steps) < 3 or (len(key) < 128 and _WEAK_WORDS.search(key)):
        return "this is no random key"
    return None


def _secrets(place: Place) -> Iterator[str]:
    secret = place.settings.metrics_secret
    if secret and (len(set(secret)) < FEWEST_BYTES or _WEAK_WORDS.search(secret.encode())):
        yield "DMP_FHIR_METRICS_SECRET: easy to guess: make one with `openssl rand -hex 32`"


# --- database -------------------------------------------------------------------------------------------------------


def _database(place: Place) -> Iterator[str]:
    settings = place.settings
    if settings.database.startswith("sqlite:"):
        file = Path(path_of(settings.database))
        outside = settings.data_folder.absolute() not in file.absolute().parents
        if file.exists() and outside and file.stat().st_mode & 0o077:
            yield f"DATABASE_URL: {file} can be read by other accounts: chmod 600, or keep it in DMP_FHIR_DATA"
        return
    address = urlsplit(settings.database)
    options = {name: values[-1] for name, values in parse_qs(address.query).items()}
    if address.password or "password" in options:
        yield (
            "DATABASE_URL: holds a password, which process lists and dumps of the environment show: use a password"
            " file (PGPASSFILE, or passfile= in the address) or a client certificate"
        )
    host = options.get("host", address.hostname or "")
    remote = host and not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1")
    if remote and options.get("sslmode", place.environment.get("PGSSLMODE", "")) not in ("verify-full", "verify-ca"):
        yield f"DATABASE_URL: the connection to {host} is not protected: add sslmode=verify-full"


# --- leniency and limits --------------------------------------------------------------------------------------------


def _lenient(place: Place) -> Iterator[str]:
    settings = place.settings
    if settings.lenient_search:
        yield "DMP_FHIR_LENIENT_SEARCH: a filter that is dropped widens a search: leave it false; clients may ask"
    if settings.cda_check == "off":
        yield "DMP_FHIR_CDA_CHECK: off lets a document be about another patient than its metadata: use standard"
    if settings.profile_level == "mhd":
        yield "DMP_FHIR_PROFILE_LEVEL: mhd is for test tools, French rules only inform there: use released or main"


def _ceilings(place: Place) -> Iterator[str]:
    settings = place.settings
    given = (
        ("DMP_FHIR_RECORDS_PER_HOUR", settings.records_per_hour, 5_000),
        ("DMP_FHIR_RECORDS_PER_DAY", settings.records_per_day, 20_000),
        ("DMP_FHIR_INS_PER_HOUR", settings.ins_per_hour, 50_000),
        ("DMP_FHIR_CLIENT_RATE", settings.client_rate, 10_000),
        ("DMP_FHIR_PERSON_RATE", settings.person_rate, 1_000),
        ("DMP_FHIR_FAILURES_PER_MINUTE", settings.failures_per_minute, 6_000),
    )
    for variable, value, most in given:
        if value > most:
            yield f"{variable}: over {most}, this stops nobody, not even a stolen account: lower it"


# --- process --------------------------------------------------------------------------------------------------------


def _debugging(place: Place) -> Iterator[str]:
    environment = place.environment
    if place.settings.log_level == "debug":
        yield "DMP_FHIR_LOG_LEVEL: debug is for developers: use info"
    for name in ("FLASK_DEBUG", "WERKZEUG_RUN_MAIN", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG"):
        if environment.get(name, "").lower() in _TRUE:
            yield f"{name}: debugging shows what is in memory: unset it"
    if environment.get("FLASK_ENV", "").lower() == "development":
        yield "FLASK_ENV: development is for developers: unset it"
    if environment.get("PYTHONINSPECT") or sys.flags.inspect:
        yield "PYTHONINSPECT: leaves an open interpreter behind: unset it"
    if environment.get("SSLKEYLOGFILE"):
        yield "SSLKEYLOGFILE: writes the keys of TLS connections to a file: unset it"
    if environment.get("PYTHONHTTPSVERIFY") == "0":
        yield "PYTHONHTTPSVERIFY: 0 accepts any certificate: unset it"
    if sys.flags.dev_mode and environment.get("PYTHONDEVMODE", "").lower() not in _TRUE:
        yield "python -X dev: debugging shows what is in memory: start without it"


def _account(place: Place) -> Iterator[str]:
    if place.user == 0:
        yield "the account: the server runs as root: give it an account of its own that owns DMP_FHIR_DATA only"


AT_EVERY_START = (
    Check("base-url", "an address that is not https, an IP address, a local name", _base_url),
    Check("issuers", "no file of issuers, a bad one, one that others can change, the sandbox's name or key", _issuers),
    Check(
        "certificates",
        "no authorities or revocation lists of client certificates, files of callers that others can change, proxies"
        " that are half the network",
        _certificates,
    ),
    Check(
        "audit-repository",
        "an audit repository not over TLS, or with a certificate or token that others can read",
        _audit_repository,
    ),
    Check(
        "data-folder",
        "a data folder that other accounts can read; SQLite or counters on a network file system",
        _data_folder,
    ),
    Check("keys", "key files that others can read, short keys, keys that are not random", _keys),
    Check("secrets", "secrets in settings that are easy to guess", _secrets),
    Check("database", "a password in `DATABASE_URL`, a remote database without TLS, a file others can read", _database),
    Check("lenient", "lenient searches, no comparison of CDA documents, profile level `mhd`", _lenient),
    Check("ceilings", "ceilings and rates so high that they stop nobody", _ceilings),
    Check(
        "debugging",
        "debug modes of Flask and Python, debug logs, logged TLS keys, certificates not verified",
        _debugging,
    ),
)


# --- what only the open database tells -----------------------------------------------------------------------------


def _records(place: Place) -> Iterator[str]:
    """A test instance serves invented people, the other one real people (spec of the INS): never both."""
    settings = place.settings
    served = settings.ins_systems
    with Database.open(settings.database).snapshot() as reader:
        foreign = [each for each in sorted(INS_SYSTEMS - served) if reader.row(_ANY_INS, {"system": each})]
    if foreign and settings.test_identities:
        yield "DMP_FHIR_TEST_IDENTITIES: true makes a test instance, but real people have records here: unset it"
    elif foreign:
        yield "DATABASE_URL: records of test INS are in this database: production starts with one of its own"


def _server(place: Place) -> Iterator[str]:
    database = Database.open(place.settings.database)
    if database.dialect != "postgresql":
        return
    with database.snapshot() as reader:
        for name, harm in _NEEDED_ON.items():
            row = reader.row(f"SELECT current_setting('{name}')")
            if row and row[0] == "off":
                yield f"PostgreSQL: {name} is off, {harm}: set it to on in postgresql.conf"
        row = reader.row("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if row and row[0]:
            yield "DATABASE_URL: the account is a superuser of PostgreSQL: give the server an account of its own"


_ANY_INS = "SELECT 1 FROM ins WHERE system = :system LIMIT 1"
_NEEDED_ON = {
    "fsync": "what was acknowledged is lost in a power cut",
    "full_page_writes": "a power cut damages the database",
}
ALL = (
    *AT_EVERY_START,
    Check("account", "a server that runs as root", _account),
    Check("records", "records of test INS in production, or of real INS in a test instance", _records),
    Check("postgresql", "PostgreSQL without `fsync` or `full_page_writes`, or entered as a superuser", _server),
)
