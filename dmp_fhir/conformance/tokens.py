"""How a persona gets a token: a command, an environment variable, a file, or OAuth 2.0 client credentials.

Whatever was given out is remembered, so that no report ever shows it (`Tokens.secrets`).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from dmp_fhir.conformance.config import Persona

COMMAND_SECONDS = 60
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class NoToken(RuntimeError):
    """A persona's token could not be had; the text says why, without secrets."""


class Tokens:
    """Tokens of the personas, each asked for once in a run unless it must be fresh."""

    def __init__(self, session: requests.Session | None = None) -> None:
        self._session = session or requests.Session()
        self._kept: dict[str, str] = {}
        self._secrets: set[str] = set()
        self._lock = threading.Lock()

    def token(self, persona: Persona, fresh: bool = False) -> str:
        """An access token; NoToken when there is none. `fresh` asks for another one than before."""
        if fresh or persona.fresh:
            return self._remember(self.ask(persona))
        with self._lock:
            if persona.name not in self._kept:
                self._kept[persona.name] = self._remember(self.ask(persona))
            return self._kept[persona.name]

    def ask(self, persona: Persona) -> str:
        """A new token, by the way of the persona."""
        way = persona.token
        if way["kind"] == "command":
            return _from_command(persona, [str(part) for part in way["command"]])
        if way["kind"] == "environment":
            name = str(way["variable"]).replace("{persona}", persona.name.upper().replace("-", "_"))
            if not os.environ.get(name):
                raise NoToken(f"{persona.name}: the environment variable {name} is empty")
            return os.environ[name].strip()
        if way["kind"] == "fixed":
            try:
                return Path(str(way["file"]).replace("{persona}", persona.name)).read_text("utf-8").strip()
            except OSError as fault:
                raise NoToken(f"{persona.name}: {fault}") from fault
        return self._from_client_credentials(persona, way)

    def secrets(self) -> set[str]:
        """Everything that must not be shown."""
        return set(self._secrets)

    def _remember(self, token: str) -> str:
        self._secrets.add(token)
        return token

    def _from_client_credentials(self, persona: Persona, way: Mapping[str, Any]) -> str:
        """RFC 6749 section 4.4, with a secret or a signed assertion (RFC 7523)."""
        form = {"grant_type": "client_credentials", "client_id": _said(way["client_id"], persona)}
        form |= {name: _said(value, persona) for name, value in (way.get("parameters") or {}).items()}
        if way.get("scope"):
            form["scope"] = str(way["scope"])
        if way.get("secret_variable"):
            form["client_secret"] = self._remember(os.environ.get(str(way["secret_variable"]), ""))
        if way.get("key_file"):
            form["client_assertion_type"] = _ASSERTION
            form["client_assertion"] = self._remember(_assertion(way, form["client_id"]))
        try:
            answer = self._session.post(str(way["token_url"]), data=form, timeout=COMMAND_SECONDS)
            return str(answer.json()["access_token"])
        except (requests.RequestException, ValueError, KeyError, TypeError) as fault:
            raise NoToken(
                f"{persona.name}: {way['token_url']} gave no access_token ({type(fault).__name__})"
            ) from fault


def _said(text: Any, persona: Persona) -> str:
    """`{login}`, `{persona}`, `{fresh}` and the fields of the persona, replaced."""
    values = {**persona.fields, "persona": persona.name, "fresh": secrets.token_hex(6)}
    for name, value in values.items():
        text = str(text).replace(f"{{{name}}}", value)
    return str(text)


def _from_command(persona: Persona, command: list[str]) -> str:
    program = Path(sys.executable).with_name(command[0])
    parts = [str(program) if program.exists() else command[0], *command[1:], *persona.options]
    parts = [_said(part, persona) for part in parts]
    try:
        done = subprocess.run(parts, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise NoToken(f"{persona.name}: {command[0]}: {fault}") from fault
    if done.returncode or not done.stdout.strip():
        raise NoToken(f"{persona.name}: {command[0]} gave no token: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def _assertion(way: Mapping[str, Any], client_id: str) -> str:
    from joserfc import jwt
    from joserfc.jwk import KeySet, import_key

    path = Path(str(way["key_file"]))
    try:
        import json

        tree = json.loads(path.read_text("utf-8"))
        key: Any = KeySet.import_key_set(tree).keys[0] if "keys" in tree else import_key(tree)
    except (OSError, ValueError) as fault:
        raise NoToken(f"{path}: not a private key as JWK ({type(fault).__name__})") from fault
    now = int(time.time())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": str(way.get("audience") or way["token_url"]),
        "jti": secrets.token_urlsafe(16),
        "iat": now,
        "exp": now + 120,
    }
    algorithm = "ES256" if tree.get("kty") == "EC" else "RS256"
    return jwt.encode({"alg": algorithm, "kid": tree.get("kid", "")}, claims, key, algorithms=[algorithm])
