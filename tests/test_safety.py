"""TF-273, TF-250: what the production profile refuses, one by one and all at once; secrets are in no text."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import requests
from click.testing import CliRunner

from dmp_fhir.app import build_services, create_app
from dmp_fhir.canonicals import INS_NIR, INS_NIR_TEST
from dmp_fhir.cli import COMMANDS, main
from dmp_fhir.identity.sandbox import ISSUER, KEY_FILE, Sandbox
from dmp_fhir.safety import ALL, AT_EVERY_START, Place, describe, problems, refuse_unsafe
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store import schema
from dmp_fhir.store.database import Database
from tests.readme.tour import ROOT
from tests.support import tally
from tests.support.atna import certificates
from tests.support.server import start_server, stop_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place where production may start: its data folder, with keys and issuers."""
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "page-links.key").write_bytes(os.urandom(32))
    for path, mode in ((data, 0o700), (data / "keys", 0o700), (data / "keys" / "page-links.key", 0o600)):
        path.chmod(mode)
    write_issuers(tmp_path, Sandbox(tmp_path / "issuer", issuer="https://issuer.example"))
    return tmp_path


def write_issuers(folder: Path, issuer: Sandbox, **more: Any) -> None:
    entry = {"issuer": issuer.issuer, "audience": issuer.audience, "jwks": issuer.jwks()}
    (folder / "issuers.json").write_text(json.dumps([entry | more]))
    (folder / "issuers.json").chmod(0o644)


def settings_in(folder: Path, **change: Any) -> Settings:
    safe = {"profile": "production", "base_url": "https://dmp.hospital.fr/fhir", "data_folder": folder / "data"}
    safe |= {"issuers_file": str(folder / "issuers.json"), "bound_tokens": "when-bound"}
    return Settings(**safe | change)


def found_in(folder: Path, environment: dict[str, str] | None = None, user: int = 1000, **change: Any) -> list[str]:
    return problems(Place(settings_in(folder, **change), environment or {}, user), AT_EVERY_START)


def test_a_safe_place_is_safe(folder: Path) -> None:
    assert found_in(folder) == []
    refuse_unsafe(settings_in(folder))


