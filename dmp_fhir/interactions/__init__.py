"""What a client can do: one module per FHIR or IHE act, plain functions over dataclasses and resource trees."""
