"""Registered clients: the software and structures that the operator let in by name (TF-075, TF-076).

A client may come with tokens of an issuer, or by its certificate alone when it is the feeding account of a structure
(docs/decisions/0033-certificates-and-structure-accounts.md). Whatever it may not do here is refused whoever holds it.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509

from dmp_fhir.identity.certificates import ClientCertificate
from dmp_fhir.identity.context import AccessContext, Software
from dmp_fhir.identity.identifiers import is_idnst
from dmp_fhir.identity.issuers import AUTH_MODES, CATEGORY_MODES
from dmp_fhir.identity.refusals import client_refused, insufficient_scope, unauthorised, wrong_certificate, wrong_claim
from dmp_fhir.identity.watched import Watched

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,5}")
_MEMBERS = frozenset(
    {"client_id", "name", "structure", "certificates", "subject", "categories", "auth_modes", "scopes", "software"}
    | {"minimum_version", "account", "disabled"}
)


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client.

    `certificates` are the SHA-256 fingerprints it may present (as x5t#S256), `subject` the name of its certificates
    instead; without either it may come without. `structure` is the only Struct_IdNat it may act for, None for any.
    `account` lets its certificate stand for the structure, to feed, without a token.
    """

    client_id: str
    name: str
    structure: str | None = None
    certificates: frozenset[str] = frozenset()
    subject: x509.Name | None = None
    categories: frozenset[str] = frozenset(CATEGORY_MODES)
    auth_modes: frozenset[str] = AUTH_MODES
    scopes: frozenset[str] | None = None
    software: Software | None = None
    minimum_version: tuple[int, ...] | None = None
    account: bool = False
    disabled: bool = False

    @property
    def certified(self) -> bool:
        """Whether it only comes with a certificate of its own."""
        return bool(self.certificates) or self.subject is not None

    def presents(self, certificate: ClientCertificate | None) -> bool:
        """Whether this is a certificate of the client."""
        if certificate is None:
            return False
        return certificate.thumbprint in self.certificates or certificate.subject == self.subject


class Clients:
    """The clients of a file, read again as soon as it changes: a client that is disabled there is refused at its next
    request. Raises OSError or ValueError at first when the file can't be read."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._watched = Watched(path, read_clients, clock, every_ms=0)

    def all(self) -> Iterable[Client]:
        return self._watched.current().values()

    def account(self, certificate: ClientCertificate) -> AccessContext | None:
        """The structure that a certificate stands for, without a token; None when it stands for none."""
        for client in self._watched.current().values():
            if client.account and client.presents(certificate):
                _refuse_disabled(client)
                return _account_context(client, certificate)
        return None

    def admitted(
        self, context: AccessContext, certificate: ClientCertificate | None, scope: str
    ) -> tuple[AccessContext, bool]:
        """The caller of a good token within what its client may do, and whether its certificate is the client's own.
        Raises Refused: 401 when token, client and certificate don't go together, 403 for the client itself."""
        client = self._watched.current().get(context.client_id or "")
        if client is None:
            client_refused(
                "Ce logiciel n'est pas enregistré ici : demander son inscription à l'exploitant.",
                "This software is not registered here: ask the operator to register it.",
                "CLIENT_INCONNU",
            )
        if client.certified and not client.presents(certificate):
            wrong_certificate("client_id")
        _refuse_disabled(client)
        if client.structure is not None and context.structure != client.structure:
            wrong_claim("subject_organization_id")
        if context.actor_category not in client.categories:
            wrong_claim("category")
        if context.auth_mode not in client.auth_modes:
            wrong_claim("auth_mode")
        _refuse_old(client, context.software)
        if client.scopes is not None and not context.scopes <= client.scopes:
            if scope not in client.scopes:
                insufficient_scope(scope)
            context = replace(context, scopes=context.scopes & client.scopes)
        return context, client.certified


def _account_context(client: Client, certificate: ClientCertificate) -> AccessContext:
    return AccessContext(
        actor_category="STRUCTURE",
        actor_id=str(client.structure),
        actor_name=client.name,
        auth_mode="INDIRECTE",
        structure=client.structure,
        structure_name=client.name,
        client_id=client.client_id,
        scopes=client.scopes or frozenset(),
        software=client.software,
        session=certificate.thumbprint,
        certificate=certificate.thumbprint,
    )


def unknown_certificate() -> NoReturn:
    """A good certificate alone, of nobody registered (TF-072)."""
    unauthorised(
        "Ce certificat n'est celui d'aucun compte de structure enregistré : présenter un jeton d'accès.",
        "This certificate belongs to no registered structure account: present an access token.",
        reason="CERTIFICAT_NON_ENREGISTRE",
    )


def _refuse_disabled(client: Client) -> None:
    if client.disabled:
        client_refused(
            "Ce logiciel n'est plus autorisé ici : s'adresser à son éditeur ou à l'exploitant.",
            "This software is no longer allowed here: ask its publisher or the operator.",
            "CLIENT_DESACTIVE",
        )


