"""The checks that compare a CDA header with its DocumentReference, one per element of the metadata (CDA-02 to CDA-22).

The mapping of a CDA header to the metadata is that of the DMP (CI-SIS volet Partage de documents, PDSm). What the
metadata leave out is not asked for here: that is the matter of their profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lxml import etree

from dmp_fhir.canonicals import INS_SYSTEMS, LOINC, TRE_A08, URI, V3_CONFIDENTIALITY
from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.cda_header import Header, below, is_utf8, text_of, time_interval, xpath
from dmp_fhir.profiles.cda_rules import Saying, absent, breach, said
from dmp_fhir.profiles.cda_traits import Traits
from dmp_fhir.profiles.named import Named, identifier_key
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.profiles.terminology import NOS, format_of_template

Tree = dict[str, Any]

_SELF_PRESENTING = "application/xslt+xml"
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


def differences(
    tree: Tree, header: Header, expression: str, errors: frozenset[str], declared: bool, content_type: str
) -> list[Issue]:
    """All that both sides say differently; `declared` and `content_type` as in `cda.examine`."""
    pair = _Comparison(tree, header, expression, errors, declared, content_type)
    return [issue for check in _CHECKS for issue in check(pair)]


def said_at(element: etree._Element, text: str, attribute: str = "") -> Saying:
    """What the CDA says at an element, or at an attribute of it."""
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
            yield self.breach(rule, path, said_at(element, found, attribute), said(expected))

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
            yield self.breach(rule, path, said_at(element, found, "value"), said(expected))

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
                yield self.breach(rule, place, said_at(coded, shown, "code"), expected)

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
            yield self.breach(rule, path, said_at(element, number), metadata)


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
        yield pair.breach("CDA-02", where, said_at(root, xpath(root)), said(pair.content_type))


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
    traits = Traits(role)
    if any(each.partition("|")[0] in INS_SYSTEMS for each in pair.header.keys("recordTarget/patientRole/id")):
        missing = traits.missing
        if missing:
            names = ", ".join(missing)
            lacking = Saying(f"il manque {names}", f"{names} missing", xpath(role), role.sourceline)
            yield pair.breach("CDA-06", "context.sourcePatientInfo", lacking)
    found = pair.named.patient()
    if found:
        place, patient = found
        for path, expected, element, attribute, shown in traits.differences(patient):
            yield pair.breach("CDA-06", f"{place}.{path}", said_at(element, shown, attribute), said(expected))


def _type(pair: _Comparison) -> Iterator[Issue]:
    codes = [each for each in pair.header.all("code") if each.get("code")]
    if pair.tree.get("type") and (codes or pair.declared):
        yield from pair.coded("CDA-07", "type", [pair.tree["type"]], codes)


def _title(pair: _Comparison) -> Iterator[Issue]:
    expected, element = pair.attachment.get("title"), pair.header.first("title")
    if expected and element is not None:
        found = text_of(element)
        if found and found != " ".join(expected.split()):
            yield pair.breach("CDA-08", "content[0].attachment.title", said_at(element, found), said(expected))


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
        yield pair.breach("CDA-10", "securityLabel", said_at(element, element.get("code", ""), "code"), said(shown))


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
    yield pair.breach(rule, path, said_at(element, ", ".join(found)), metadata)


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
        yield pair.breach("CDA-22", "content[0].format", said_at(element, expected, attribute), said(stated))


_CHECKS: tuple[Callable[[_Comparison], Iterator[Issue]], ...] = (
    _shape, _complete, _unique_id, _traits, _type, _title, _creation, _confidentiality, _language, _author_persons,
    _author_structures, _custodian, _authenticator, _related, _period, _practice_setting, _facility, _events, _format,
)  # fmt: skip
