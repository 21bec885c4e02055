"""dmp-fhir: the command of the operator and of the integrator."""

from __future__ import annotations

from dmp_fhir.cli.audit import audit
from dmp_fhir.cli.backups import backup, restore, verify_backup
from dmp_fhir.cli.barometer import barometer
from dmp_fhir.cli.callers import callers
from dmp_fhir.cli.commands import main
from dmp_fhir.cli.identifiers import identifier
from dmp_fhir.cli.keys import keys
from dmp_fhir.cli.operator import jobs, matrix, record, review
from dmp_fhir.cli.policy import policy
from dmp_fhir.cli.safety import safety
from dmp_fhir.cli.sandbox import sandbox
from dmp_fhir.cli.validation import profiles_group, validate
from dmp_fhir.conformance.cli import conformance

policy.add_command(matrix)
COMMANDS = (
    audit,
    backup,
    barometer,
    conformance,
    identifier,
    jobs,
    keys,
    policy,
    profiles_group,
    record,
    restore,
    review,
    safety,
    sandbox,
    validate,
    verify_backup,
)
for command in COMMANDS:
    main.add_command(command)
main.add_command(callers)

__all__ = ["main"]
