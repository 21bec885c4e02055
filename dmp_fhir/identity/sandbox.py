"""The sandbox issuer: a key pair of our own and the cast of the demonstration world, to try the server without an
identity provider. A production server does not trust it (settings).
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.jwk import ECKey

from dmp_fhir.canonicals import TRE_G15, V3_ACT_REASON
from dmp_fhir.files import make_once

if TYPE_CHECKING:
    from dmp_fhir.identity.issuers import TrustedIssuer

ISSUER = "https://sandbox.dmp-fhir.example"
AUDIENCE = "https://dmp-fhir.example/fhir"
ALGORITHM = "ES256"
KEY_FILE = "sandbox-issuer.jwk.json"
LONGEST_LIFETIME_S = 4 * 3600
PURPOSES = {
    "normal": "TREAT",
    "bris_de_glace": "BTG",
    "centre_15": "ETREAT",
    "patient": "PATRQT",
    "systeme": "HOPERAT",
}


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody of the demonstration world who can ask for a token; `slug` names them on the command line."""

    slug: str
    category: str
    identifier: str
    name: str
    label: str
    auth_mode: str
    purpose: str = "normal"
    profession: str | None = None
    specialty: str | None = None
    structure: str | None = None
    structure_name: str | None = None
    practice_context: str | None = None
    regulation: bool = False
    person_id: str | None = None


@cache
def personas() -> Mapping[str, Persona]:
    """The cast, by slug, in the order of personas.json."""
    entries = json.loads(files("dmp_fhir.identity").joinpath("personas.json").read_bytes())
    return MappingProxyType({entry["slug"]: Persona(**entry) for entry in entries})


def structures() -> Mapping[str, str]:
    """The structures of the cast: Struct_IdNat and name."""
    return {each.structure: each.structure_name or "" for each in personas().values() if each.structure}


def claims_of(
    persona: Persona,
    *,
    now_ms: int,
    lifetime_s: int = 3600,
    purpose: str | None = None,
    reason: str | None = None,
    structure: str | None = None,
    person_id: str | None = None,
    auth_mode: str | None = None,
    secret: bool = False,
    patient_request: bool = False,
    patient_agreement: bool = False,
    ins_status: str | None = None,
    scope: str = "dmp",
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
    token_id: str | None = None,
    sid: str | None = None,
) -> dict[str, Any]:
    """The claims of a token for `persona`. KeyError for an unknown purpose."""
    iua: dict[str, Any] = {
        "subject_name": persona.name,
        "purpose_of_use": [{"system": V3_ACT_REASON, "code": PURPOSES[purpose or persona.purpose]}],
    }
    organisation = structure or persona.structure
    if organisation:
        iua["subject_organization_id"] = organisation
        if persona.structure_name and organisation == persona.structure:
            iua["subject_organization"] = persona.structure_name
    if persona.profession:
        iua["subject_role"] = [{"system": TRE_G15, "code": persona.profession}]
    if persona.category in ("PS", "PS_ROLE"):
        iua["national_provider_identifier"] = persona.identifier
    if person_id or persona.person_id:
        iua["person_id"] = person_id or persona.person_id
    fr_dmp: dict[str, Any] = {"category": persona.category, "auth_mode": auth_mode or persona.auth_mode}
    optional: dict[str, Any] = {
        "specialty": persona.specialty,
        "context": persona.practice_context,
        "btg_reason": reason,
        "ins_status": ins_status,
        "regulation": persona.regulation,
        "secret": secret,
        "patient_request": patient_request,
        "patient_agreement": patient_agreement,
    }
    fr_dmp |= {name: value for name, value in optional.items() if value}
    now_s = now_ms // 1000
    return {
        "iss": issuer,
        "sub": persona.identifier,
        "aud": audience,
        "client_id": "dmp-fhir-sandbox",
        "jti": token_id or secrets.token_urlsafe(16),
        "iat": now_s,
        "exp": now_s + lifetime_s,
        "scope": scope,
        **({"sid": sid} if sid else {}),
        "extensions": {"ihe_iua": iua, "fr_dmp": fr_dmp},
    }


class Sandbox:
    """The sandbox issuer of one folder: its ES256 key pair is created there on first use, for its owner only."""

    def __init__(self, folder: Path, *, issuer: str = ISSUER, audience: str = AUDIENCE) -> None:
        self.issuer = issuer
        self.audience = audience
        self._key = _key_pair(folder)
        self._kid = _thumbprint(self._key)

    def issue(self, persona: Persona | str, *, now_ms: int, **claims: Any) -> str:
        """A signed token for a persona or its slug; keywords are those of `claims_of`. KeyError when unknown."""
        who = personas()[persona] if isinstance(persona, str) else persona
        return self.sign(claims_of(who, now_ms=now_ms, issuer=self.issuer, audience=self.audience, **claims))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Any claims, signed with the sandbox key."""
        header = {"alg": ALGORITHM, "kid": self._kid, "typ": "at+jwt"}
        return jwt.encode(header, dict(claims), self._key, algorithms=[ALGORITHM])

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK Set (RFC 7517)."""
        return {"keys": [{**self._key.as_dict(private=False), "kid": self._kid, "alg": ALGORITHM, "use": "sig"}]}

    def trusted(self) -> TrustedIssuer:
        """What a verifier needs to accept the tokens of this sandbox."""
        # Imported here: whoever only signs a token needs no verifier.
        from dmp_fhir.identity.issuers import TrustedIssuer
        from dmp_fhir.identity.keys import keys_of

        return TrustedIssuer(self.issuer, self.audience, keys_of(self.jwks()))


def _thumbprint(key: ECKey) -> str:
    public = key.as_dict(private=False)
    canonical = json.dumps({name: public[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return urlsafe_b64encode(sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def _key_pair(folder: Path) -> ECKey:
    """The key pair of the folder, created when it is not there: several processes may start at once, the first wins."""
    path = folder / KEY_FILE
    if not path.exists():
        make_once(path, json.dumps(ECKey.generate_key("P-256", private=True).as_dict(private=True)).encode())
    return ECKey.import_key(json.loads(path.read_bytes()))
