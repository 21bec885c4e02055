"""The access context: everything the policy knows about a caller, built once per request."""

from __future__ import annotations

from dataclasses import dataclass

INS_STATUSES = frozenset({"QUALIFIEE", "VALIDEE", "RECUPEREE", "PROVISOIRE"})
"""What a software may say of the INS it uses (AR-19)."""


@dataclass(frozen=True, slots=True)
class Software:
    """The software in the caller's hands (VIHF LPS_Nom, LPS_Version, LPS_ID, LPS_ID_HOMOLOGATION_DMP)."""

    name: str | None = None
    version: str | None = None
    id: str | None = None
    approval: str | None = None


@dataclass(frozen=True, slots=True)
class AccessContext:
    """Who asks, on whose behalf, by what means and why.

    `actor_category` is one of PS, PS_ROLE, STRUCTURE, CPE, PATIENT, REPRESENTANT, AIDANT, AM_SYSTEM, SUPPORT, SERVICE,
    TIERS_EXCLU. `actor_id` is the national identifier: PS_IdNat for a professional (`8` + RPPS), Struct_IdNat for a
    structure, the INS matricule for a patient or a representative. `structure` is the Struct_IdNat of the practice in
    use. `auth_mode` is CPS, AIR, INDIRECTE, CPE, PORTAIL or SYSTEME. `purpose` is normal, bris_de_glace, centre_15,
    patient or systeme. `person_id` is the INS the token is bound to, as `system|value`, when it is. `reason` is the
    motive of an emergency access.

    `relation` is that of the caller to the patient: self, representative or aidant; None for professionals. `sector`
    is a TRE_R02 code (SA07), `role` that of the practice situation, `auth_level` what the issuer says of the strength
    of the authentication (acr, Palier_Authentification). `session` is the issuer's session, or the token when it
    names none. `certificate` is the x5t#S256 of the client certificate that the caller was known by, None without
    one.
    """

    actor_category: str
    actor_id: str
    actor_name: str
    auth_mode: str
    purpose: str = "normal"
    profession: str | None = None
    specialty: str | None = None
    structure: str | None = None
    structure_name: str | None = None
    practice_context: str | None = None
    regulation: bool = False
    reason: str | None = None
    secret: bool = False
    patient_agreement: bool = False
    patient_request: bool = False
    person_id: str | None = None
    represented_by: str | None = None
    ins_status: str = "QUALIFIEE"
    client_id: str | None = None
    token_id: str | None = None
    issuer: str | None = None
    scopes: frozenset[str] = frozenset()
    origin: str | None = None
    sector: str | None = None
    role: str | None = None
    auth_level: str | None = None
    relation: str | None = None
    software: Software | None = None
    session: str | None = None
    certificate: str | None = None

    @property
    def login(self) -> str:
        """What an emergency grant is bound to (AR-50): the session, in which tokens follow each other, or the token."""
        return self.session or self.token_id or ""
