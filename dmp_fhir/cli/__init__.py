"""dmp-fhir: the command of the operator and of the integrator."""

from __future__ import annotations

from dmp_fhir.cli.commands import main
from dmp_fhir.cli.policy import policy
from dmp_fhir.cli.validation import profiles_group, validate

main.add_command(policy)
main.add_command(validate)
main.add_command(profiles_group)

__all__ = ["main"]
