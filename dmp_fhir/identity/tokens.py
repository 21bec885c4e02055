"""Bearer access tokens: the single way in.

RFC 6750 (Bearer), RFC 7519 (JWT), RFC 8725 (best practice), IHE IUA [ITI-72]
https://profiles.ihe.net/ITI/IUA/index.html#372-incorporate-access-token-iti-72 . Whatever is wrong with the token
itself is answered 401 (D25); the public answer names a claim at most, never a value.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from threading import Lock
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError

from dmp_fhir.identity.claims import ClaimFault, access_context, required_text
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.issuers import TrustedIssuer
from dmp_fhir.outcome import refuse

MAX_TOKEN = 8192
REALM = "dmp-fhir"
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER_NAMES = frozenset({"alg", "kid", "typ"})
_TYPES = frozenset({"JWT", "at+jwt", "application/at+jwt"})
_LONGEST_NUMBER = 15


def unauthorised(fr: str, en: str, *, code: str = "login", error: str | None = "invalid_token") -> NoReturn:
    """Refuse with 401 and the challenge of RFC 6750, section 3."""
    challenge = f'Bearer realm="{REALM}"'
    if error:
        challenge += f', error="{error}", error_description="{en}"'
    refuse(
        401,
        code,
        fr,
        en,
        rule="D25",
        headers=(("WWW-Authenticate", challenge),),
        reason="JETON_EXPIRE" if code == "expired" else "JETON_INVALIDE" if error else "JETON_ABSENT",
        rules=("D25",),
    )


def _malformed() -> NoReturn:
    unauthorised(
        "Le jeton d'accès n'est pas un JWT signé lisible : en demander un nouveau.",
        "The access token is not a readable signed JWT: ask for a new one.",
    )


def _wrong_claim(name: str) -> NoReturn:
    unauthorised(
        f"Le jeton d'accès ne convient pas (information {name}) : en demander un nouveau.",
        f"The access token does not suit (claim {name}): ask for a new one.",
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate names (TF-066)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("number too long")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError("not an integer")


def _object(segment: str) -> dict[str, Any]:
    """The JSON object of one base64url segment. ValueError or RecursionError when it is not one."""
    raw = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    tree = json.loads(
        raw.decode("utf-8"),
        object_pairs_hook=_members,
        parse_int=_integer,
        parse_float=_no_number,
        parse_constant=_no_number,
    )
    if not isinstance(tree, dict):
        raise ValueError("not an object")
    return tree


class TokenVerifier:
    """Verifies bearer tokens of the trusted issuers.

    `clock` gives milliseconds since 1970 UTC. Verified tokens are remembered by their SHA-256 until they expire
    (at most `cache_size` of them), so that a signature is checked once per token.
    """

    def __init__(
        self,
        issuers: Iterable[TrustedIssuer],
        clock: Callable[[], int],
        *,
        leeway_s: int = 5,
        cache_size: int = 10_000,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._clock = clock
        self._leeway_s = leeway_s
        self._cache: OrderedDict[bytes, tuple[AccessContext, int]] = OrderedDict()
        self._cache_size = cache_size
        self._lock = Lock()

    def verify(self, authorization_header: str | None) -> AccessContext:
        """The caller of a request, from its Authorization header.

        Raises Refused: 401 with code `login` or `expired` and `WWW-Authenticate: Bearer` for everything about the
        token; 403 `insufficient_scope` for a good token that was not issued for this service (D25).
        """
        token = self._token(authorization_header)
        now_s = self._clock() // 1000
        digest = sha256(token.encode("ascii")).digest()
        with self._lock:
            known = self._cache.get(digest)
        if known is not None and now_s < known[1]:
            return known[0]
        context, expires_s = self._verified(token, now_s)
        with self._lock:
            self._cache[digest] = (context, expires_s)
            self._cache.move_to_end(digest)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return context

    def _token(self, header: str | None) -> str:
        if header is None or not header.strip():
            unauthorised(
                "Présenter un jeton d'accès : Authorization: Bearer …",
                "Present an access token: Authorization: Bearer ...",
                error=None,
            )
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            unauthorised(
                "Seul le schéma Bearer est accepté dans Authorization.",
                "Only the Bearer scheme is accepted in Authorization.",
                error=None,
            )
        if len(token) > MAX_TOKEN or _COMPACT.fullmatch(token) is None:
            _malformed()
        return token

    def _verified(self, token: str, now_s: int) -> tuple[AccessContext, int]:
        header_segment, payload_segment, _ = token.split(".")
        try:
            header, claims = _object(header_segment), _object(payload_segment)
        except (ValueError, RecursionError, binascii.Error):
            _malformed()
        issuer = self._signed_by(token, header, claims)
        try:
            expires_s = self._in_time(claims, issuer, now_s)
            audiences = claims.get("aud")
            if not isinstance(audiences, list):
                audiences = [audiences]
            if not all(isinstance(item, str) for item in audiences) or issuer.audience not in audiences:
                raise ClaimFault("aud")
            required_text(claims, "sub")
            context = access_context(claims, issuer)
        except ClaimFault as fault:
            _wrong_claim(fault.args[0])
        if issuer.scope not in context.scopes:
            self._insufficient_scope(issuer.scope)
        return context, expires_s

    def _signed_by(self, token: str, header: dict[str, Any], claims: dict[str, Any]) -> TrustedIssuer:
        name, kid = claims.get("iss"), header.get("kid")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            _wrong_claim("iss")
        # jwk, jku, x5u, x5c, crit, b64, zip: a token neither brings its key nor changes the rules (TF-061, TF-063).
        if not header.keys() <= _HEADER_NAMES or header.get("typ", "JWT") not in _TYPES:
            _malformed()
        signing = issuer.keys.get(kid) if isinstance(kid, str) else None
        if signing is None or header.get("alg") != signing.algorithm:
            self._bad_signature()
        try:
            jws.deserialize_compact(token, signing.key, algorithms=[signing.algorithm])
        except (JoseError, ValueError):
            self._bad_signature()
        return issuer

    def _in_time(self, claims: dict[str, Any], issuer: TrustedIssuer, now_s: int) -> int:
        times = {}
        for name in ("iat", "exp", "nbf"):
            value = claims.get(name, claims.get("iat") if name == "nbf" else None)
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise ClaimFault(name)
            times[name] = value
        if times["exp"] <= now_s:
            unauthorised(
                "Le jeton d'accès a expiré : en demander un nouveau.",
                "The access token has expired: ask for a new one.",
                code="expired",
            )
        for name in ("iat", "nbf"):
            if times[name] > now_s + self._leeway_s:
                raise ClaimFault(name)
        if not 0 < times["exp"] - times["iat"] <= issuer.max_lifetime_s:
            raise ClaimFault("exp")
        return times["exp"]

    @staticmethod
    def _bad_signature() -> NoReturn:
        unauthorised(
            "La signature du jeton d'accès n'est pas celle d'un émetteur reconnu.",
            "The signature of the access token is not that of a trusted issuer.",
        )

    @staticmethod
    def _insufficient_scope(scope: str) -> NoReturn:
        en = f"The token was not issued for this service: ask for the scope {scope}."
        refuse(
            403,
            "forbidden",
            f"Le jeton n'a pas été émis pour ce service : demander la portée {scope}.",
            en,
            rule="D25",
            headers=(
                (
                    "WWW-Authenticate",
                    f'Bearer realm="{REALM}", error="insufficient_scope", error_description="{en}", scope="{scope}"',
                ),
            ),
            reason="PORTEE_INSUFFISANTE",
            rules=("D25",),
        )
