"""A CDA R2 document against its DocumentReference: every difference is named with its two places.

The mapping of a CDA header to the metadata is that of the DMP (CI-SIS volet Partage de documents, PDSm). What the
metadata leave out is not asked for here: that is the matter of their profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from dmp_fhir.canonicals import INS_SYSTEMS, LOINC, TRE_A08, URI, V3_CONFIDENTIALITY
from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.cda_header import (
    Header,
    UnreadableCda,
    below,
    is_utf8,
    key,
    read_cda,
    text_of,
    time_interval,
    xpath,
)
from dmp_fhir.profiles.cda_rules import STANDARD, Saying, absent, breach, refusing, said
from dmp_fhir.profiles.cda_traits import missing_traits, trait_differences
from dmp_fhir.profiles.named import Named, identifier_key
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.profiles.terminology import NOS, format_of_template, is_cda_format

Tree = dict[str, Any]

_XML_TYPES = frozenset({"text/xml", "application/xml", "application/xslt+xml"})
_SELF_PRESENTING = "application/xslt+xml"
_CDA_R2 = "POCD_HD000040"
# Where a header has the identifiers of XDS referenceIdList (JDV_J197), by type.
_RELATED = {
    "urn:ihe:iti:xds:2013:order": "inFulfillmentOf/order/id",
    "urn:ihe:iti:xds:2013:accession": "inFulfillmentOf/order/{urn:dicom-org:ps3-20}accessionNumber",
    "urn:ihe:iti:xds:2016:studyInstanceUID": "documentationOf/serviceEvent/id",
    "urn:ihe:iti:xds:2015:encounterId": "componentOf/encompassingEncounter/id",
}
# Code systems of a header by OID, and the systems that say the same in FHIR; an OID that isn't here is not compared.
_SYSTEMS: dict[str, tuple[str, ...]] = {
    "2.16.840.1.113883.6.1": (LOINC,),
    "2.16.840.1.113883.5.25": (V3_CONFIDENTIALITY, TRE_A08),
    "2.16.840.1.113883.6.3": ("http://hl7.org/fhir/sid/icd-10",),
    "2.16.840.1.113883.6.96": ("http://snomed.info/sct",),
    "1.2.250.1.213.1.1.4.12": (f"{NOS}/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire",),
    "1.2.250.1.213.1.1.4.6": (f"{NOS}/TRE_A00-ProducteurDocNonPS/FHIR/TRE-A00-ProducteurDocNonPS",),
    "1.2.250.1.213.1.1.4.9": (f"{NOS}/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice",),
    "1.2.250.1.71.4.2.4": (f"{NOS}/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite",),
}
# Format of an unstructured body by its media type (IHE XDS-SD and its French extension).
_BODY_FORMATS = {
    "application/pdf": "urn:ihe:iti:xds-sd:pdf:2008",
    "text/plain": "urn:ihe:iti:xds-sd:text:2008",
    "text/rtf": "urn:ihe:iti-fr:xds-sd:rtf:2010",
    "application/rtf": "urn:ihe:iti-fr:xds-sd:rtf:2010",
    "image/jpeg": "urn:ihe:iti-fr:xds-sd:jpeg:2010",
    "image/tiff": "urn:ihe:iti-fr:xds-sd:tiff:2010",
}
_TEMPLATES = {"2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1"}
# Elements of the header that no rule but CDA-03 asks for, and the attribute that carries the value.
_REQUIRED = {
    "title": None,
    "effectiveTime": "value",
    "confidentialityCode": "code",
    "languageCode": "code",
    "setId": "root",
    "versionNumber": "value",
    "author": None,
    "custodian": None,
    "legalAuthenticator": None,
    "documentationOf": None,
    "componentOf": None,
    "component": None,
}


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
        return Examined(
            None,
            [breach("CDA-01", errors, where, Saying(fault.fr, fault.en, "/", fault.line))],
            errors,
            declared,
        )
    if header is None and declared:
        return Examined(None, [breach("CDA-01", errors, where, absent("//ClinicalDocument"))], errors, declared)
    if header is None or chosen is None:
        return Examined(None, [], errors, declared)
    type_id = header.first("typeId")
    declared = declared or (type_id is not None and type_id.get("extension") == _CDA_R2)
    comparison = _Comparison(tree, header, expression, errors, declared, content_type)
    return Examined(header, [issue for check in _CHECKS for issue in check(comparison)], errors, declared)


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
    return [
        breach(
            "CDA-05", examined.errors, f"{expression}.subject", said(found, xpath(element), element.sourceline), other
        )
    ]


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
    return [breach("CDA-21", examined.errors, where, _saying(element, found), metadata)]


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


def _saying(element: etree._Element, text: str, attribute: str = "") -> Saying:
    return said(text, xpath(element, attribute), element.sourceline)


class _Comparison:
    """The two sides. Each check below looks at one element of the metadata."""

    def __init__(
        self, tree: Tree, header: Header, expression: str, errors: frozenset[str], declared: bool, content_type: str
    ) -> None:
        self.tree, self.header, self.expression = tree, header, expression
        self.errors, self.declared, self.content_type = errors, declared, content_type
        self.named = Named(tree)
        self.attachment: Tree = tree["content"][0].get("attachment", {})
        self.context: Tree = tree.get("context", {})

    def breach(self, rule: str, path: str, cda: Saying, metadata: Saying | None = None) -> Issue:
        return breach(rule, self.errors, f"{self.expression}.{path}", cda, metadata)

    def value(self, rule: str, path: str, expected: str | None, at: str, attribute: str) -> Iterator[Issue]:
        """An attribute of the header that must be equal, whatever its case. What the header lacks is CDA-03's."""
        element = self.header.first(at)
        if not expected or element is None or not element.get(attribute, "").strip():
            return
        found = element.get(attribute, "").strip()
        if found.casefold() != expected.strip().casefold():
            yield self.breach(rule, path, _saying(element, found, attribute), said(expected))

    def moment(self, rule: str, path: str, expected: str | None, element: etree._Element | None) -> Iterator[Issue]:
        """A time stamp of the header that must be a moment of the metadata, at the coarser precision of the two."""
        found = "" if element is None else element.get("value", "").strip()
        if not expected or element is None or not found:
            return
        ours = date_interval(expected)
        try:
            theirs = time_interval(found)
        except ValueError:
            theirs = (0, 0)
        if max(ours[0], theirs[0]) >= min(ours[1], theirs[1]):
            yield self.breach(rule, path, _saying(element, found, "value"), said(expected))

    def coded(self, rule: str, path: str, concepts: list[Tree], elements: list[etree._Element]) -> Iterator[Issue]:
        """Each concept of the metadata must be one of the codes of the CDA; concepts without codes say nothing."""
        for n, concept in enumerate(concepts):
            codings = [each for each in concept.get("coding", []) if each.get("code")]
            if not codings or any(_same_code(each, element) for each in codings for element in elements):
                continue
            place = path.replace("[]", f"[{n}]")
            expected = said(_code(codings[0].get("system", ""), codings[0]["code"]))
            coded = next((each for each in elements if each.get("code")), None)
            if coded is None:
                yield self.breach(rule, place, absent(), expected)
            else:
                shown = _code(coded.get("codeSystem", ""), coded.get("code", ""))
                yield self.breach(rule, place, _saying(coded, shown, "code"), expected)

    def identified(
        self, rule: str, path: str, expected: set[str], found: dict[str, etree._Element], at: str
    ) -> Iterator[Issue]:
        """One identity on both sides."""
        if not expected or expected & found.keys():
            return
        metadata = said(", ".join(sorted(expected)))
        if not found:
            yield self.breach(rule, path, absent(f"/ClinicalDocument/{at}"), metadata)
        else:
            number, element = next(iter(found.items()))
            yield self.breach(rule, path, _saying(element, number), metadata)


