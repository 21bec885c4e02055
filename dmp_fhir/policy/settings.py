"""What an operator may want otherwise in the rules (docs/decisions): one frozen value, handed to every decision."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmp_fhir.policy.matrix import Matrix, packaged


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """`matrix` is the habilitation matrix in force (AR-58, D32); `synthesis_author` who deposits the synthèse médicale:
    treating-physician, physician or any (AR-39, D19); `role_professionals` whether social and medico-social
    professionals may be authorised (AR-89); `indirect_visibility` whether a professional authenticated by AIR may
    change the visibility of a document (AR-18, D21); `minors` whether the secret connection of minors exists, and
    `majority_age` in years (AR-80, AR-83). Lengths (D20): `permit_months` of a personal or team authorisation that
    states no end, `outsider_hours` when its holder is outside the declared care team, `emergency_hours` of a
    break-glass or regulation grant (AR-50).
    """

    matrix: Matrix = field(default_factory=packaged)
    synthesis_author: str = "treating-physician"
    role_professionals: bool = True
    indirect_visibility: bool = False
    minors: bool = True
    majority_age: int = 18
    permit_months: int = 12
    outsider_hours: int = 24
    emergency_hours: int = 24


DEFAULT_SETTINGS = PolicySettings()
