"""A CDA R2 document against its DocumentReference: every difference is named with its two places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.cda_comparison import differences, said_at
from dmp_fhir.profiles.cda_header import Header, UnreadableCda, key, read_cda
from dmp_fhir.profiles.cda_rules import STANDARD, Saying, absent, breach, refusing, said
from dmp_fhir.profiles.named import Named, identifier_key
from dmp_fhir.profiles.terminology import is_cda_format

Tree = dict[str, Any]

_XML_TYPES = frozenset({"text/xml", "application/xml", "application/xslt+xml"})
_CDA_R2 = "POCD_HD000040"


@dataclass(frozen=True, slots=True)
class Examined:
    """What a payload is: `header` when it is a CDA that can be read, and the issues of everything but the patient,
    the replaced document and other versions, which need more than the two sides. `declared` when its format, or its
    own typeId, says that it is a CDA: then it must say whose it is, which and of what type."""

    header: Header | None
    issues: list[Issue]
    errors: frozenset[str]
    declared: bool


def examine(tree: Tree, content: bytes, expression: str, setting: str = STANDARD) -> Examined:
    """Compare the payload of `content[0]` of a DocumentReference, a valid R4 resource at `expression`, with it.
    `setting` is that of `cda_rules.refusing`."""
    chosen = refusing(setting)
    errors = frozenset({"CDA-01"}) if chosen is None else chosen
    first = (tree.get("content") or [{}])[0]
    attachment = first.get("attachment", {})
    content_type = attachment.get("contentType", "").partition(";")[0].strip().lower()
    declared = is_cda_format(first.get("format", {}).get("code", ""))
    where = f"{expression}.content[0].attachment"
    if content_type not in _XML_TYPES:
        issues = []
        if declared and chosen is not None:
            shape = Saying("un format de CDA", "a CDA format")
            issues.append(breach("CDA-02", errors, f"{where}.contentType", shape, said(content_type)))
        return Examined(None, issues, errors, declared)
    try:
        header = read_cda(content)
    except UnreadableCda as fault:
        unreadable = breach("CDA-01", errors, where, Saying(fault.fr, fault.en, "/", fault.line))
        return Examined(None, [unreadable], errors, declared)
    if header is None and declared:
        return Examined(None, [breach("CDA-01", errors, where, absent("//ClinicalDocument"))], errors, declared)
    if header is None or chosen is None:
        return Examined(None, [], errors, declared)
    type_id = header.first("typeId")
    declared = declared or (type_id is not None and type_id.get("extension") == _CDA_R2)
    issues = differences(tree, header, expression, errors, declared, content_type)
    return Examined(header, issues, errors, declared)


def patient_issues(examined: Examined, expression: str, known: Iterable[str]) -> list[Issue]:
    """CDA-05, when `known` are the keys of the INS numbers of the patient, as metadata or record tell them."""
    header = examined.header
    if header is None:
        return []
    ids = header.all("recordTarget/patientRole/id")
    numbers = {found: each for each in ids if (found := key(each)) and found.partition("|")[0] in INS_SYSTEMS}
    if not numbers:
        if not examined.declared:
            return []  # CDA-03 tells it
        nothing = absent("/ClinicalDocument/recordTarget/patientRole/id")
        return [breach("CDA-05", examined.errors, f"{expression}.subject", nothing)]
    if numbers.keys() & set(known):
        return []
    found, element = next(iter(numbers.items()))
    other = Saying("un autre patient", "another patient")
    return [breach("CDA-05", examined.errors, f"{expression}.subject", said_at(element, found), other)]


def replacement_issues(examined: Examined, expression: str, replaced: Iterable[str]) -> list[Issue]:
    """CDA-21, when `replaced` are the uniqueIds (keys) of the documents that the metadata replace."""
    header, expected = examined.header, set(replaced)
    if header is None:
        return []
    parents = {
        found: each
        for related in header.all("relatedDocument")
        if related.get("typeCode") == "RPLC"
        for each in related.findall("{*}parentDocument/{*}id")
        if (found := key(each))
    }
    if parents.keys() == expected or (not expected and not parents):
        return []
    where = f"{expression}.relatesTo"
    metadata = said(", ".join(sorted(expected))) if expected else absent()
    if not parents:
        nothing = absent("/ClinicalDocument/relatedDocument[@typeCode='RPLC']/parentDocument/id")
        return [breach("CDA-21", examined.errors, where, nothing, metadata)]
    found, element = next(((k, e) for k, e in parents.items() if k not in expected), next(iter(parents.items())))
    return [breach("CDA-21", examined.errors, where, said_at(element, found), metadata)]


def replaced_keys(tree: Tree) -> list[str] | None:
    """The uniqueIds that relatesTo replaces; None when one is named by address only."""
    targets = [each.get("target", {}) for each in tree.get("relatesTo", []) if each.get("code") == "replaces"]
    keys = [identifier_key(each.get("identifier", {})) for each in targets]
    return None if None in keys else [each for each in keys if each]


def stated_issues(examined: Examined, tree: Tree, expression: str) -> list[Issue]:
    """Patient and replaced document as the metadata alone state them, where no record is at hand (`$validate`)."""
    matricules, replaced = Named(tree).matricules(), replaced_keys(tree)
    issues = patient_issues(examined, expression, matricules) if matricules else []
    return issues + (replacement_issues(examined, expression, replaced) if replaced is not None else [])
