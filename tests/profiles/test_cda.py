"""A CDA against its metadata: agreeing, differing and saying nothing, element by element (TF-259)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.cda import examine, replacement_issues, stated_issues
from dmp_fhir.profiles.cda_rules import RULES, refusing
from tests.fixtures.world import documents
from tests.support.cda import FIRST, SECOND, said_at, with_more, with_value, without, world_cda

Tree = dict[str, Any]
PLACE = "Bundle.entry[1].resource"
CDAS = [(tree, data) for _, tree, data in documents() if tree["content"][0]["attachment"]["contentType"] == "text/xml"]
LATER_SECOND = "20991231235959+0100"

ROLE = "c:recordTarget/c:patientRole"
NAME = f"{ROLE}/c:patient/c:name"
AUTHOR = "c:author/c:assignedAuthor"
ACT = "c:documentationOf/c:serviceEvent"
SETTING = f"{ACT}/c:performer/c:assignedEntity/c:representedOrganization/c:standardIndustryClassCode"
CUSTODIAN = "c:custodian/c:assignedCustodian/c:representedCustodianOrganization"
FACILITY = "c:componentOf/c:encompassingEncounter/c:location/c:healthCareFacility"


def issues(tree: Tree, data: bytes, setting: str = "standard") -> list[Issue]:
    examined = examine(tree, data, PLACE, setting)
    return examined.issues + stated_issues(examined, tree, PLACE)


def rules(found: list[Issue]) -> list[str | None]:
    return [each.rule for each in found]


@pytest.mark.parametrize(("tree", "data"), CDAS, ids=[tree["masterIdentifier"]["value"][-6:] for tree, _ in CDAS])
def test_the_world_agrees_with_its_metadata(tree: Tree, data: bytes) -> None:
    examined = examine(tree, data, PLACE, "strict")
    assert examined.header is not None
    assert issues(tree, data, "strict") == []


def test_other_documents_of_the_world_are_no_matter_of_these_rules() -> None:
    others = [(t, d) for _, t, d in documents() if t["content"][0]["attachment"]["contentType"] != "text/xml"]
    assert len(others) + len(CDAS) >= 72
    for tree, data in others:
        assert issues(tree, data, "strict") == []


# --- one value of the CDA changed: exactly that rule ------------------------------------------------

# rule, place in the CDA, another value, element of the metadata
DIFFERENCES = [
    ("CDA-04", "c:id/@root", "1.2.3", "masterIdentifier"),
    ("CDA-05", f"{ROLE}/c:id/@extension", "255069999999934", "subject"),
    ("CDA-05", f"{ROLE}/c:id/@root", "1.2.250.1.213.1.4.8", "subject"),
    ("CDA-06", f"{NAME}/c:family[@qualifier='BR']", "AUTRE", "contained[0].name[0].family"),
    ("CDA-06", f"{NAME}/c:given[@qualifier='BR']", "AUTRE", "contained[0].name[0].given[0]"),
    ("CDA-06", f"{NAME}/c:given[not(@qualifier)]", "AUTRE", "contained[0].name[0].extension[0]"),
    ("CDA-06", f"{NAME}/c:family[@qualifier='CL']", "AUTRE", "contained[0].name[1].family"),
    ("CDA-06", f"{ROLE}/c:patient/c:administrativeGenderCode/@code", "M", "contained[0].gender"),
    ("CDA-06", f"{ROLE}/c:patient/c:birthTime/@value", "19740313", "contained[0].birthDate"),
    ("CDA-07", "c:code/@code", "11502-2", "type"),
    ("CDA-07", "c:code/@codeSystem", "1.2.250.1.213.1.1.4.12", "type"),
    ("CDA-08", "c:title", "Autre titre", "content[0].attachment.title"),
    ("CDA-09", "c:effectiveTime/@value", "20240311152959+0100", "content[0].attachment.creation"),
    ("CDA-09", "c:effectiveTime/@value", "hier", "content[0].attachment.creation"),
    ("CDA-10", "c:confidentialityCode/@code", "R", "securityLabel"),
    ("CDA-11", "c:languageCode/@code", "en-US", "content[0].attachment.language"),
    ("CDA-12", f"{AUTHOR}/c:id/@extension", "899700000336", "author[0]"),
    ("CDA-13", f"{AUTHOR}/c:representedOrganization/c:id/@extension", "1990000044", "author[0]"),
    ("CDA-14", f"{CUSTODIAN}/c:id/@extension", "1990000044", "custodian"),
    ("CDA-15", "c:legalAuthenticator/c:assignedEntity/c:id/@extension", "899700000336", "authenticator"),
    ("CDA-16", "c:inFulfillmentOf/c:order/c:id/@extension", "X", "context.related[1]"),
    ("CDA-16", "c:inFulfillmentOf/c:order/dicom:accessionNumber/@extension", "X", "context.related[0]"),
    ("CDA-17", f"{ACT}/c:effectiveTime/c:low/@value", LATER_SECOND, "context.period.start"),
    ("CDA-17", f"{ACT}/c:effectiveTime/c:high/@value", LATER_SECOND, "context.period.end"),
    ("CDA-18", f"{SETTING}/@code", "HAD", "context.practiceSetting"),
    ("CDA-19", f"{FACILITY}/c:code/@code", "SA01", "context.facilityType"),
    ("CDA-20", f"{ACT}/c:code/@code", "X", "context.event[0]"),
    ("CDA-22", "c:component/c:nonXMLBody/c:text/@mediaType", "image/jpeg", "content[0].format"),
]


@pytest.mark.parametrize(("rule", "path", "value", "element"), DIFFERENCES)
def test_a_difference_is_named_with_both_places(rule: str, path: str, value: str, element: str) -> None:
    tree, data = world_cda()
    changed = with_value(data, path, value)
    (issue,) = issues(tree, changed)
    assert issue.rule == rule
    assert issue.expression == f"{PLACE}.{element}"
    assert issue.severity == ("error" if rule in ("CDA-04", "CDA-05", "CDA-07") else "warning")
    # The XPath and the line of the CDA, what it says, and what the metadata say.
    where = re.search(r"\((/ClinicalDocument/[^ ]+), line (\d+)\)", issue.en)
    assert where
    plain = re.sub(r"c:|\[@?[^\]]*\]|/@.*", "", path).replace("dicom:", "ps3-20:")
    assert re.sub(r"\[\d+\]|/@.*", "", where[1]) == f"/ClinicalDocument/{plain}"
    assert f"ligne {where[2]}" in issue.fr
    if not path.endswith("@mediaType"):
        assert value in issue.fr
        assert value in issue.en
    if rule != "CDA-05":
        assert "dans la fiche" in issue.fr


@pytest.mark.parametrize(("rule", "path", "value", "element"), DIFFERENCES)
def test_strict_refuses_every_difference_and_off_none(rule: str, path: str, value: str, element: str) -> None:
    tree, data = world_cda()
    changed = with_value(data, path, value)
    assert [(each.rule, each.severity) for each in issues(tree, changed, "strict")] == [(rule, "error")]
    assert [(each.rule, each.severity) for each in issues(tree, changed, rule)] == [(rule, "error")]
    assert issues(tree, changed, "off") == []


_TEXT = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", min_size=1, max_size=20)
_COMPARED = [
    (rule, path) for rule, path, _, _ in DIFFERENCES if not path.endswith(("@root", "@codeSystem", "@mediaType"))
]


@given(st.sampled_from(_COMPARED), _TEXT)
def test_any_other_value_breaks_exactly_that_rule(case: tuple[str, str], value: str) -> None:
    rule, path = case
    tree, data = world_cda()
    if re.sub(r"\W", "", value).casefold() == re.sub(r"\W", "", said_at(data, path)).casefold():
        return
    if not re.search(r"\w", value) or (rule in ("CDA-06", "CDA-09", "CDA-17") and re.fullmatch(r"[\d+.-]+", value)):
        return  # may be the same date at another precision
    assert set(rules(issues(tree, with_value(data, path, value)))) == {rule}


UNCOMPARED = [
    "c:code/@displayName",
    f"{AUTHOR}/c:assignedPerson/c:name/c:family",
    f"{AUTHOR}/c:representedOrganization/c:name",
    "c:author/c:time/@value",
    "c:versionNumber/@value",
]


@pytest.mark.parametrize("path", UNCOMPARED)
def test_what_is_not_compared_may_differ(path: str) -> None:
    tree, data = world_cda()
    assert issues(tree, with_value(data, path, "2"), "strict") == []


# --- the same thing said otherwise ------------------------------------------------------------------

SYNONYMS = [
    ("c:effectiveTime/@value", "20240311"),
    ("c:effectiveTime/@value", "202403"),
    ("c:title", "  {}\n "),
    (f"{NAME}/c:family[@qualifier='BR']", "{}"),
    (f"{ROLE}/c:patient/c:birthTime/@value", "1974"),
    (f"{ROLE}/c:patient/c:birthTime/@value", "197403120000+0100"),
    ("c:languageCode/@code", "FR-fr"),
    ("c:code/@codeSystem", "9.9.9"),
]


@pytest.mark.parametrize(("path", "value"), SYNONYMS)
def test_spellings_that_say_the_same(path: str, value: str) -> None:
    tree, data = world_cda()
    assert issues(tree, with_value(data, path, value.format(said_at(data, path))), "strict") == []


def test_hours_are_compared_in_universal_time() -> None:
    tree, data = world_cda()
    stated = said_at(data, "c:effectiveTime/@value")
    assert stated.endswith("+0100")
    hour = int(stated[8:10])
    assert (
        issues(tree, with_value(data, "c:effectiveTime/@value", f"{stated[:8]}{hour - 1:02d}{stated[10:14]}+0000"))
        == []
    )
    assert rules(issues(tree, with_value(data, "c:effectiveTime/@value", f"{stated[:14]}+0000"))) == ["CDA-09"]


def test_the_used_name_of_older_documents() -> None:
    tree, data = world_cda()
    older = data.replace(b'qualifier="CL"', b'qualifier="SP"')
    assert older != data
    assert issues(tree, older, "strict") == []
    assert rules(issues(tree, with_value(older, f"{NAME}/c:family[@qualifier='SP']", "AUTRE"))) == ["CDA-06"]


@pytest.mark.parametrize(
    ("cda", "master"),
    [
        ('root="1.2.3"', {"value": "urn:oid:1.2.3"}),
        ('root="1.2.3"', {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}),
        ('root="1.2.3" extension="A"', {"system": "urn:oid:1.2.3", "value": "A"}),
        ('root="1.2.3" extension="A"', {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3^A"}),
        (
            'root="90E1C8EC-F951-4B26-A305-A34848818DD6"',
            {"value": "urn:uuid:90E1C8EC-F951-4B26-A305-A34848818DD6"},
        ),
    ],
)
def test_spellings_of_the_unique_id(cda: str, master: Tree) -> None:
    tree, data = world_cda()
    changed = with_more(without(data, "c:id"), "c:code", f'<id xmlns="urn:hl7-org:v3" {cda}/>')
    assert issues(tree | {"masterIdentifier": master}, changed) == []
    assert rules(issues(tree | {"masterIdentifier": {"value": "urn:oid:1.2"}}, changed)) == ["CDA-04"]


def test_rpps_and_finess_are_the_national_identifiers() -> None:
    """`https://rpps.esante.gouv.fr|99700000…` and `urn:oid:1.2.250.1.71.4.2.1|8997…` are one professional."""
    tree, data = world_cda()
    for resource in tree["contained"]:
        if resource["resourceType"] != "Patient":
            kept = [each for each in resource.get("identifier", []) if not each["system"].startswith("urn:oid")]
            resource["identifier"] = kept
            if not kept:
                del resource["identifier"]
    assert any("rpps" in str(each) for each in tree["contained"])
    assert issues(tree, data, "strict") == []
    assert rules(issues(tree, with_value(data, f"{AUTHOR}/c:id/@extension", "899700000336"))) == ["CDA-12"]


# --- what the CDA does not say ----------------------------------------------------------------------

ABSENCES = [
    ("CDA-03", "c:realmCode"),
    ("CDA-03", "c:templateId[1]"),
    ("CDA-03", "c:title"),
    ("CDA-03", "c:effectiveTime"),
    ("CDA-03", "c:confidentialityCode"),
    ("CDA-03", "c:languageCode"),
    ("CDA-03", "c:setId"),
    ("CDA-03", "c:versionNumber"),
    ("CDA-03", "c:author"),
    ("CDA-03", "c:custodian"),
    ("CDA-03", "c:legalAuthenticator"),
    ("CDA-03", "c:documentationOf"),
    ("CDA-03", "c:componentOf"),
    ("CDA-03", "c:component"),
    ("CDA-04", "c:id"),
    ("CDA-05", f"{ROLE}/c:id"),
    ("CDA-05", "c:recordTarget"),
    ("CDA-06", f"{NAME}/c:family[@qualifier='BR']"),
    ("CDA-06", f"{NAME}/c:given[not(@qualifier)]"),
    ("CDA-06", f"{ROLE}/c:patient/c:administrativeGenderCode"),
    ("CDA-06", f"{ROLE}/c:patient/c:birthTime"),
    ("CDA-06", f"{ROLE}/c:patient/c:birthplace"),
    ("CDA-07", "c:code"),
    ("CDA-12", f"{AUTHOR}/c:id"),
    ("CDA-13", f"{AUTHOR}/c:representedOrganization"),
    ("CDA-14", f"{CUSTODIAN}/c:id"),
    ("CDA-15", "c:legalAuthenticator/c:assignedEntity/c:id"),
    ("CDA-16", "c:inFulfillmentOf/c:order/dicom:accessionNumber"),
    ("CDA-17", f"{ACT}/c:effectiveTime/c:low"),
    ("CDA-17", f"{ACT}/c:effectiveTime/c:high"),
    ("CDA-18", SETTING),
    ("CDA-19", f"{FACILITY}/c:code"),
    ("CDA-20", f"{ACT}/c:code"),
]


@pytest.mark.parametrize(("rule", "path"), ABSENCES)
def test_what_the_cda_does_not_say(rule: str, path: str) -> None:
    tree, data = world_cda()
    (issue,) = issues(tree, without(data, path))
    assert issue.rule == rule
    assert "rien" in issue.fr or "il manque" in issue.fr
    assert "/ClinicalDocument" in issue.en or rule in ("CDA-07", "CDA-18", "CDA-19", "CDA-20")


@pytest.mark.parametrize(
    "element",
    ["masterIdentifier", "type", "securityLabel", "author", "authenticator", "custodian", "context", "relatesTo"],
)
def test_what_the_metadata_do_not_say_is_not_asked_for(element: str) -> None:
    tree, data = world_cda()
    tree.pop(element, None)
    assert issues(tree, data, "strict") == []


def test_metadata_with_nothing_but_a_patient() -> None:
    tree, data = world_cda()
    bare = {"resourceType": "DocumentReference", "subject": tree["subject"], "status": "current"}
    assert issues(bare | {"content": [{"attachment": {"contentType": "text/xml"}}]}, data, "strict") == []


def test_several_authors_are_one_list() -> None:
    """Two authors on one side and one on the other are one mistake; the same two in another order are none."""
    tree, data = world_cda()
    other = {"type": "Practitioner", "identifier": {"system": "https://rpps.esante.gouv.fr", "value": "99700000336"}}
    both = tree | {"author": [*tree["author"], other]}
    (issue,) = issues(both, data)
    assert (issue.rule, issue.expression) == ("CDA-12", f"{PLACE}.author[1]")
    second = (
        '<author xmlns="urn:hl7-org:v3"><assignedAuthor><id root="1.2.250.1.71.4.2.1" extension="899700000336"/>'
        "</assignedAuthor></author>"
    )
    assert issues(both, with_more(data, "c:author", second)) == []
    (issue,) = issues(tree, with_more(data, "c:author", second))
    assert (issue.rule, issue.expression) == ("CDA-12", f"{PLACE}.author")
    assert "899700000336" in issue.fr


def test_an_author_who_is_only_an_address_is_not_compared() -> None:
    tree, data = world_cda()
    assert issues(tree | {"author": [{"reference": "Practitioner/12"}]}, data, "strict") == []


def test_codes_of_translations_count() -> None:
    tree, data = world_cda()
    changed = with_value(data, f"{ACT}/c:code/@code", "ZZQK002")
    assert rules(issues(tree, changed)) == ["CDA-20"]
    code = said_at(data, f"{ACT}/c:code/@code")
    inside = f'<c:translation xmlns:c="urn:hl7-org:v3" code="{code}" codeSystem="2.16.840.1.113883.6.1"/>'
    translated = re.sub(rb'(<code code="ZZQK002"[^>]*)/>', rb"\1>" + inside.encode() + b"</code>", changed)
    assert translated != changed
    assert issues(tree, translated) == []


# --- versions ---------------------------------------------------------------------------------------


def test_the_replaced_document() -> None:
    tree, data = world_cda(SECOND)
    assert issues(tree, data, "strict") == []
    examined = examine(tree, data, PLACE)
    assert replacement_issues(examined, PLACE, [FIRST]) == []
    (other,) = replacement_issues(examined, PLACE, ["urn:oid:1.2.3"])
    assert (other.rule, other.expression, other.severity) == ("CDA-21", f"{PLACE}.relatesTo", "warning")
    assert "/ClinicalDocument/relatedDocument/parentDocument/id" in other.fr
    (none,) = replacement_issues(examined, PLACE, [])
    assert none.rule == "CDA-21"
    first = examine(*world_cda(FIRST), PLACE)
    (nothing,) = replacement_issues(first, PLACE, ["urn:oid:1.2.3"])
    assert "rien" in nothing.fr


def test_relations_that_replace_nothing_are_not_compared() -> None:
    tree, data = world_cda(SECOND)
    transformed = data.replace(b'typeCode="RPLC"', b'typeCode="XFRM"')
    assert rules(issues(tree, transformed)) == ["CDA-21"]
    tree["relatesTo"][0]["code"] = "transforms"
    assert issues(tree, transformed) == []
    assert rules(issues(tree, data)) == ["CDA-21"]


# --- what is no CDA, or does not say that it is one -------------------------------------------------

STUB = b'<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>'


def of_type(tree: Tree, content_type: str, form: str | None = None) -> Tree:
    first = tree["content"][0]
    content = {"attachment": first["attachment"] | {"contentType": content_type}}
    if form:
        content["format"] = {"code": form}
    return tree | {"content": [content]}


def test_a_document_that_is_not_declared_as_a_cda_is_not_refused_for_what_it_lacks() -> None:
    tree, _ = world_cda()
    (issue,) = issues(of_type(tree, "application/xml"), STUB)
    assert (issue.rule, issue.severity) == ("CDA-03", "warning")
    for name in ("setId", "recordTarget/patientRole/id", "code", "realmCode"):
        assert name in issue.fr


def test_a_document_that_is_declared_as_a_cda_says_whose_it_is() -> None:
    tree, _ = world_cda()
    found = issues(of_type(tree, "text/xml", "urn:ihe:iti:xds-sd:pdf:2008"), STUB)
    assert rules(found) == ["CDA-03", "CDA-04", "CDA-07", "CDA-05"]
    assert [each.severity for each in found] == ["warning", "error", "error", "error"]
    by_itself = STUB.replace(b"/>", b'><typeId extension="POCD_HD000040"/></ClinicalDocument>')
    assert set(rules(issues(of_type(tree, "text/xml"), by_itself))) == set(rules(found))


def test_other_xml_is_left_alone() -> None:
    tree, _ = world_cda()
    assert issues(of_type(tree, "text/xml", "urn:ihe:iti:xds:2017:mimeTypeSufficient"), b"<a/>", "strict") == []
    (issue,) = issues(of_type(tree, "text/xml", "urn:ihe:iti:xds-sd:pdf:2008"), b"<a/>")
    assert (issue.rule, issue.severity) == ("CDA-01", "error")


@pytest.mark.parametrize("setting", ["off", "standard", "CDA-08", "strict"])
@pytest.mark.parametrize("data", [b'<!DOCTYPE a SYSTEM "x">' + STUB[38:], b"<a>", b"\0", b""], ids=repr)
def test_unsafe_xml_is_always_refused(data: bytes, setting: str) -> None:
    tree, _ = world_cda()
    for content_type in ("text/xml", "application/xml", "application/xslt+xml", "text/xml; charset=utf-8"):
        (issue,) = issues(of_type(tree, content_type), data, setting)
        assert (issue.rule, issue.severity, issue.expression) == ("CDA-01", "error", f"{PLACE}.content[0].attachment")


def test_a_cda_format_asks_for_an_xml_type() -> None:
    tree, _ = world_cda()
    (issue,) = issues(of_type(tree, "application/pdf", "urn:ihe:lab:xd-lab:2008"), b"%PDF-1.7")
    assert (issue.rule, issue.expression) == ("CDA-02", f"{PLACE}.content[0].attachment.contentType")
    assert issues(of_type(tree, "application/pdf", "urn:ihe:lab:xd-lab:2008"), b"%PDF-1.7", "off") == []


def test_the_type_is_that_of_the_shape() -> None:
    tree, data = world_cda()
    bare = data[data.index(b"<ClinicalDocument") :]
    sheet = b'<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">%b</xsl:stylesheet>' % bare
    form = tree["content"][0]["format"]["code"]
    assert rules(issues(of_type(tree, "text/xml", form), sheet)) == ["CDA-02"]
    assert issues(of_type(tree, "application/xslt+xml", form), sheet) == []
    assert rules(issues(of_type(tree, "application/xslt+xml", form), data)) == ["CDA-02"]


def test_an_old_encoding_is_told() -> None:
    tree, data = world_cda()
    body = data.decode().replace("encoding='UTF-8'", "encoding='ISO-8859-1'")
    (issue,) = issues(tree, body.encode("iso-8859-1", "xmlcharrefreplace"))
    assert (issue.rule, issue.severity) == ("CDA-02", "warning")


# --- rules and settings -----------------------------------------------------------------------------


def test_settings() -> None:
    assert refusing("off") is None
    assert refusing("strict") == RULES.keys()
    assert refusing("standard") == {"CDA-01", "CDA-04", "CDA-05", "CDA-07", "CDA-23"}
    assert refusing("CDA-08, CDA-12") == {"CDA-01", "CDA-08", "CDA-12"}
    for wrong in ("", "CDA-99", "standard,strict", "CDA-04;CDA-05"):
        with pytest.raises(ValueError, match="is no rule"):
            refusing(wrong)


def test_every_rule_says_in_both_languages_what_must_be_true() -> None:
    for name, rule in RULES.items():
        assert name == rule.id
        assert rule.fr
        assert rule.en
        assert rule.fr != rule.en


def test_long_values_are_cut() -> None:
    tree, data = world_cda()
    (issue,) = issues(tree, with_value(data, "c:title", "long " * 400))
    assert len(issue.fr) < 600
