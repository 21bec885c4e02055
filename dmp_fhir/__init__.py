"""dmp-fhir: a document registry server for the French shared medical record, in HL7 FHIR R4."""

__version__ = "0.1.0"
