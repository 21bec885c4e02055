"""Refusals of a caller. Whatever is wrong with the token itself is a 401, a good token without the right a 403 (D25).

The public answer names a claim at most, never a value. Challenges: RFC 6750, section 3; RFC 9470.
"""

from __future__ import annotations

from typing import NoReturn

from dmp_fhir.outcome import refuse

REALM = "dmp-fhir"
RETRY_AFTER_S = 5


def unauthorised(
    fr: str, en: str, *, code: str = "login", error: str | None = "invalid_token", reason: str | None = None
) -> NoReturn:
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
        reason=reason or ("JETON_EXPIRE" if code == "expired" else "JETON_INVALIDE" if error else "JETON_ABSENT"),
        rules=("D25",),
    )


def no_credentials() -> NoReturn:
    unauthorised(
        "Présenter un jeton d'accès : Authorization: Bearer …",
        "Present an access token: Authorization: Bearer ...",
        error=None,
    )


def malformed() -> NoReturn:
    unauthorised(
        "Le jeton d'accès n'est pas un JWT signé lisible : en demander un nouveau.",
        "The access token is not a readable signed JWT: ask for a new one.",
    )


def wrong_claim(name: str) -> NoReturn:
    unauthorised(
        f"Le jeton d'accès ne convient pas (information {name}) : en demander un nouveau.",
        f"The access token does not suit (claim {name}): ask for a new one.",
    )


def bad_signature() -> NoReturn:
    unauthorised(
        "La signature du jeton d'accès n'est pas celle d'un émetteur reconnu.",
        "The signature of the access token is not that of a trusted issuer.",
    )


def expired() -> NoReturn:
    unauthorised(
        "Le jeton d'accès a expiré : en demander un nouveau.",
        "The access token has expired: ask for a new one.",
        code="expired",
    )


def inactive() -> NoReturn:
    unauthorised(
        "L'émetteur du jeton d'accès dit qu'il n'est plus valable : en demander un nouveau.",
        "The issuer of the access token says that it is no longer good: ask for a new one.",
        reason="JETON_REVOQUE",
    )


def issuer_away() -> NoReturn:
    """503: whether the token is good can't be known now, so it is not (TF-070)."""
    refuse(
        503,
        "transient",
        "L'émetteur du jeton d'accès ne répond pas : recommencer dans quelques secondes.",
        "The issuer of the access token does not answer: try again in a few seconds.",
        rule="TF-070",
        headers=(("Retry-After", str(RETRY_AFTER_S)),),
        reason="EMETTEUR_INJOIGNABLE",
    )


def wrong_certificate(name: str) -> NoReturn:
    """The token is good, and somebody else's (RFC 8705, section 3; TF-068)."""
    unauthorised(
        f"Le jeton d'accès n'est utilisable qu'avec le certificat de son client ({name}).",
        f"The access token can only be used with the certificate of its client ({name}).",
        reason="CERTIFICAT_DIFFERENT",
    )


def insufficient_scope(scope: str) -> NoReturn:
    en = f"The token was not issued for this service: ask for the scope {scope}."
    challenge = f'Bearer realm="{REALM}", error="insufficient_scope", error_description="{en}", scope="{scope}"'
    refuse(
        403,
        "forbidden",
        f"Le jeton n'a pas été émis pour ce service : demander la portée {scope}.",
        en,
        rule="D25",
        headers=(("WWW-Authenticate", challenge),),
        reason="PORTEE_INSUFFISANTE",
        rules=("D25",),
    )


def stronger_authentication(acr_values: frozenset[str], max_age_s: int | None) -> NoReturn:
    """403 with what to ask the issuer for (TF-088); the challenge is that of RFC 9470."""
    en = "A stronger or more recent authentication is needed: log in again as the challenge asks."
    challenge = f'Bearer realm="{REALM}", error="insufficient_user_authentication", error_description="{en}"'
    if acr_values:
        challenge += f', acr_values="{" ".join(sorted(acr_values))}"'
    if max_age_s is not None:
        challenge += f', max_age="{max_age_s}"'
    refuse(
        403,
        "forbidden",
        "Une authentification plus forte ou plus récente est nécessaire : se reconnecter comme demandé.",
        en,
        rule="TF-088",
        headers=(("WWW-Authenticate", challenge),),
        reason="AUTHENTIFICATION_INSUFFISANTE",
    )


def client_refused(fr: str, en: str, reason: str) -> NoReturn:
    """403: the software, whoever holds it (TF-076)."""
    refuse(403, "forbidden", fr, en, rule="TF-076", reason=reason)
