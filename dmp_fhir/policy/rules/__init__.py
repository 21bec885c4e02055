"""The access rules, one small module per family; dmp_fhir/policy/engine.py puts them in order."""
