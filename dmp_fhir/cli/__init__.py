"""dmp-fhir: the command of the operator and of the integrator."""

from __future__ import annotations

from dmp_fhir.cli.commands import main
from dmp_fhir.cli.policy import policy

main.add_command(policy)

__all__ = ["main"]