def _same_code(coding: Tree, element: etree._Element) -> bool:
    if coding["code"] != element.get("code", "").strip():
        return False
    oid, system = element.get("codeSystem", "").strip(), coding.get("system", "")
    return not system or system == f"urn:oid:{oid}" or system in _SYSTEMS.get(oid, (system,))


def _code(system: str, code: str) -> str:
    return f"{system}|{code}" if system else code


# --- one check per element ------------------------------------------------------------------------


def _shape(pair: _Comparison) -> Iterator[Issue]:
    header, where = pair.header, "content[0].attachment.contentType"
    if not is_utf8(header):
        yield pair.breach("CDA-02", where, said(header.encoding, "/", 1))
    if (header.shape == "self-presenting") != (pair.content_type == _SELF_PRESENTING):
        root = header.document.getroottree().getroot()
        yield pair.breach("CDA-02", where, _saying(root, xpath(root)), said(pair.content_type))


def _complete(pair: _Comparison) -> Iterator[Issue]:
    header = pair.header
    missing = [name for name, attribute in _REQUIRED.items() if not _is_there(header.first(name), attribute)]
    if header.first("versionNumber") is not None and header.version is None and "versionNumber" not in missing:
        missing.append("versionNumber")
    realm = header.first("realmCode")
    if realm is None or realm.get("code") != "FR":
        missing.insert(0, "realmCode[@code='FR']")
    templates = {each.get("root") for each in header.all("templateId")}
    missing += [f"templateId[@root='{each}']" for each in sorted(_TEMPLATES - templates)]
    if not pair.declared:
        # A document that is not announced as a CDA is not refused for what it does not say.
        for name, found in (
            ("id", header.keys("id")),
            ("recordTarget/patientRole/id", header.keys("recordTarget/patientRole/id")),
            ("code", _is_there(header.first("code"), "code")),
        ):
            if not found:
                missing.append(name)
    if missing:
        names = ", ".join(missing)
        lacking = Saying(f"il manque {names}", f"{names} missing", xpath(header.document), header.document.sourceline)
        yield pair.breach("CDA-03", "content[0].attachment", lacking)