def _refuse_old(client: Client, software: Software | None) -> None:
    if client.minimum_version is None:
        return
    expected = client.software.name if client.software else None
    version = _version(software.version) if software and software.version else None
    if version is None or version < client.minimum_version or (expected and software and software.name != expected):
        client_refused(
            "Cette version du logiciel n'est plus autorisée ici : installer une version plus récente.",
            "This version of the software is no longer allowed here: install a later one.",
            "VERSION_RETIREE",
        )


def _version(text: str) -> tuple[int, ...] | None:
    """1.10.0 as (1, 10): trailing zeros mean nothing. None when it is not numbers and dots."""
    if not _VERSION.fullmatch(text):
        return None
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


# --- the file ---------------------------------------------------------------------------------------


def read_clients(path: Path) -> Mapping[str, Client]:
    """The clients of a file, a JSON array of objects whose members docs/operating.md lists, by client_id. ValueError
    with a sentence for a bad one."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not a list of clients")
    found: dict[str, Client] = {}
    accounts: dict[object, str] = {}
    for number, entry in enumerate(entries):
        try:
            client = _client(entry)
        except (KeyError, TypeError, AttributeError) as bad:
            raise ValueError(f"client {number + 1}: {bad} is missing or of the wrong type") from bad
        except ValueError as bad:
            raise ValueError(f"client {number + 1}: {bad}") from bad
        if client.client_id in found:
            raise ValueError(f"two clients are called {client.client_id}")
        found[client.client_id] = client
        if client.account:
            for means in (*client.certificates, client.subject):
                if means is not None and accounts.setdefault(means, client.client_id) != client.client_id:
                    raise ValueError(
                        f"client {number + 1}: its certificate is the account of {accounts[means]} already"
                    )
    return found


def _client(entry: Mapping[str, Any]) -> Client:
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    unknown = sorted(entry.keys() - _MEMBERS)
    if unknown:
        raise ValueError(f"unknown name {', '.join(unknown)}")
    structure = entry.get("structure")
    if structure is not None and not is_idnst(structure):
        raise ValueError("structure is not a Struct_IdNat")
    minimum = _version(entry["minimum_version"]) if "minimum_version" in entry else None
    if "minimum_version" in entry and minimum is None:
        raise ValueError("minimum_version is numbers with dots between")
    account = _flag(entry, "account")
    # The account of a structure is nobody else, unless the operator says so.
    categories, auth_modes = ({"STRUCTURE"}, {"INDIRECTE"}) if account else (CATEGORY_MODES, AUTH_MODES)
    client = Client(
        client_id=_text(entry, "client_id"),
        name=_text(entry, "name"),
        structure=structure,
        certificates=frozenset(_thumbprint(each) for each in _texts(entry, "certificates")),
        subject=_subject(entry["subject"]) if "subject" in entry else None,
        categories=_names(entry, "categories", CATEGORY_MODES) if "categories" in entry else frozenset(categories),
        auth_modes=_names(entry, "auth_modes", AUTH_MODES) if "auth_modes" in entry else frozenset(auth_modes),
        scopes=frozenset(_texts(entry, "scopes")) if "scopes" in entry else None,
        software=_software(entry),
        minimum_version=minimum,
        account=account,
        disabled=_flag(entry, "disabled"),
    )
    if client.account and not (client.structure and client.certified):
        raise ValueError("the account of a structure needs structure and certificates or subject")
    if client.account and not ("STRUCTURE" in client.categories and "INDIRECTE" in client.auth_modes):
        raise ValueError("the account of a structure is of category STRUCTURE and auth_mode INDIRECTE")
    return client


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry[name]
    if not isinstance(value, str) or not value.strip() or len(value) > 256 or not value.isprintable():
        raise ValueError(f"{name} is a text")
    return value


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false")
    return value


def _texts(entry: Mapping[str, Any], name: str) -> list[str]:
    given = entry.get(name, [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise ValueError(f"{name} is a list of texts")
    return given


def _software(entry: Mapping[str, Any]) -> Software | None:
    given = entry.get("software", {})
    known = {each.name for each in fields(Software)}
    if not isinstance(given, dict) or not known.issuperset(given):
        raise ValueError(f"software is an object; its members are {', '.join(sorted(known))}")
    return Software(**{name: _text(given, name) for name in given}) if given else None


def _subject(text: object) -> x509.Name:
    try:
        return x509.Name.from_rfc4514_string(str(text))
    except ValueError as bad:
        raise ValueError("subject is not a name as RFC 4514 writes it (CN=…,O=…,C=FR)") from bad


def _names(entry: Mapping[str, Any], name: str, allowed: Iterable[str]) -> frozenset[str]:
    known, given = frozenset(allowed), entry[name]
    if not isinstance(given, list) or not given or not known.issuperset(given):
        raise ValueError(f"{name}: only {', '.join(sorted(known))}")
    return frozenset(given)


def _thumbprint(fingerprint: str) -> str:
    """The x5t#S256 of a SHA-256 fingerprint as openssl prints it: hexadecimal, with or without colons."""
    digits = fingerprint.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise ValueError("a certificate is named by its SHA-256 fingerprint, 64 hexadecimal digits")
    return urlsafe_b64encode(bytes.fromhex(digits)).rstrip(b"=").decode()
