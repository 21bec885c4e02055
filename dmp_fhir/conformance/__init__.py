"""The conformance suite: does a server do what PDSm, IHE MHD and FHIR ask of a document registry?

It talks HTTP to any server and imports nothing of ours; scenarios are data (`scenarios/`), docs/conformance.md tells
their language.
"""