def _is_there(element: etree._Element | None, attribute: str | None) -> bool:
    if element is None or element.get("nullFlavor"):
        return False
    return bool(element.get(attribute, "").strip()) if attribute else bool(len(element) or (element.text or "").strip())


def _unique_id(pair: _Comparison) -> Iterator[Issue]:
    master = pair.tree.get("masterIdentifier", {})
    if not master.get("value"):
        return
    found = pair.header.keys("id")
    if found or pair.declared:
        yield from pair.identified("CDA-04", "masterIdentifier", _spellings(master), found, "id")


def _spellings(master: Tree) -> set[str]:
    """A uniqueId as a key: `urn:oid:root`, `urn:oid:root|extension`; XDS writes `root^extension`."""
    value = master["value"].strip().replace("^", "|")
    if value.startswith("urn:uuid:"):
        value = value.lower()
    system = master.get("system", "")
    return {value} if system in ("", URI) else {f"{system}|{value}"}


def _traits(pair: _Comparison) -> Iterator[Issue]:
    role = pair.header.first("recordTarget/patientRole")
    if role is None:
        return
    if any(each.partition("|")[0] in INS_SYSTEMS for each in pair.header.keys("recordTarget/patientRole/id")):
        missing = missing_traits(role)
        if missing:
            names = ", ".join(missing)
            lacking = Saying(f"il manque {names}", f"{names} missing", xpath(role), role.sourceline)
            yield pair.breach("CDA-06", "context.sourcePatientInfo", lacking)
    found = pair.named.patient()
    if found:
        place, patient = found
        for path, expected, element, attribute, shown in trait_differences(patient, role):
            yield pair.breach("CDA-06", f"{place}.{path}", _saying(element, shown, attribute), said(expected))


