"""The configuration file of a run: where the server is, who may ask for a token and how, which patients are for tests.

One YAML file; `sandbox.yaml` beside this module is a whole one, for `dmp-fhir serve` with the demonstration world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from dmp_fhir.conformance.files import read_yaml

CAPABILITIES = (
    "td02",
    "iti-65",
    "iti-105",
    "iti-66",
    "iti-67",
    "iti-68",
    "flux-03",
    "delete",
    "folders",
    "xml",
    "history",
    "consent",
    "audit",
    "access",
    "batch",
    "validate",
    "directory",
)
_TOP = {"base_url", "title", "tokens", "personas", "patients", "skip", "timeout", "headers", "feeding"}
_PERSONA = {"login", "identifier", "family", "given", "structure", "structure_name", "token", "options", "fresh"}
_PATIENT = {"system", "value"}
_TOKENS = {
    "command": {"kind", "command"},
    "environment": {"kind", "variable"},
    "fixed": {"kind", "file"},
    "client_credentials": {
        "kind",
        "token_url",
        "client_id",
        "secret_variable",
        "key_file",
        "scope",
        "parameters",
        "audience",
    },
}


class BadConfig(ValueError):
    """A configuration that a run does not start with; the text names the entry."""


@dataclass(frozen=True)
class Persona:
    """Somebody who asks: `fields` are what bodies say of them; `token` how their token is had (tokens.py); a `fresh`
    token is asked for by each scenario."""

    name: str
    fields: Mapping[str, str]
    token: Mapping[str, Any]
    options: tuple[str, ...] = ()
    fresh: bool = False


@dataclass(frozen=True)
class Config:
    """One platform under test. `feeding` is how scenarios publish when the way does not matter to them."""

    base_url: str
    title: str
    personas: Mapping[str, Persona]
    patients: Mapping[str, Mapping[str, str]]
    skip: frozenset[str] = frozenset()
    timeout_s: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict)
    feeding: str = "iti-65"

    def variables(self) -> dict[str, Any]:
        """What placeholders may say of the platform."""
        return {
            "base": self.base_url,
            "persona": {name: dict(each.fields) for name, each in self.personas.items()},
            "patient": {name: dict(each) for name, each in self.patients.items()},
        }


def sandbox_file() -> Path:
    """The configuration for our own sandbox."""
    return Path(str(files("dmp_fhir.conformance").joinpath("sandbox.yaml")))


def read_config(path: Path, base_url: str | None = None) -> Config:
    """The configuration of a file; `base_url` says another address. BadConfig when it can't be used."""
    try:
        tree = read_yaml(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as fault:
        raise BadConfig(f"{path}: {fault}") from fault
    if not isinstance(tree, dict):
        raise BadConfig(f"{path}: a mapping is expected")
    _known(tree, _TOP, str(path))
    address = str(base_url or tree.get("base_url") or "").rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise BadConfig(f"{path}: base_url is the http(s) address of the FHIR endpoint (or --base-url)")
    skip = frozenset(tree.get("skip") or ())
    if unknown := skip - set(CAPABILITIES):
        raise BadConfig(f"{path}: skip: {', '.join(sorted(unknown))}: the capabilities are {', '.join(CAPABILITIES)}")
    feeding = str(tree.get("feeding") or "iti-65")
    if feeding not in ("iti-65", "iti-105"):
        raise BadConfig(f"{path}: feeding is iti-65 or iti-105")
    personas = {
        name: _persona(name, each or {}, tree.get("tokens")) for name, each in (tree.get("personas") or {}).items()
    }
    patients = {name: _patient(name, each) for name, each in (tree.get("patients") or {}).items()}
    for name in ("author", "main"):
        if name not in {**personas, **patients}:
            raise BadConfig(f"{path}: the persona `author` and the patient `main` are the least")
    return Config(
        address,
        str(tree.get("title") or address),
        personas,
        patients,
        skip,
        float(tree.get("timeout") or 30),
        {str(name): str(value) for name, value in (tree.get("headers") or {}).items()},
        feeding,
    )


def _known(tree: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := set(tree) - known:
        raise BadConfig(
            f"{where}: unknown {', '.join(sorted(map(str, unknown)))}; known are {', '.join(sorted(known))}"
        )


def _persona(name: str, tree: Mapping[str, Any], default: Any) -> Persona:
    where = f"personas.{name}"
    _known(tree, _PERSONA, where)
    token = tree.get("token", default)
    if not isinstance(token, Mapping) or token.get("kind") not in _TOKENS:
        raise BadConfig(f"{where}: token (or tokens for all) needs a kind among {', '.join(_TOKENS)}")
    _known(token, _TOKENS[token["kind"]], f"{where}.token")
    fields = {key: str(value) for key, value in tree.items() if key not in ("token", "options", "fresh")}
    fields.setdefault("login", name)
    return Persona(name, fields, token, tuple(map(str, tree.get("options") or ())), bool(tree.get("fresh")))


def _patient(name: str, tree: Any) -> dict[str, str]:
    where = f"patients.{name}"
    if not isinstance(tree, Mapping) or not tree.keys() >= _PATIENT:
        raise BadConfig(f"{where}: system and value of the INS are expected")
    _known(tree, _PATIENT, where)
    return {"system": str(tree["system"]), "value": str(tree["value"]), "ins": f"{tree['system']}|{tree['value']}"}
