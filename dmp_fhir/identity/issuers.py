"""Issuers of access tokens this server trusts: how their tokens are verified, and what each of them may assert.

Everything is fixed by the operator's file and nothing by a token: addresses, algorithms, audience (TF-060, TF-061).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from dmp_fhir.identity.introspection import LONGEST_RECHECK_S, Introspection, Userinfo
from dmp_fhir.identity.keys import ALGORITHMS, KeySource, RemoteKeys, keys_of
from dmp_fhir.identity.outbound import Address, Outbound, Waiting

CATEGORY_MODES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "PS": frozenset({"CPS", "AIR", "INDIRECTE"}),
        "PS_ROLE": frozenset({"CPS", "AIR", "INDIRECTE"}),
        "STRUCTURE": frozenset({"INDIRECTE"}),
        "CPE": frozenset({"CPE"}),
        "PATIENT": frozenset({"PORTAIL"}),
        "REPRESENTANT": frozenset({"PORTAIL"}),
        "AIDANT": frozenset({"PORTAIL"}),
        "AM_SYSTEM": frozenset({"SYSTEME"}),
        "SUPPORT": frozenset({"SYSTEME"}),
        "SERVICE": frozenset({"SYSTEME"}),
        "TIERS_EXCLU": frozenset({"CPS", "AIR", "INDIRECTE", "CPE", "PORTAIL", "SYSTEME"}),
    }
)
"""The ways in which each category of actor can be authenticated (spec identity, section 3)."""
AUTH_MODES: frozenset[str] = frozenset().union(*CATEGORY_MODES.values())

IUA, PSC = "iua", "pro_sante_connect"
LONGEST_LIFETIME_S = 4 * 3600


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer, the audience its tokens must carry, and the limits of what it may say.

    `kind` is `iua` or `pro_sante_connect`. `keys` verify its JWTs; None when only `introspection` tells whether a
    token is good. `opaque` sends tokens that are no JWT to it. `clients` are the OAuth clients whose tokens are
    taken; empty means any (never for Pro Santé Connect, whose tokens have no audience of ours).

    `categories` and `auth_modes` bound the actors it vouches for: an identity provider of structures cannot make a
    directly authenticated physician. `max_lifetime_s` bounds exp - iat. `scope` is the word a token must carry to be
    used here at all (D25: a good token without it is answered 403). `acr_values`, `amr_values` (one of each is
    enough) and `max_auth_age_s` are the strength of authentication asked of people (TF-088); empty or None asks
    nothing. `test_identities` lets in the invented identifiers of Pro Santé Connect's tests.
    """

    issuer: str
    audience: str
    keys: KeySource | None = field(repr=False, default=None)
    kind: str = IUA
    introspection: Introspection | None = None
    userinfo: Userinfo | None = None
    opaque: bool = False
    clients: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset(CATEGORY_MODES)
    auth_modes: frozenset[str] = AUTH_MODES
    max_lifetime_s: int = LONGEST_LIFETIME_S
    scope: str = "dmp"
    acr_values: frozenset[str] = frozenset()
    amr_values: frozenset[str] = frozenset()
    max_auth_age_s: int | None = None
    test_identities: bool = False

    @property
    def recheck_s(self) -> int | None:
        """How long a token is relied on before its issuer is asked again; None when it is never asked."""
        asked = [service.recheck_s for service in (self.introspection, self.userinfo) if service is not None]
        return min(asked) if asked else None


