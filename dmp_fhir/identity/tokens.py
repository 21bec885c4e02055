"""Bearer access tokens: the single way in, but for the accounts of structures (clients.py).

RFC 6750 (Bearer), RFC 7519 (JWT), RFC 8725 (best practice), RFC 8705 (certificate binding), IHE IUA [ITI-72]
https://profiles.ihe.net/ITI/IUA/index.html#372-incorporate-access-token-iti-72 . Whatever is wrong with the token
itself is answered 401 (D25); the public answer names a claim at most, never a value.
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Lock
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from dmp_fhir.identity import pro_sante_connect, refusals
from dmp_fhir.identity.certificates import ClientCertificate
from dmp_fhir.identity.claims import ClaimFault, access_context, bound_to, required_text
from dmp_fhir.identity.clients import Clients, unknown_certificate
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.introspection import Inactive
from dmp_fhir.identity.issuers import PSC, TrustedIssuer
from dmp_fhir.identity.keys import KeySource
from dmp_fhir.identity.outbound import Unreachable
from dmp_fhir.identity.strict import json_object

MAX_TOKEN = 8192
LONGEST_LEEWAY_S = 60
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_HEADER_NAMES = frozenset({"alg", "kid", "typ"})
_TYPES = frozenset({"JWT", "at+jwt", "application/at+jwt"})
_REPEATED = ("iss", "sub", "client_id", "jti", "exp", "cnf")
# More situations and addresses than a token is used from at a time.
_MOST_CALLERS = 16
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """A verified token: what it says, until when that is relied on, and the callers it gave, by practice situation and
    address."""

    issuer: TrustedIssuer
    claims: Mapping[str, Any]
    userinfo: Mapping[str, Any] | None
    thumbprint: str | None
    until_s: int | None
    callers: dict[tuple[str | None, str | None], AccessContext] = field(default_factory=dict)


def _object(segment: str) -> dict[str, Any]:
    """The JSON object of one base64url segment. ValueError when it is not one."""
    return json_object(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


class TokenVerifier:
    """Verifies bearer tokens of the trusted issuers and says who asks.

    `issuers` are the issuers, or what gives those in force now; `clock` gives milliseconds since 1970 UTC. Verified
    tokens are remembered by their SHA-256 until they expire or their issuer is to be asked again (at most
    `cache_size` of them), so that a signature is checked once per token; the client, its certificate and the time are
    checked at each request.

    `clients`, when given, are the only ones let in. `bound` refuses tokens of software that are not bound to a client
    certificate (RFC 8705, TF-068). `leeway_s` is how far ahead the clock of an issuer may be; it never lengthens a
    token.
    """

    def __init__(
        self,
        issuers: Iterable[TrustedIssuer] | Callable[[], list[TrustedIssuer]],
        clock: Callable[[], int],
        *,
        clients: Clients | None = None,
        bound: bool = False,
        leeway_s: int = 30,
        cache_size: int = 10_000,
    ) -> None:
        fixed = [] if callable(issuers) else list(issuers)
        self._in_force: Callable[[], list[TrustedIssuer]] = issuers if callable(issuers) else lambda: fixed
        self._listed: list[TrustedIssuer] = []
        self._issuers: dict[str, TrustedIssuer] = {}
        self._clock = clock
        self._clients = clients
        self._bound = bound
        self._leeway_s = min(leeway_s, LONGEST_LEEWAY_S)
        self._cache: OrderedDict[bytes, _Known] = OrderedDict()
        self._cache_size = cache_size
        self._lock = Lock()

    def verify(
        self,
        authorization_header: str | None,
        certificate: ClientCertificate | None = None,
        situation: str | None = None,
        origin: str | None = None,
    ) -> AccessContext:
        """The caller of a request, from its Authorization header and the client certificate it came with.

        `situation` is the practice situation that the client chose among those of a professional (Pro Santé Connect);
        `origin` the address that it asks from.
        Raises Refused: 401 with code `login` or `expired` and `WWW-Authenticate: Bearer` for everything about the
        token or the certificate; 403 for a good token that was not issued for this service (D25), by too weak an
        authentication (TF-088) or to a client that is not let in (TF-076); 503 when the issuer must be asked and does
        not answer.
        """
        if (authorization_header is None or not authorization_header.strip()) and certificate is not None:
            return replace(self._account(certificate), origin=origin)
        token = self._token(authorization_header)
        now_s = self._clock() // 1000
        known = self._known(token, now_s)
        own_certificate = self._require_certificate(known, certificate)
        issuer = known.issuer
        place = (situation if issuer.kind == PSC else None), origin
        caller = known.callers.get(place)
        if caller is None:
            caller = replace(self._caller(known, place[0], now_s), origin=origin)
            if len(known.callers) >= _MOST_CALLERS:
                known.callers.clear()
            known.callers[place] = caller
        if self._clients is not None:
            caller, registered = self._clients.admitted(caller, certificate, issuer.scope)
            own_certificate = own_certificate or registered
        if self._bound and not own_certificate and caller.auth_mode != "PORTAIL":
            refusals.wrong_certificate("cnf")
        return caller

    def _account(self, certificate: ClientCertificate) -> AccessContext:
        caller = self._clients.account(certificate) if self._clients is not None else None
        if caller is None:
            unknown_certificate()
        return caller

    def _token(self, header: str | None) -> str:
        if header is None or not header.strip():
            refusals.no_credentials()
        if len(header) > MAX_TOKEN + len("Bearer "):
            refusals.malformed()
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            refusals.unauthorised(
                "Seul le schéma Bearer est accepté dans Authorization.",
                "Only the Bearer scheme is accepted in Authorization.",
                error=None,
            )
        if _OPAQUE.fullmatch(token) is None:
            refusals.malformed()
        return token

    def _known(self, token: str, now_s: int) -> _Known:
        digest = sha256(token.encode("ascii")).digest()
        issuers = self._in_force()
        with self._lock:
            if issuers is not self._listed:
                self._listed, self._issuers = issuers, {issuer.issuer: issuer for issuer in issuers}
                self._cache.clear()
            known = self._cache.get(digest)
        if known is not None and known.until_s is not None and now_s < known.until_s:
            return known
        try:
            known = self._verified(token, now_s, digest)
        except ClaimFault as fault:
            refusals.wrong_claim(fault.args[0])
        except Inactive:
            refusals.inactive()
        except Unreachable:
            refusals.issuer_away()
        with self._lock:
            self._cache.pop(digest, None)
            if known.until_s is not None and issuers is self._listed:
                self._cache[digest] = known
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return known

    def _verified(self, token: str, now_s: int, digest: bytes) -> _Known:
        issuer, claims = self._signed(token) if _COMPACT.fullmatch(token) else self._opaque(token)
        if claims:
            # What is out of date is refused before anybody is asked about it.
            self._in_time(claims, issuer, now_s, required=True)
        if issuer.introspection is not None:
            claims = _agreeing(claims, issuer.introspection.ask(token), issuer, digest)
        expires_s = self._in_time(claims, issuer, now_s, required=issuer.introspection is None)
        required_text(claims, "sub")
        if issuer.kind == PSC:
            claims = {"client_id": claims.get("azp"), **claims}
        else:
            _require_audience(claims, issuer)
        if issuer.clients and claims.get("client_id") not in issuer.clients:
            raise ClaimFault("client_id")
        userinfo = issuer.userinfo.ask(token) if issuer.userinfo is not None else None
        until_s = expires_s
        if until_s is not None and issuer.recheck_s is not None:
            until_s = min(until_s, now_s + issuer.recheck_s)
        if until_s is not None and issuer.max_auth_age_s is not None and isinstance(claims.get("auth_time"), int):
            until_s = min(until_s, claims["auth_time"] + issuer.max_auth_age_s)
        return _Known(issuer, claims, userinfo, bound_to(claims), until_s)

    def _signed(self, token: str) -> tuple[TrustedIssuer, dict[str, Any]]:
        """The issuer of a JWT and its verified claims; none when only introspection can tell."""
        header_segment, payload_segment, _ = token.split(".")
        try:
            header, claims = _object(header_segment), _object(payload_segment)
        except ValueError:
            refusals.malformed()
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise ClaimFault("iss")
        if issuer.keys is None:
            return issuer, {}
        self._require_signature(token, header, issuer.keys)
        return issuer, claims

    def _opaque(self, token: str) -> tuple[TrustedIssuer, dict[str, Any]]:
        # Five parts are an encrypted token, for which there is no key here (TF-067).
        issuer = next((each for each in self._issuers.values() if each.opaque), None)
        if issuer is None or token.count(".") in (2, 4):
            refusals.malformed()
        return issuer, {}

    @staticmethod
    def _require_signature(token: str, header: dict[str, Any], keys: KeySource) -> None:
        # jwk, jku, x5u, x5c, crit, b64, zip: a token neither brings its key nor changes the rules (TF-061, TF-063).
        if not header.keys() <= _HEADER_NAMES or header.get("typ", "JWT") not in _TYPES:
            refusals.malformed()
        kid = header.get("kid")
        signing = keys.get(kid) if isinstance(kid, str) else None
        if signing is None or header.get("alg") != signing.algorithm:
            refusals.bad_signature()
        try:
            jws.deserialize_compact(token, signing.key, algorithms=[signing.algorithm])
        except (JoseError, ValueError):
            refusals.bad_signature()

    def _in_time(self, claims: Mapping[str, Any], issuer: TrustedIssuer, now_s: int, *, required: bool) -> int | None:
        """When the token expires; None when its issuer, asked about it, names no end."""
        times: dict[str, int | None] = {}
        for name in ("iat", "exp", "nbf"):
            value = claims.get(name)
            if value is None and name not in claims and (name == "nbf" or not required):
                times[name] = None
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise ClaimFault(name)
            times[name] = value
        expires, issued = times["exp"], times["iat"]
        if expires is not None and expires <= now_s:
            refusals.expired()
        for name in ("iat", "nbf"):
            ahead = (times[name] or 0) - now_s
            if ahead > self._leeway_s:
                _log.error("a token of %s begins in %d s: compare the clocks of both machines", issuer.issuer, ahead)
                raise ClaimFault(name)
        if expires is not None and not 0 < expires - (issued or now_s) <= issuer.max_lifetime_s:
            raise ClaimFault("exp")
        return expires

    @staticmethod
    def _require_certificate(known: _Known, certificate: ClientCertificate | None) -> bool:
        """Whether the token is bound to the certificate that came with it (RFC 8705, section 3)."""
        if known.thumbprint is None:
            return False
        if certificate is None or certificate.thumbprint != known.thumbprint:
            refusals.wrong_certificate("cnf")
        return True

    @staticmethod
    def _caller(known: _Known, situation: str | None, now_s: int) -> AccessContext:
        issuer, claims = known.issuer, known.claims
        try:
            if known.userinfo is not None:
                caller = pro_sante_connect.access_context(claims, known.userinfo, issuer, situation)
                caller = replace(caller, certificate=known.thumbprint)
            else:
                caller = access_context(claims, issuer)
            if issuer.scope not in caller.scopes:
                refusals.insufficient_scope(issuer.scope)
            if caller.auth_mode in ("CPS", "AIR", "PORTAIL"):
                _require_strength(claims, issuer, now_s)
        except ClaimFault as fault:
            refusals.wrong_claim(fault.args[0])
        return caller


def _agreeing(
    claims: Mapping[str, Any], answer: Mapping[str, Any], issuer: TrustedIssuer, digest: bytes
) -> dict[str, Any]:
    """What token and introspection say together. Raises ClaimFault where they differ."""
    for name in _REPEATED:
        if name in claims and name in answer and claims[name] != answer[name]:
            raise ClaimFault(name)
    both = {**answer, **claims}
    if both.setdefault("iss", issuer.issuer) != issuer.issuer:
        raise ClaimFault("iss")
    # RFC 7662 has jti as an option; the trace and the grants of a session need a name that is the token's alone.
    both.setdefault("jti", f"sha-256:{digest.hex()[:32]}")
    return both


def _require_audience(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    audiences = claims.get("aud")
    if not isinstance(audiences, list):
        audiences = [audiences]
    if not all(isinstance(item, str) for item in audiences) or issuer.audience not in audiences:
        raise ClaimFault("aud")


def _require_strength(claims: Mapping[str, Any], issuer: TrustedIssuer, now_s: int) -> None:
    """How the person was authenticated, as far as the operator asks (TF-088)."""
    methods = claims.get("amr", [])
    if not isinstance(methods, list) or not all(isinstance(each, str) for each in methods):
        raise ClaimFault("amr")
    at = claims.get("auth_time")
    if at is not None and (not isinstance(at, int) or isinstance(at, bool)):
        raise ClaimFault("auth_time")
    weak = bool(issuer.acr_values) and claims.get("acr") not in issuer.acr_values
    weak = weak or bool(issuer.amr_values and not issuer.amr_values & set(methods))
    if issuer.max_auth_age_s is not None:
        weak = weak or at is None or now_s - at > issuer.max_auth_age_s
    if weak:
        refusals.stronger_authentication(issuer.acr_values, issuer.max_auth_age_s)