def _type(pair: _Comparison) -> Iterator[Issue]:
    codes = [each for each in pair.header.all("code") if each.get("code")]
    if pair.tree.get("type") and (codes or pair.declared):
        yield from pair.coded("CDA-07", "type", [pair.tree["type"]], codes)


def _title(pair: _Comparison) -> Iterator[Issue]:
    expected, element = pair.attachment.get("title"), pair.header.first("title")
    if expected and element is not None:
        found = text_of(element)
        if found and found != " ".join(expected.split()):
            yield pair.breach("CDA-08", "content[0].attachment.title", _saying(element, found), said(expected))


def _creation(pair: _Comparison) -> Iterator[Issue]:
    expected = pair.attachment.get("creation")
    yield from pair.moment("CDA-09", "content[0].attachment.creation", expected, pair.header.first("effectiveTime"))


def _confidentiality(pair: _Comparison) -> Iterator[Issue]:
    element = pair.header.first("confidentialityCode")
    labels = [each for label in pair.tree.get("securityLabel", []) for each in label.get("coding", [])]
    if element is None or not element.get("code") or not labels:
        return
    if not any(_same_code(each, element) for each in labels if each.get("code")):
        shown = ", ".join(each.get("code", "") for each in labels)
        yield pair.breach("CDA-10", "securityLabel", _saying(element, element.get("code", ""), "code"), said(shown))


def _language(pair: _Comparison) -> Iterator[Issue]:
    expected = pair.attachment.get("language")
    yield from pair.value("CDA-11", "content[0].attachment.language", expected, "languageCode", "code")


def _author_persons(pair: _Comparison) -> Iterator[Issue]:
    named = [pair.named.persons(each) for each in pair.tree.get("author", [])]
    found = pair.header.keys("author/assignedAuthor/id")
    yield from _authors(pair, "CDA-12", named, found, "author/assignedAuthor/id")


def _author_structures(pair: _Comparison) -> Iterator[Issue]:
    named = [pair.named.structures(each) for each in pair.tree.get("author", [])]
    found = pair.header.keys("author/assignedAuthor/representedOrganization/id")
    yield from _authors(pair, "CDA-13", named, found, "author/assignedAuthor/representedOrganization/id")


def _authors(
    pair: _Comparison, rule: str, named: list[set[str] | None], found: dict[str, etree._Element], at: str
) -> Iterator[Issue]:
    """Every author of the metadata is one of the CDA, and the other way round when all of them can be told. Several
    that differ are one mistake: the list."""
    strange = [n for n, each in enumerate(named) if each and not each & found.keys()]
    known = set().union(*(each for each in named if each))
    whole = bool(named) and all(named)
    left_out = [each for each in found if each not in known] if whole else []
    if not pair.header.all("author") or not (strange or left_out):
        return
    path = f"author[{strange[0]}]" if strange else "author"
    metadata = said(", ".join(sorted(known)))
    if not found:
        yield pair.breach(rule, path, absent(f"/ClinicalDocument/{at}"), metadata)
        return
    element = found[left_out[0]] if left_out else next(iter(found.values()))
    yield pair.breach(rule, path, _saying(element, ", ".join(found)), metadata)


def _custodian(pair: _Comparison) -> Iterator[Issue]:
    at = "custodian/assignedCustodian/representedCustodianOrganization/id"
    expected = pair.named.structures(pair.tree.get("custodian", {}))
    if expected and pair.header.first("custodian") is not None:
        yield from pair.identified("CDA-14", "custodian", expected, pair.header.keys(at), at)


