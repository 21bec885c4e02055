"""Issuers of access tokens this server trusts: their keys, and what each of them may assert.

The algorithm is a property of the issuer's key, never of the token (RFC 8725, section 3.1; TF-060).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey

PublicKey = ECKey | OKPKey | RSAKey

_KEY_TYPES: dict[str, type[PublicKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_CURVE_ALGORITHM = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})

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


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of an issuer and the one algorithm it verifies."""

    kid: str
    algorithm: str
    key: PublicKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer, the audience its tokens must carry, and the limits of what it may say.

    `categories` and `auth_modes` bound the actors it vouches for: an identity provider of structures cannot make a
    directly authenticated physician. `max_lifetime_s` bounds exp - iat. `scope` is the word a token must carry to be
    used here at all (D25: a good token without it is answered 403).
    """

    issuer: str
    audience: str
    keys: Mapping[str, SigningKey]
    categories: frozenset[str] = frozenset(CATEGORY_MODES)
    auth_modes: frozenset[str] = frozenset().union(*CATEGORY_MODES.values())
    max_lifetime_s: int = 4 * 3600
    scope: str = "dmp"


def signing_key(jwk: Mapping[str, Any], algorithm: str | None = None) -> SigningKey:
    """The signing key of one public JWK. ValueError for a symmetric key, a missing kid, a weak or private key."""
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 128:
        raise ValueError("a JWK needs a kid of 1 to 128 characters")
    kind = _KEY_TYPES.get(str(jwk.get("kty")))
    if kind is None:
        raise ValueError("only asymmetric keys (EC, OKP, RSA) can verify tokens")
    if "d" in jwk:
        raise ValueError("a key that verifies must be public: remove the private members")
    key = kind.import_key(dict(jwk))
    named = algorithm or jwk.get("alg")
    if kind is RSAKey:
        if named not in _RSA_ALGORITHMS:
            raise ValueError("an RSA key must name its algorithm (alg): RS256, PS256...")
        if isinstance(key, RSAKey) and key.raw_value.key_size < 2048:
            raise ValueError("an RSA key has at least 2048 bits")
        return SigningKey(kid, str(named), key)
    implied = _CURVE_ALGORITHM.get(str(jwk.get("crv")))
    if implied is None or named not in (None, implied, "EdDSA" if implied == "Ed25519" else implied):
        raise ValueError("this curve does not go with this algorithm")
    return SigningKey(kid, str(named or implied), key)


def keys_of(jwks: Mapping[str, Any], algorithm: str | None = None) -> Mapping[str, SigningKey]:
    """The signing keys of a JWK Set document (RFC 7517), by kid. ValueError when one is unusable or two share a kid."""
    found: dict[str, SigningKey] = {}
    entries: Iterable[Mapping[str, Any]] = jwks.get("keys", ())
    for jwk in entries:
        key = signing_key(jwk, algorithm)
        if key.kid in found:
            raise ValueError(f"two keys share the kid {key.kid!r}")
        found[key.kid] = key
    if not found:
        raise ValueError("a trusted issuer needs at least one key")
    return MappingProxyType(found)


def trusted_issuers(path: Path) -> list[TrustedIssuer]:
    """The issuers of a settings file: a JSON array of objects with `issuer`, `audience`, `jwks` (a JWK Set) and, to
    narrow what an issuer may say, `categories`, `auth_modes`, `max_lifetime_s`, `scope`. ValueError for a bad one."""
    found: list[TrustedIssuer] = []
    for each in json.loads(path.read_text(encoding="utf-8")):
        narrowed: dict[str, Any] = {
            name: frozenset(each[name]) for name in ("categories", "auth_modes") if name in each
        }
        issuer = TrustedIssuer(each["issuer"], each["audience"], keys_of(each["jwks"]))
        chosen = {name: each[name] for name in ("max_lifetime_s", "scope") if name in each}
        found.append(replace(issuer, **narrowed, **chosen))
    if not found:
        raise ValueError(f"{path} names no issuer")
    return found