def trusted_issuers(
    path: Path,
    clock: Callable[[], int],
    *,
    production: bool = False,
    waiting: Waiting = nullcontext,
) -> list[TrustedIssuer]:
    """The issuers of a settings file, a JSON array of objects whose members docs/operating.md lists. Relative paths
    start at the file's folder. ValueError with a sentence for a bad one."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} names no issuer")
    found: list[TrustedIssuer] = []
    for number, entry in enumerate(entries):
        reading = _Reading(entry, path.parent, clock, production, waiting)
        try:
            found.append(reading.issuer())
        except (KeyError, TypeError, AttributeError) as bad:
            raise ValueError(f"issuer {number + 1}: {bad} is missing or of the wrong type") from bad
        except ValueError as bad:
            raise ValueError(f"issuer {number + 1}: {bad}") from bad
    if len({each.issuer for each in found}) != len(found):
        raise ValueError("two issuers have the same name")
    if sum(each.opaque for each in found) > 1:
        raise ValueError("tokens that are no JWT can only go to one issuer: set opaque once")
    return found


_SERVICE = frozenset(
    {
        "url",
        "client_id",
        "client_secret_file",
        "client_certificate",
        "client_key",
        "authority",
        "timeout_s",
        "recheck_s",
    }
)
_REMOTE = {"jwks_lifetime_s": "lifetime_s", "jwks_refresh_s": "refresh_s", "jwks_keep_s": "keep_s"}
_MEMBERS = frozenset(
    {"issuer", "kind", "audience", "jwks", "jwks_uri", "algorithms", "introspection", "userinfo", "opaque", "clients"}
    | {"categories", "auth_modes", "max_lifetime_s", "scope", "acr_values", "amr_values", "max_auth_age_s", "authority"}
    | {"timeout_s", *_REMOTE}
)
# What may stand in a challenge between quotes (RFC 6749, section 3.3).
_WORD = re.compile(r"[!#-\[\]-~]{1,128}")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class _Reading:
    """One entry of the issuers' file on its way to a TrustedIssuer."""

    entry: Mapping[str, Any]
    folder: Path
    clock: Callable[[], int]
    production: bool
    waiting: Waiting

    def issuer(self) -> TrustedIssuer:
        entry = self.entry
        if not isinstance(entry, dict):
            raise ValueError("not an object")
        _only(entry, _MEMBERS)
        kind = entry.get("kind", IUA)
        if kind not in (IUA, PSC):
            raise ValueError(f"kind is {IUA} or {PSC}")
        introspection, userinfo = self._introspection(), self._userinfo()
        clients = self._names("clients", None)
        keys = self._keys()
        if keys is None and introspection is None:
            raise ValueError("name its keys (jwks or jwks_uri) or its introspection")
        if entry.get("opaque") and introspection is None:
            raise ValueError("tokens that are no JWT (opaque) need introspection")
        if (kind == PSC) != (userinfo is not None):
            raise ValueError(f"userinfo is what {PSC} has, and it alone")
        if kind == PSC and not clients:
            raise ValueError(f"{PSC} needs clients: its tokens name no audience of yours")
        required = ("issuer",) if kind == PSC else ("issuer", "audience")
        for name in (*required, *(name for name in ("scope",) if name in entry)):
            if not isinstance(entry[name], str) or not entry[name]:
                raise TypeError(name)
        if not _WORD.fullmatch(entry.get("scope", "dmp")):
            raise ValueError("scope is one word")
        return TrustedIssuer(
            issuer=entry["issuer"],
            audience=entry.get("audience", ""),
            keys=keys,
            kind=kind,
            introspection=introspection,
            userinfo=userinfo,
            opaque=bool(entry.get("opaque", False)),
            clients=clients,
            categories=self._names("categories", CATEGORY_MODES),
            auth_modes=self._names("auth_modes", {"CPS"} if kind == PSC else AUTH_MODES),
            max_lifetime_s=self._number(entry, "max_lifetime_s", LONGEST_LIFETIME_S),
            scope=entry.get("scope", "scope_all" if kind == PSC else "dmp"),
            acr_values=self._names("acr_values", None),
            amr_values=self._names("amr_values", None),
            max_auth_age_s=self._number(entry, "max_auth_age_s", 86_400) if "max_auth_age_s" in entry else None,
            test_identities=not self.production,
        )

    def _keys(self) -> KeySource | None:
        entry = self.entry
        algorithms = self._names("algorithms", ALGORITHMS)
        if "jwks" in entry and "jwks_uri" in entry:
            raise ValueError("name jwks or jwks_uri, not both")
        if "jwks" in entry:
            jwks = entry["jwks"]
            if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
                raise ValueError('jwks is a JWK Set: {"keys": […]}')
            return keys_of(jwks, algorithms)
        if "jwks_uri" not in entry:
            return None
        if "algorithms" not in entry:
            raise ValueError("jwks_uri needs algorithms: they are yours to fix, not the issuer's to change")
        service = {"url": entry["jwks_uri"]} | {
            name: entry[name] for name in ("authority", "timeout_s") if name in entry
        }
        times = {name: self._number(entry, given, 7 * 86_400) for given, name in _REMOTE.items() if given in entry}
        return RemoteKeys(self._outbound(service), algorithms, self.clock, **times)

    def _introspection(self) -> Introspection | None:
        service = self._service("introspection", _SERVICE)
        if service is None:
            return None
        if not ({"client_id", "client_secret_file"} <= service.keys() or "client_certificate" in service):
            raise ValueError("introspection needs client_id and client_secret_file, or client_certificate")
        return Introspection(self._outbound(service), self._number(service, "recheck_s", LONGEST_RECHECK_S, 300))

    def _userinfo(self) -> Userinfo | None:
        service = self._service("userinfo", _SERVICE - {"client_id", "client_secret_file"})
        if service is None:
            return None
        return Userinfo(self._outbound(service), self._number(service, "recheck_s", LONGEST_RECHECK_S, 300))

    def _service(self, name: str, members: frozenset[str]) -> Mapping[str, Any] | None:
        service = self.entry.get(name)
        if service is None:
            return None
        if not isinstance(service, dict):
            raise ValueError(f"{name} is an object")
        _only(service, members)
        return service

    def _outbound(self, service: Mapping[str, Any]) -> Outbound:
        if not isinstance(service["url"], str):
            raise ValueError("an address is a text")
        address = urlsplit(service["url"])
        if address.scheme != "https" and (self.production or address.hostname not in _LOOPBACK):
            raise ValueError("an address of an issuer is https (http only on this machine, in development)")
        # A port that is none raises as it is read.
        if not address.hostname or address.port == 0 or address.username is not None or address.fragment:
            raise ValueError("an address of an issuer is absolute, without user or fragment")
        certificate = self._file(service, "client_certificate")
        secret = self._file(service, "client_secret_file")
        return Outbound(
            Address(
                url=service["url"],
                timeout_s=self._number(service, "timeout_s", 10, 3),
                authority=self._file(service, "authority"),
                certificate=(certificate, self._file(service, "client_key") or certificate) if certificate else None,
                user=(service["client_id"], Path(secret).read_text(encoding="utf-8").strip()) if secret else None,
            ),
            waiting=self.waiting,
        )

    def _file(self, service: Mapping[str, Any], name: str) -> str | None:
        if name not in service:
            return None
        path = self.folder / service[name]
        if not path.is_file():
            raise ValueError(f"{name}: no file {path}")
        return str(path)

    def _names(self, name: str, allowed: Collection[str] | None) -> frozenset[str]:
        """A list of names; all that are allowed (none, when anything is) when it is not given."""
        given = self.entry.get(name)
        if given is None:
            return frozenset(allowed or ())
        if not isinstance(given, list) or not given or not all(_WORD.fullmatch(str(each)) for each in given):
            raise ValueError(f"{name} is a list of names")
        if allowed is not None and not frozenset(given) <= frozenset(allowed):
            raise ValueError(f"{name}: only {', '.join(sorted(allowed))}")
        return frozenset(given)

    @staticmethod
    def _number(entry: Mapping[str, Any], name: str, most: int, default: int | None = None) -> int:
        value = entry.get(name, most if default is None else default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"{name} is a whole number from 1 to {most}")
        return value


def _only(entry: Mapping[str, Any], names: frozenset[str]) -> None:
    unknown = sorted(re.sub(r"[^A-Za-z0-9_.-]", "?", str(each)) for each in entry.keys() - names)
    if unknown:
        raise ValueError(f"unknown name {', '.join(unknown)}")
