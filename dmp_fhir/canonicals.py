"""Canonical addresses and naming systems, ours and other people's, each in one place (D23)."""

from __future__ import annotations

PROJECT = "https://dmp-fhir.example/fhir"
RULE_SYSTEM = f"{PROJECT}/CodeSystem/rule"
CONSENT_KIND_SYSTEM = f"{PROJECT}/CodeSystem/consent-kind"
ACCESS_STATUS_SYSTEM = f"{PROJECT}/CodeSystem/access-status"
XDS_ERROR_SYSTEM = "urn:ihe:iti:tf-3:4.2.4.1-2"

URI = "urn:ietf:rfc:3986"
LOINC = "http://loinc.org"
V3_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
V3_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
TRE_A07 = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
TRE_A08 = "https://mos.esante.gouv.fr/NOS/TRE_A08-HL7Confidentiality/FHIR/TRE-A08-HL7Confidentiality"
TRE_G16 = "https://mos.esante.gouv.fr/NOS/TRE_G16-ProfessionFormation/FHIR/TRE-G16-ProfessionFormation"
TRE_G15 = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
MHD_LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"

INS_NIR = "urn:oid:1.2.250.1.213.1.4.8"
INS_NIA = "urn:oid:1.2.250.1.213.1.4.9"
INS_NIR_TEST = "urn:oid:1.2.250.1.213.1.4.10"
INS_NIR_DEMO = "urn:oid:1.2.250.1.213.1.4.11"
INS_SYSTEMS = frozenset({INS_NIR, INS_NIA, INS_NIR_TEST, INS_NIR_DEMO})
IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
IDNST = "urn:oid:1.2.250.1.71.4.2.2"
RPPS = "https://rpps.esante.gouv.fr"

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm"
MHD = "https://profiles.ihe.net/ITI/MHD"
DMP = "https://interop.esante.gouv.fr/ig/fhir/dmp"

EXT_IS_ARCHIVED = f"{PDSM}/StructureDefinition/pdsm-ext-is-archived"
EXT_DESIGNATION_TYPE = f"{MHD}/StructureDefinition/ihe-designationType"
EXT_SOURCE_ID = f"{MHD}/StructureDefinition/ihe-sourceId"
EXT_AUTHOR_ORG = f"{MHD}/StructureDefinition/ihe-authorOrg"
EXT_RENEWED_BY_USE = f"{PROJECT}/StructureDefinition/renewed-by-use"
EXT_CLOSURE = f"{DMP}/StructureDefinition/dmp-fermeture"
EXT_LINKED_TO_MES = f"{DMP}/StructureDefinition/dmp-rattachement-mes"
EXT_TREATING_PHYSICIAN = f"{DMP}/StructureDefinition/dmp-medecin-traitant"

PROFILE_COMPREHENSIVE = f"{PDSM}/StructureDefinition/pdsm-comprehensive-document-reference"
PROFILE_SIMPLIFIED = f"{PDSM}/StructureDefinition/pdsm-simplified-publish"
PROFILE_SUBMISSION_SET = f"{PDSM}/StructureDefinition/pdsm-submissionset-comprehensive"
PROFILE_FOLDER = f"{PDSM}/StructureDefinition/pdsm-folder-comprehensive"
PROFILE_PROVIDE_BUNDLE = f"{PDSM}/StructureDefinition/pdsm-comprehensive-provide-document-bundle"

MASK_PROFESSIONALS = "MASQUE_PS"
HIDE_PATIENT = "INVISIBLE_PATIENT"
HIDE_REPRESENTATIVES = "INVISIBLE_REPRESENTANTS_LEGAUX"
