"""Rules CDA-01 … CDA-24: a CDA R2 document and its DocumentReference say the same thing.

Facts: CI-SIS « Structuration minimale de documents de santé » (header), PDSm and the DMP's mapping of a CDA header to
XDS and FHIR metadata. Why most differences are warnings by default: docs/decisions/0028-cda-headers.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmp_fhir.outcome import Issue

XDS_METADATA, XDS_CONTENT = "XDSRepositoryMetadataError", "InvalidDocumentContent"
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class CdaRule:
    """`fr` and `en` say what must be true; `refuses` whether a difference refuses the document by default."""

    id: str
    fr: str
    en: str
    code: str
    xds: str | None = None
    refuses: bool = False


# fmt: off
RULES: Mapping[str, CdaRule] = {rule.id: rule for rule in (
    CdaRule("CDA-01", "Un document XML est bien formé et sans DTD ; un CDA contient un seul ClinicalDocument",
            "An XML document is well-formed and has no DTD; a CDA holds exactly one ClinicalDocument",
            "structure", XDS_CONTENT, refuses=True),
    CdaRule("CDA-02", "Un CDA est en UTF-8, et son contentType est celui de sa forme",
            "A CDA is in UTF-8, and its contentType is that of its shape", "value", XDS_METADATA),
    CdaRule("CDA-03", "L'en-tête du CDA porte les éléments que le CI-SIS exige",
            "The header of the CDA has the elements that the CI-SIS requires", "required", XDS_CONTENT),
    CdaRule("CDA-04", "masterIdentifier est l'identifiant du CDA",
            "masterIdentifier is the id of the CDA", "invariant", XDS_METADATA, refuses=True),
    CdaRule("CDA-05", "Le CDA porte un matricule INS du patient de la fiche, sous le même OID",
            "The CDA has an INS number of the patient of the DocumentReference, under the same OID",
            "business-rule", "XDSPatientIdDoesNotMatch", refuses=True),
    CdaRule("CDA-06", "Les traits du patient dans la fiche sont ceux du CDA, où les traits INS sont tous là",
            "The traits of the patient in the DocumentReference are those of the CDA, where all INS traits are there",
            "invariant", XDS_METADATA),
    CdaRule("CDA-07", "type est le code du CDA", "type is the code of the CDA", "code-invalid", XDS_METADATA,
            refuses=True),
    CdaRule("CDA-08", "Le titre de la fiche est celui du CDA",
            "The title of the DocumentReference is that of the CDA", "invariant"),
    CdaRule("CDA-09", "attachment.creation est la date du CDA (effectiveTime)",
            "attachment.creation is the date of the CDA (effectiveTime)", "invariant", XDS_METADATA),
    CdaRule("CDA-10", "securityLabel contient la confidentialité du CDA",
            "securityLabel has the confidentiality of the CDA", "invariant"),
    CdaRule("CDA-11", "attachment.language est la langue du CDA",
            "attachment.language is the language of the CDA", "invariant"),
    CdaRule("CDA-12", "Les auteurs de la fiche sont ceux du CDA",
            "The authors of the DocumentReference are those of the CDA", "invariant", XDS_METADATA),
    CdaRule("CDA-13", "Les structures des auteurs de la fiche sont celles du CDA",
            "The authors' organizations in the DocumentReference are those of the CDA", "invariant", XDS_METADATA),
    CdaRule("CDA-14", "custodian est la structure conservatrice du CDA",
            "custodian is the custodian of the CDA", "invariant"),
    CdaRule("CDA-15", "authenticator est le responsable légal du CDA (legalAuthenticator)",
            "authenticator is the legalAuthenticator of the CDA", "invariant", XDS_METADATA),
    CdaRule("CDA-16", "Les identifiants de context.related sont dans le CDA (prescription, examen, venue)",
            "The identifiers of context.related are in the CDA (order, accession, study, stay)", "invariant"),
    CdaRule("CDA-17", "context.period est la période de l'acte du CDA (serviceEvent)",
            "context.period is the period of the act of the CDA (serviceEvent)", "invariant"),
    CdaRule("CDA-18", "practiceSetting est le cadre d'exercice du CDA",
            "practiceSetting is that of the CDA", "code-invalid", XDS_METADATA),
    CdaRule("CDA-19", "facilityType est le secteur d'activité du CDA",
            "facilityType is that of the CDA", "code-invalid", XDS_METADATA),
    CdaRule("CDA-20", "Les actes de context.event sont dans le CDA (serviceEvent/code)",
            "The acts of context.event are in the CDA (serviceEvent/code)", "code-invalid"),
    CdaRule("CDA-21", "relatesTo replaces désigne le document que le CDA remplace (relatedDocument RPLC)",
            "relatesTo replaces names the document that the CDA replaces (relatedDocument RPLC)", "conflict",
            XDS_METADATA),
    CdaRule("CDA-22", "format est celui du modèle ou du corps du CDA",
            "format is that of the template or the body of the CDA", "code-invalid", XDS_METADATA),
    CdaRule("CDA-23", "Un dossier a un seul document par setId et versionNumber : augmentez versionNumber",
            "A record has one document per setId and versionNumber: raise versionNumber", "duplicate",
            "XDSRegistryMetadataError", refuses=True),
    CdaRule("CDA-24", "La nouvelle version garde le setId du CDA remplacé et augmente versionNumber",
            "The new version keeps the setId of the replaced CDA and raises versionNumber", "conflict"),
)}
# fmt: on

OFF, STANDARD, STRICT = "off", "standard", "strict"


def refusing(setting: str) -> frozenset[str] | None:
    """The rules whose breach refuses the document under a setting: `standard`, `strict`, or rule ids with commas
    between. None for `off`: nothing but CDA-01 is looked at. Raises ValueError for what is none of these."""
    if setting == OFF:
        return None
    if setting == STANDARD:
        return frozenset(each.id for each in RULES.values() if each.refuses)
    if setting == STRICT:
        return frozenset(RULES)
    named = frozenset(each.strip() for each in setting.split(","))
    if not named <= RULES.keys():
        raise ValueError(f"{', '.join(sorted(named - RULES.keys()))} is no rule on CDA")
    return named | {"CDA-01"}


@dataclass(frozen=True, slots=True)
class Saying:
    """What one side says: a text in both languages, and where in the CDA (XPath and line)."""

    fr: str
    en: str
    where: str = ""
    line: int | None = None


def said(text: str, where: str = "", line: int | None = None) -> Saying:
    """A value as it stands; long ones are cut."""
    shown = " ".join(text.split())
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    return Saying(f"« {shown} »", f"'{shown}'", where, line)


def absent(where: str = "", line: int | None = None) -> Saying:
    return Saying("rien", "nothing", where, line)


def breach(rule: str, errors: frozenset[str], expression: str, cda: Saying, metadata: Saying | None = None) -> Issue:
    """The issue of a rule: what must be true, what the CDA says and where, what the metadata say at `expression`."""
    stated = RULES[rule]
    place_fr = f" ({cda.where}{f', ligne {cda.line}' if cda.line else ''})" if cda.where else ""
    place_en = f" ({cda.where}{f', line {cda.line}' if cda.line else ''})" if cda.where else ""
    fr = f"{stated.fr} ; dans le CDA{place_fr} : {cda.fr}"
    en = f"{stated.en}; in the CDA{place_en}: {cda.en}"
    if metadata:
        fr += f" ; dans la fiche : {metadata.fr}"
        en += f"; in the DocumentReference: {metadata.en}"
    severity = "error" if rule in errors else "warning"
    return Issue(severity, stated.code, f"{fr}.", f"{en}.", expression, rule, stated.xds)
