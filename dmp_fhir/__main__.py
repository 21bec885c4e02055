"""`python -m dmp_fhir` is `dmp-fhir`."""

from dmp_fhir.cli import main

main(prog_name="dmp-fhir")
