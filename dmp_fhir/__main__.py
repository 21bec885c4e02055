"""`python -m dmp_fhir` is `dmp-fhir`."""

from dmp_fhir.cli import main

if __name__ == "__main__":
    main(prog_name="dmp-fhir")
