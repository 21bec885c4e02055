"""Asking the issuer about a token: is it still good (introspection), and whose is it (userinfo).

Introspection: RFC 7662, IHE IUA [ITI-102]
https://profiles.ihe.net/ITI/IUA/index.html#3102-introspect-token-iti-102 . Userinfo: OpenID Connect Core, section 5.3.
Whatever is not a clear yes is no (TF-070): `Inactive` when the issuer says so, `Unreachable` when it says nothing
usable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dmp_fhir.identity.outbound import Outbound, Unreachable

LONGEST_RECHECK_S = 1800
"""A token is asked about again after 30 minutes at most (TF-071)."""


class Inactive(Exception):
    """The issuer says that the token is not good, or no longer."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """The introspection endpoint of an issuer; a positive answer is relied on for `recheck_s` seconds."""

    service: Outbound
    recheck_s: int = 300

    def ask(self, token: str) -> dict[str, Any]:
        """What the issuer says of an active token. Raises Inactive, Unreachable."""
        answer = self.service.post({"token": token, "token_type_hint": "access_token"})
        active = answer.get("active")
        if not isinstance(active, bool):
            raise Unreachable("active is not a boolean")
        if not active:
            raise Inactive
        return answer


@dataclass(frozen=True, slots=True)
class Userinfo:
    """The userinfo endpoint of an identity provider; what it says is relied on for `recheck_s` seconds."""

    service: Outbound
    recheck_s: int = 300

    def ask(self, token: str) -> dict[str, Any]:
        """The claims about the holder of an access token. Raises Inactive, Unreachable."""
        try:
            return self.service.get({"Authorization": f"Bearer {token}"})
        except Unreachable as fault:
            if fault.status in (401, 403):
                raise Inactive from fault
            raise
