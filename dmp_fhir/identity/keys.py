"""Keys that verify the tokens of an issuer, fixed in the settings or fetched from the address named there.

The algorithm is a property of the issuer's key, never of the token (RFC 8725, section 3.1; TF-060).
JSON Web Key: RFC 7517.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock
from types import MappingProxyType
from typing import Any, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dmp_fhir.identity.outbound import Outbound, Unreachable

PublicKey = ECKey | OKPKey | RSAKey

_KEY_TYPES: dict[str, type[PublicKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_CURVE_ALGORITHM = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS = _RSA_ALGORITHMS | frozenset(_CURVE_ALGORITHM.values()) | {"EdDSA"}
MOST_KEYS = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of an issuer and the one algorithm it verifies."""

    kid: str
    algorithm: str
    key: PublicKey = field(repr=False)


class KeySource(Protocol):
    """Where the keys of an issuer are looked up."""

    def get(self, kid: str, /) -> SigningKey | None:
        """The key of this id, None when there is none. Raises Unreachable when that can't be known."""
        ...


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
    if jwk.get("use", "sig") != "sig":
        raise ValueError("a key for another use than signatures (use)")
    try:
        key = kind.import_key(dict(jwk))
    except (JoseError, TypeError) as bad:
        raise ValueError(f"the JWK can't be read: {type(bad).__name__}") from bad
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


def keys_of(jwks: Mapping[str, Any], algorithms: frozenset[str] = ALGORITHMS) -> Mapping[str, SigningKey]:
    """The signing keys of a JWK Set that an operator wrote, by kid. ValueError when one is unusable or two share a
    kid."""
    found: dict[str, SigningKey] = {}
    entries: Iterable[Mapping[str, Any]] = jwks.get("keys", ())
    for jwk in entries:
        key = signing_key(jwk, _only_rsa(jwk, algorithms))
        if key.algorithm not in algorithms:
            raise ValueError(f"the key {key.kid!r} is of {key.algorithm}, which is not among the algorithms")
        if key.kid in found:
            raise ValueError(f"two keys share the kid {key.kid!r}")
        found[key.kid] = key
    if not found:
        raise ValueError("a trusted issuer needs at least one key")
    return MappingProxyType(found)


def published_keys(jwks: Mapping[str, Any], algorithms: frozenset[str]) -> Mapping[str, SigningKey]:
    """The same of a JWK Set that an issuer publishes: what can't be used here (keys for encryption, other algorithms,
    doubled kids) is left out. ValueError when nothing is left or there are too many."""
    entries = jwks.get("keys")
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise ValueError("not a JWK Set")
    found: dict[str, SigningKey] = {}
    doubled: set[str] = set()
    for jwk in entries:
        try:
            key = signing_key(jwk, _only_rsa(jwk, algorithms))
        except (ValueError, AttributeError):
            continue
        if key.kid in found:
            doubled.add(key.kid)
        elif key.algorithm in algorithms:
            found[key.kid] = key
    usable = {kid: key for kid, key in found.items() if kid not in doubled}
    if not usable:
        raise ValueError("no usable key")
    return MappingProxyType(usable)


def _only_rsa(jwk: Mapping[str, Any], algorithms: frozenset[str]) -> str | None:
    """The algorithm of an RSA key that names none, when the settings leave no choice."""
    if jwk.get("kty") != "RSA" or jwk.get("alg") is not None:
        return None
    possible = algorithms & _RSA_ALGORITHMS
    return next(iter(possible)) if len(possible) == 1 else None


class RemoteKeys:
    """The keys that an issuer publishes, fetched when first needed and kept `lifetime_s`.

    An unknown kid or the end of that time makes it ask again, at most once in `refresh_s` whatever comes (TF-062).
    While the issuer is away the last good keys stay in use, for `keep_s` at most.
    """

    def __init__(
        self,
        service: Outbound,
        algorithms: frozenset[str],
        clock: Callable[[], int],
        *,
        lifetime_s: int = 3600,
        refresh_s: int = 60,
        keep_s: int = 86_400,
    ) -> None:
        self._service = service
        self._algorithms = algorithms
        self._clock = clock
        self._lifetime_ms, self._refresh_ms, self._keep_ms = lifetime_s * 1000, refresh_s * 1000, keep_s * 1000
        self._lock = Lock()
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched_ms: int | None = None
        self._asked_ms: int | None = None
        self._under_way: Event | None = None

    def get(self, kid: str, /) -> SigningKey | None:
        now = self._clock()
        with self._lock:
            known = self._keys.get(kid)
            if known is not None and self._within(self._fetched_ms, self._lifetime_ms, now):
                return known
            first = self._fetched_ms is None
            under_way = self._under_way
            asking = under_way is None and not self._within(self._asked_ms, self._refresh_ms, now)
            if asking:
                self._asked_ms, self._under_way = now, Event()
        if asking:
            self._refresh()
        elif first and under_way is not None:
            with self._service.waiting():
                under_way.wait(self._service.address.timeout_s)
        with self._lock:
            if not self._within(self._fetched_ms, self._keep_ms, now):
                raise Unreachable("no keys of this issuer at hand")
            return self._keys.get(kid)

    @staticmethod
    def _within(since_ms: int | None, length_ms: int, now_ms: int) -> bool:
        # Absolute: a clock that was set back must not keep anything for longer.
        return since_ms is not None and abs(now_ms - since_ms) < length_ms

    def _refresh(self) -> None:
        found: Mapping[str, SigningKey] | None = None
        try:
            found = published_keys(self._service.get(), self._algorithms)
        except Unreachable:
            pass  # told in the log by the call
        except ValueError as bad:
            _log.warning("%s: %s", self._service.address.url, bad)
        finally:
            with self._lock:
                if found is not None:
                    self._keys, self._fetched_ms = found, self._asked_ms
                if self._under_way is not None:
                    self._under_way.set()
                self._under_way = None