def _authenticator(pair: _Comparison) -> Iterator[Issue]:
    reference = pair.tree.get("authenticator")
    if not reference or pair.header.first("legalAuthenticator") is None:
        return
    at, expected = "legalAuthenticator/assignedEntity/id", pair.named.persons(reference)
    if expected is not None and not expected:
        at = "legalAuthenticator/assignedEntity/representedOrganization/id"
        expected = pair.named.structures(reference)
    yield from pair.identified("CDA-15", "authenticator", expected or set(), pair.header.keys(at), at)


def _related(pair: _Comparison) -> Iterator[Issue]:
    """Numbers of orders, exams, studies and stays, each where the CDA has its kind; of an unknown kind, anywhere."""
    if pair.header.first("documentationOf") is None:
        return
    for n, reference in enumerate(pair.context.get("related", [])):
        identifier = reference.get("identifier", {})
        kinds = [each.get("code") for each in identifier.get("type", {}).get("coding", [])]
        paths = [_RELATED[kind] for kind in kinds if kind in _RELATED] or list(_RELATED.values())
        found = {number: each for path in paths for number, each in pair.header.keys(path).items()}
        expected = identifier_key(identifier)
        if expected:
            at = paths[0].replace("{urn:dicom-org:ps3-20}", "ps3-20:")
            yield from pair.identified("CDA-16", f"context.related[{n}]", {expected}, found, at)


def _period(pair: _Comparison) -> Iterator[Issue]:
    act, period = pair.header.main_act, pair.context.get("period", {})
    if act is None:
        return
    for name, bound in (("start", "low"), ("end", "high")):
        element = below(act, f"effectiveTime/{bound}")
        if name in period and (element is None or not element.get("value")):
            missing = absent(f"{xpath(act)}/effectiveTime/{bound}/@value", act.sourceline)
            yield pair.breach("CDA-17", f"context.period.{name}", missing, said(period[name]))
        yield from pair.moment("CDA-17", f"context.period.{name}", period.get(name), element)


def _practice_setting(pair: _Comparison) -> Iterator[Issue]:
    act = pair.header.main_act
    if act is not None and (concept := pair.context.get("practiceSetting")):
        found = below(act, "performer/assignedEntity/representedOrganization/standardIndustryClassCode")
        elements = [] if found is None else [found]
        yield from pair.coded("CDA-18", "context.practiceSetting", [concept], elements)


def _facility(pair: _Comparison) -> Iterator[Issue]:
    at = "componentOf/encompassingEncounter/location/healthCareFacility/code"
    concept = pair.context.get("facilityType")
    if concept and pair.header.first("componentOf") is not None:
        yield from pair.coded("CDA-19", "context.facilityType", [concept], pair.header.all(at))


def _events(pair: _Comparison) -> Iterator[Issue]:
    if pair.header.first("documentationOf") is None:
        return
    acts = pair.header.all("documentationOf/serviceEvent/code")
    elements = acts + pair.header.all("documentationOf/serviceEvent/code/translation")
    yield from pair.coded("CDA-20", "context.event[]", pair.context.get("event", []), elements)


def _format(pair: _Comparison) -> Iterator[Issue]:
    stated = pair.tree["content"][0].get("format", {}).get("code")
    body = pair.header.first("component/nonXMLBody/text")
    if body is not None:
        element, attribute = body, "mediaType"
        expected = _BODY_FORMATS.get(body.get("mediaType", "").strip().lower())
    else:
        known = [each for each in pair.header.all("templateId") if format_of_template(each.get("root", ""))]
        if not known:
            return
        element, attribute = known[-1], "root"
        expected = format_of_template(element.get("root", ""))
    if stated and expected and stated != expected:
        yield pair.breach("CDA-22", "content[0].format", _saying(element, expected, attribute), said(stated))


_CHECKS: tuple[Callable[[_Comparison], Iterator[Issue]], ...] = (
    _shape, _complete, _unique_id, _traits, _type, _title, _creation, _confidentiality, _language, _author_persons,
    _author_structures, _custodian, _authenticator, _related, _period, _practice_setting, _facility, _events, _format,
)  # fmt: skip