SETTINGS = {
    "http": ({"base_url": "http://dmp.hospital.fr/fhir"}, "DMP_FHIR_BASE_URL: not https"),
    "default address": ({"base_url": "http://127.0.0.1:8000/fhir"}, "DMP_FHIR_BASE_URL: the host is an IP address"),
    "address": ({"base_url": "https://192.0.2.7/fhir"}, "DMP_FHIR_BASE_URL: the host is an IP address"),
    "address 6": ({"base_url": "https://[2001:db8::1]/fhir"}, "DMP_FHIR_BASE_URL: the host is an IP address"),
    "localhost": ({"base_url": "https://localhost/fhir"}, "DMP_FHIR_BASE_URL: 'localhost' is a local name"),
    "short name": ({"base_url": "https://registry/fhir"}, "DMP_FHIR_BASE_URL: 'registry' is a local name"),
    "test name": ({"base_url": "https://dmp.test/fhir"}, "DMP_FHIR_BASE_URL: 'dmp.test' is a local name"),
    "no issuers": ({"issuers_file": ""}, "DMP_FHIR_ISSUERS: empty"),
    "absent issuers": ({"issuers_file": "/nowhere/issuers.json"}, "DMP_FHIR_ISSUERS: /nowhere/issuers.json: No such"),
    "software without certificates": ({"bound_tokens": ""}, "DMP_FHIR_CLIENT_CA: empty"),
    "no revocation": ({"client_ca": "/nowhere/ca.pem"}, "DMP_FHIR_CLIENT_CRL: empty"),
    "everybody a proxy": ({"proxies": "0.0.0.0/0"}, "DMP_FHIR_PROXIES: a network this wide"),
    "no address": ({"proxies": "proxy.hospital.fr"}, "DMP_FHIR_PROXIES: 'proxy.hospital.fr'"),
    "trace in the clear": (
        {"audit_repository": "syslog://atna.hospital.fr:514"},
        "DMP_FHIR_AUDIT_REPOSITORY: https://",
    ),
    "trace over http": ({"audit_repository": "http://atna.hospital.fr/fhir"}, "DMP_FHIR_AUDIT_REPOSITORY: https://"),
    "absent certificate": (
        {"audit_repository": "syslog-tls://atna.hospital.fr", "audit_repository_certificate": "/nowhere/node.pem"},
        "DMP_FHIR_AUDIT_REPOSITORY: [Errno 2] No such file or directory: '/nowhere/node.pem'",
    ),
    "lenient search": ({"lenient_search": True}, "DMP_FHIR_LENIENT_SEARCH"),
    "no CDA check": ({"cda_check": "off"}, "DMP_FHIR_CDA_CHECK"),
    "foreign profiles": ({"profile_level": "mhd"}, "DMP_FHIR_PROFILE_LEVEL"),
    "no ceiling": ({"records_per_hour": 1_000_000}, "DMP_FHIR_RECORDS_PER_HOUR"),
    "no ceiling of the day": ({"records_per_day": 1_000_000}, "DMP_FHIR_RECORDS_PER_DAY"),
    "walking through INS": ({"ins_per_hour": 1_000_000}, "DMP_FHIR_INS_PER_HOUR"),
    "no rate of clients": ({"client_rate": 1_000_000}, "DMP_FHIR_CLIENT_RATE"),
    "no rate of persons": ({"person_rate": 1_000_000}, "DMP_FHIR_PERSON_RATE"),
    "failing for ever": ({"failures_per_minute": 1_000_000}, "DMP_FHIR_FAILURES_PER_MINUTE"),
    "guessable secret": ({"metrics_secret": "changeme-changeme"}, "DMP_FHIR_METRICS_SECRET"),
    "secret of one letter": ({"metrics_secret": "a" * 40}, "DMP_FHIR_METRICS_SECRET"),
    "debug logs": ({"log_level": "debug"}, "DMP_FHIR_LOG_LEVEL"),
    "password in the address": (
        {"database_url": "postgresql://dmp:canary-4711@db.hospital.fr/dmp?sslmode=verify-full"},
        "DATABASE_URL: holds a password",
    ),
    "password as an option": ({"database_url": "postgresql:///dmp?password=canary-4711"}, "DATABASE_URL: holds"),
    "database without TLS": (
        {"database_url": "postgresql://dmp@db.hospital.fr/dmp"},
        "DATABASE_URL: the connection to",
    ),
    "TLS without verification": (
        {"database_url": "postgresql://dmp@db.hospital.fr/dmp?sslmode=require"},
        "DATABASE_URL: the connection to db.hospital.fr",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_dangerous_setting(folder: Path, case: str) -> None:
    change, told = SETTINGS[case]
    found = found_in(folder, **change)
    tally.count("B", "unsafe starts tried")
    tally.count("B", "unsafe starts accepted", int(not found))
    assert any(each.startswith(told) for each in found), found
    assert "canary-4711" not in "".join(found)


ENVIRONMENT = {
    "FLASK_DEBUG": "1",
    "FLASK_ENV": "development",
    "WERKZEUG_RUN_MAIN": "true",
    "PYTHONDEVMODE": "1",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONINSPECT": "1",
    "SSLKEYLOGFILE": "/tmp/keys",
    "PYTHONHTTPSVERIFY": "0",
}


@pytest.mark.parametrize("variable", ENVIRONMENT)
def test_a_dangerous_environment(folder: Path, variable: str) -> None:
    found = found_in(folder, {variable: ENVIRONMENT[variable]})
    tally.count("B", "unsafe starts tried")
    tally.count("B", "unsafe starts accepted", int(not found))
    assert [each.split(":")[0] for each in found] == [variable]
    assert found_in(folder, {variable: ""}) == []


def _sandbox_by_name(folder: Path) -> None:
    write_issuers(folder, Sandbox(folder / "issuer", issuer=ISSUER))


def _sandbox_by_key(folder: Path) -> None:
    write_issuers(folder, Sandbox(folder / "data" / "keys", issuer="https://issuer.example"))


def _key(data: bytes, mode: int = 0o600) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / "data" / "keys" / "page-links.key"
        path.write_bytes(data)
        path.chmod(mode)

    return write


def _issuer(name: str = "https://issuer.example", **more: Any) -> Callable[[Path], None]:
    return lambda folder: write_issuers(folder, Sandbox(folder / "issuer", issuer=name), **more)


def _issuers(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "issuers.json").write_text(text)


def _open_sqlite(folder: Path) -> None:
    (folder / "elsewhere.db").touch(0o644)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "open data folder": (lambda folder: (folder / "data").chmod(0o755), "can be read or changed by other accounts"),
    "group writes": (lambda folder: (folder / "data").chmod(0o770), "can be read or changed by other accounts"),
    "open key folder": (lambda folder: (folder / "data" / "keys").chmod(0o755), "keys is open to other accounts"),
    "open key": (_key(os.urandom(32), 0o644), "page-links.key is open to other accounts"),
    "empty key": (_key(b""), "a key has 32 bytes or more"),
    "short key": (_key(os.urandom(16)), "a key has 32 bytes or more"),
    "zeros": (_key(bytes(32)), "no random key"),
    "counting": (_key(bytes(range(32))), "no random key"),
    "default": (_key(b"change-me-change-me-change-me-now"), "no random key"),
    "words": (_key(b"MyVerySecretPasswordForTheServer!"), "no random key"),
    "sandbox by name": (_sandbox_by_name, "is the sandbox issuer"),
    "sandbox by key": (_sandbox_by_key, "is the sandbox issuer"),
    "issuers of anybody": (lambda folder: (folder / "issuers.json").chmod(0o666), "can be changed by other accounts"),
    "no list": (_issuers("{}"), "no JSON list"),
    "no JSON": (_issuers("["), "no JSON list"),
    "nobody": (_issuers("[]"), "no JSON list"),
    "keys over http": (_issuer(jwks_uri="http://issuer.example/keys"), "is not https"),
    "issuer of tests": (_issuer("https://issuer.test"), "is a test address"),
}


@pytest.mark.parametrize("case", FILES)
def test_dangerous_files(folder: Path, case: str) -> None:
    change, told = FILES[case]
    change(folder)
    found = found_in(folder)
    tally.count("B", "unsafe starts tried")
    tally.count("B", "unsafe starts accepted", int(not found))
    assert any(told in each for each in found), found


def test_an_open_certificate_of_the_trace(folder: Path) -> None:
    certificates(folder)
    files = {"audit_repository_ca": str(folder / "ca.pem"), "audit_repository_certificate": str(folder / "node.pem")}
    settings = {"audit_repository": "syslog-tls://atna.hospital.fr"} | files
    (folder / "node.pem").chmod(0o640)
    (found,) = found_in(folder, **settings)
    assert "node.pem is open to other accounts" in found
    (folder / "node.pem").chmod(0o600)
    assert found_in(folder, **settings) == []


def test_a_database_file_elsewhere(folder: Path) -> None:
    _open_sqlite(folder)
    (found,) = found_in(folder, database_url=f"sqlite:///{folder}/elsewhere.db")
    assert found.startswith("DATABASE_URL")


def test_a_network_file_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"server:/x {folder}/data nfs4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: mounts)
    assert [each.split(":")[0] for each in found_in(folder)] == ["DMP_FHIR_DATA", "DMP_FHIR_LIMITS"]
    shared = {"database_url": "postgresql:///dmp", "limits_folder": "/var/lib/dmp"}
    assert found_in(folder, **shared) == []


def test_root(folder: Path) -> None:
    (account,) = (each for each in ALL if each.name == "account")
    assert problems(Place(settings_in(folder), {}, 0), [account])
    assert problems(Place(settings_in(folder), {}, 1000), [account]) == []


@pytest.mark.parametrize(
    ("system", "test_identities", "told"),
    [
        (INS_NIR_TEST, False, "records of test INS"),
        (INS_NIR, True, "real people have records here"),
        (INS_NIR, False, ""),
        (INS_NIR_TEST, True, ""),
    ],
)
def test_real_and_invented_people(
    folder: Path, database_url: str, system: str, test_identities: bool, told: str
) -> None:
    database = Database.open(database_url)
    with database.transaction() as tx:
        tx.insert("ins", {"system": system, "value": "274036912390153", "record_id": "r"})
    database.close()
    (records,) = (each for each in ALL if each.name == "records")
    place = Place(settings_in(folder, database_url=database_url, test_identities=test_identities), {}, 1000)
    found = problems(place, [records])
    assert [told in each for each in found] == ([True] if told else [])


def test_a_postgresql_that_forgets(folder: Path, postgres_server: Any) -> None:
    """The server of the tests is one: without fsync, entered as its superuser."""
    (server,) = (each for each in ALL if each.name == "postgresql")
    found = problems(Place(settings_in(folder, database_url=postgres_server.url("postgres")), {}, 1000), [server])
    assert len(found) == 3
    assert "superuser" in found[-1]


def test_all_problems_are_told_at_once(folder: Path) -> None:
    (folder / "data").chmod(0o755)
    unsafe = settings_in(folder, base_url="http://localhost/fhir", issuers_file="", lenient_search=True)
    with pytest.raises(BadSetting) as caught:
        create_app(unsafe)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the production profile refuses to start:"
    assert len(lines) >= 6
    assert all(line.startswith("- ") for line in lines[1:])
    refuse_unsafe(replace(unsafe, profile="development"))


def test_every_check_is_documented_and_every_sentence_says_what_to_do() -> None:
    assert describe() in (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    assert len({each.name for each in ALL}) == len(ALL)


def test_the_command_tells_all(folder: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMP_FHIR_DATA", str(folder / "data"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{sqlite_template}")
    done = CliRunner().invoke(main, ["safety"])
    assert done.exit_code == 1
    assert "DMP_FHIR_ISSUERS: empty" in done.output
    assert done.output.splitlines()[-1].endswith(" problems")


def test_the_server_does_not_start_unsafe(folder: Path, sqlite_template: Path) -> None:
    """As a process: refused at once, with all reasons, and no secret in what it prints."""
    environment = {
        "DMP_FHIR_PROFILE": "production",
        "DMP_FHIR_DATA": str(folder / "data"),
        "DATABASE_URL": f"sqlite:///{sqlite_template}",
        "FLASK_DEBUG": "1",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    code = "from dmp_fhir.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert all(each in done.stderr for each in ("DMP_FHIR_BASE_URL", "DMP_FHIR_ISSUERS", "FLASK_DEBUG"))
    assert "Traceback" not in done.stderr


# --- TF-250: no secret in any text ---------------------------------------------------------------------------------


def test_no_secret_in_a_repr(folder: Path, sqlite_template: Path) -> None:
    key = os.urandom(32)
    (folder / "data" / "keys" / "page-links.key").write_bytes(key)
    named = [
        each.name for each in fields(Settings) if any(word in each.name for word in ("secret", "password", "keys"))
    ]
    secrets = [name for name in named if not name.endswith("_file")]  # where a secret is, is none
    assert secrets
    with_password = Settings(
        database_url="postgresql://dmp:canary-4711@db/dmp", **dict.fromkeys(secrets, "canary-4711-canary-4711")
    )
    assert "canary-4711" not in repr(with_password) + str(with_password)
    shutil.copy(sqlite_template, folder / "registry.sqlite")
    services = build_services(Settings(database_url=f"sqlite:///{folder}/registry.sqlite", data_folder=folder / "data"))
    secret = json.loads((folder / "data" / "keys" / KEY_FILE).read_bytes())["d"]
    sandbox = Sandbox(folder / "data" / "keys")
    parts = (
        services,
        services.page_links,
        services.verifier,
        services.database,
        sandbox,
        sandbox.trusted(),
        sandbox._key,
    )
    texts = "\n".join(f"{each!r} {each!s}" for each in parts)
    services.database.close()
    for canary in (secret, key.hex(), repr(key)[2:-1], "canary-4711"):
        assert canary not in texts


def test_no_secret_in_a_bad_setting() -> None:
    with pytest.raises(BadSetting) as caught:
        Settings(database_url="mysql://dmp:canary-4711@db/dmp")
    assert "canary-4711" not in str(caught.value)


def commands_of(group: click.Group) -> list[click.Command]:
    """The commands of a group and of the groups in it."""
    context = click.Context(group)
    commands = [command for name in group.list_commands(context) if (command := group.get_command(context, name))]
    return commands + [inner for each in commands if isinstance(each, click.Group) for inner in commands_of(each)]


def test_no_command_takes_a_secret() -> None:
    """What is on a command line is in the list of processes."""
    words = ("password", "secret-key", "key-value", "passphrase")
    found = commands_of(main)
    options = [option for command in found for each in command.params for option in each.opts]
    assert len(found) > len(COMMANDS)
    assert not [option for option in options if any(word in option for word in words)]


def test_no_secret_of_a_process_in_sight(folder: Path, sqlite_world: Path) -> None:
    """Not in the list of processes, in the log, in answers, nor in what a start prints that its keys stop."""
    master, metrics = base64.b64encode(os.urandom(32)).decode(), "canary-of-metrics-9d1f"
    environment = {"DMP_FHIR_MASTER_KEYS": f"1:{master}", "DMP_FHIR_METRICS_SECRET": metrics}
    url = f"sqlite:///{folder}/registry.sqlite"
    shutil.copytree(sqlite_world / "keys", folder / "data" / "keys", dirs_exist_ok=True)
    (folder / "data" / "keys" / "record-keys.sqlite").unlink()
    schema.upgrade(url)
    data = folder / "data"
    server = start_server(data, url, workers=2, **environment)
    try:
        seen = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert any(b"serve" in each and str(urlsplit(server.base_url).port).encode() in each for each in seen)
        root = server.base_url.removesuffix("/fhir")
        for path in ("/fhir/metadata", "/metrics", "/health/ready", "/fhir/Patient/x", "/%00", "/fhir/$environment"):
            answer = requests.get(root + path, headers={"Authorization": f"Bearer {metrics}"}, timeout=10)
            seen.append(answer.content + str(answer.headers).encode())
    finally:
        stop_server(server)
    wrong = base64.b64encode(os.urandom(32)).decode()
    with pytest.raises(RuntimeError, match="not the one that wrapped") as stopped:
        start_server(data, url, **environment | {"DMP_FHIR_MASTER_KEYS": f"1:{wrong}"})
    seen += [(data / "server.log").read_bytes(), str(stopped.value).encode()]
    for secret in (master, wrong, metrics):
        forms = [secret.encode()]
        if secret != metrics:
            forms += [base64.b64decode(secret), base64.b64decode(secret).hex().encode()]
        tally.count("K", "secrets found in sight", sum(form in each for form in forms for each in seen))
        assert not any(form in each for form in forms for each in seen)


def test_the_checkout_holds_no_secret() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wanted = (b"-----BEGIN " + b"PRIVATE KEY", b"-----BEGIN RSA " + b"PRIVATE KEY", b"-----BEGIN EC " + b"PRIVATE KEY")
    held = [
        name for name in tracked if (ROOT / name).is_file() and any(w in (ROOT / name).read_bytes() for w in wanted)
    ]
    assert held == []
    assert not [name for name in tracked if name.endswith((".key", ".pem", ".jwk.json"))]


def test_the_command_judges_as_production_whatever_the_profile(
    folder: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What production asks for by its own defaults is told beforehand: certificates of software."""
    monkeypatch.setenv("DMP_FHIR_DATA", str(folder / "data"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{sqlite_template}")
    told = []
    for profile in ("development", "production"):
        monkeypatch.setenv("DMP_FHIR_PROFILE", profile)
        told.append(CliRunner().invoke(main, ["safety"]).output)
    assert told[0] == told[1]
    assert "DMP_FHIR_CLIENT_CA: empty" in told[0]
