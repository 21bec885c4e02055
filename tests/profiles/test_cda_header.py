"""Reading a CDA: shapes, encodings, identifiers, times, places; and what no reader should like."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.profiles.cda_header import Header, UnreadableCda, is_utf8, read_cda, time_interval, xpath
from tests.support.cda import world_cda

GOOD = world_cda()[1]
PLAIN = b'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3"/><title>T</title></ClinicalDocument>'
STYLESHEET = (
    b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#"?>'
    b'<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:variable>'
    + PLAIN
    + b"</xsl:variable></xsl:stylesheet>"
)
SIGNED = (
    b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:Object>' + PLAIN + b"</ds:Object></ds:Signature>"
)


def header(data: bytes) -> Header:
    found = read_cda(data)
    assert found
    return found


@pytest.mark.parametrize(
    ("data", "shape", "path"),
    [
        (PLAIN, "plain", "/ClinicalDocument/id/@root"),
        (
            STYLESHEET,
            "self-presenting",
            "/xsl:stylesheet/xsl:variable/ClinicalDocument/id/@root",
        ),
        (SIGNED, "signed", "/ds:Signature/ds:Object/ClinicalDocument/id/@root"),
        (b"<a>" + PLAIN + b"</a>", "other", "/a/ClinicalDocument/id/@root"),
    ],
    ids=["plain", "self-presenting", "signed", "other"],
)
def test_shapes(data: bytes, shape: str, path: str) -> None:
    found = header(data)
    assert found.shape == shape
    assert found.keys("id").keys() == {"urn:oid:1.2.3"}
    assert xpath(found.all("id")[0], "root") == path


def test_places_have_an_index_where_it_matters() -> None:
    found = header(GOOD)
    templates = found.all("templateId")
    assert xpath(templates[1]) == "/ClinicalDocument/templateId[2]"
    assert templates[1].sourceline == GOOD[: GOOD.index(b"1.2.250.1.213.1.1.1.1")].count(b"\n") + 1


def test_xml_that_is_no_cda() -> None:
    assert read_cda(b"<a/>") is None
    assert read_cda(b'<ClinicalDocument xmlns="urn:other"/>') is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('root="1.2.3"', "urn:oid:1.2.3"),
        ('root=" 1.2.3 " extension="A 1"', "urn:oid:1.2.3|A 1"),
        ('root="90E1C8EC-F951-4B26-A305-A34848818DD6"', "urn:uuid:90e1c8ec-f951-4b26-a305-a34848818dd6"),
        ('root="1.02.3"', "1.02.3"),
        ('root="x"', "x"),
        ('nullFlavor="UNK"', None),
        ('extension="7"', None),
    ],
)
def test_identifiers(attributes: str, expected: str | None) -> None:
    data = f'<ClinicalDocument xmlns="urn:hl7-org:v3"><id {attributes}/></ClinicalDocument>'.encode()
    assert list(header(data).keys("id")) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "version"), [("1", 1), ("12", 12), ("0", None), ("-1", None), ("1.0", None), ("²", None), ("9" * 20, None)]
)
def test_version_numbers(text: str, version: int | None) -> None:
    data = f'<ClinicalDocument xmlns="urn:hl7-org:v3"><versionNumber value="{text}"/></ClinicalDocument>'.encode()
    assert header(data).version == version


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("20210104092233+0100", "2021-01-04T08:22:33+00:00", "2021-01-04T08:22:34+00:00"),
        ("20210104092233.52+0100", "2021-01-04T08:22:33+00:00", "2021-01-04T08:22:34+00:00"),
        ("202101040922+0100", "2021-01-04T08:22:00+00:00", "2021-01-04T08:23:00+00:00"),
        ("2021010409Z", "2021-01-04T09:00:00+00:00", "2021-01-04T10:00:00+00:00"),
        ("20211231233000-0100", "2022-01-01T00:30:00+00:00", "2022-01-01T00:30:01+00:00"),
        ("20210704092233", "2021-07-04T09:22:33+02:00", "2021-07-04T09:22:34+02:00"),
        ("20210104092233", "2021-01-04T09:22:33+01:00", "2021-01-04T09:22:34+01:00"),
        ("20210104", "2021-01-04T00:00:00+01:00", "2021-01-05T00:00:00+01:00"),
        ("202107", "2021-07-01T00:00:00+02:00", "2021-08-01T00:00:00+02:00"),
        ("2021", "2021-01-01T00:00:00+01:00", "2022-01-01T00:00:00+01:00"),
    ],
)
def test_time_stamps(text: str, low: str, high: str) -> None:
    assert time_interval(text) == (milliseconds(low), milliseconds(high))


@pytest.mark.parametrize(
    "text", ["", "21", "20211301", "20210230", "20210104250000+0100", "2021-01-04", "２０２１", "x"]
)
def test_what_is_no_time_stamp(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        time_interval(text)


@given(st.text(alphabet="0123456789+-Z.", max_size=24))
def test_a_time_stamp_is_an_interval_or_a_fault(text: str) -> None:
    try:
        low, high = time_interval(text)
    except ValueError:
        return
    assert low < high


# --- hostile ---------------------------------------------------------------------------------------

SUBSET = '<!DOCTYPE ClinicalDocument [<!ENTITY e "{}">]>'
HOSTILE = {
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + PLAIN.replace(b">T<", b">&e;<"),
        1,
    ),
    "parameter entity": (b'<!DOCTYPE a [<!ENTITY % e SYSTEM "http://127.0.0.1:9/x.dtd">%e;]>' + PLAIN, 1),
    "external subset": (b'<!DOCTYPE a SYSTEM "file:///etc/hostname">' + PLAIN, 1),
    "billion laughs": (
        b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        + PLAIN.replace(b">T<", b">&b;<"),
        1,
    ),
    "document type after comments": (b"<!-- <a> -->\n<?x <b?>\n\n  <!DOCTYPE a>" + PLAIN, 4),
    "document type after the declaration": (b'<?xml version="1.0"?>\n<!DOCTYPE a>' + PLAIN, 2),
    "undeclared entity": (PLAIN.replace(b">T<", b">&nbsp;<"), 1),
    "cut off": (GOOD[:-40], GOOD[:-40].count(b"\n") + 1),
    "cut off in the body": (GOOD[: GOOD.index(b"JVBER") + 50], GOOD[: GOOD.index(b"JVBER") + 50].count(b"\n") + 1),
    "broken at the end": (PLAIN + b"<x>", 1),
    "comment that does not end": (b"<!-- " + PLAIN, 1),
    "no bytes": (b"", None),
    "white space": (b" \n\t", None),
    "not XML": (b"%PDF-1.7", 1),
    "UTF-16": (PLAIN.decode().encode("utf-16"), 1),
    "UTF-16 without mark": (PLAIN.decode().encode("utf-16-be"), 1),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>' + PLAIN, 1),
    "EBCDIC": (PLAIN.decode().encode("cp500"), 1),
    "invalid UTF-8": (PLAIN.replace(b">T<", b">\xc3\x28<"), 1),
    "control character": (PLAIN.replace(b">T<", b">\x01<"), 1),
    "unbound prefix": (PLAIN.replace(b"<title>T</title>", b"<x:title>T</x:title>"), 1),
    "two documents": (b"<a>" + PLAIN + b"\n" + PLAIN + b"</a>", 2),
    "deep": (b"<a>" * 10_000 + PLAIN + b"</a>" * 10_000, 1),
    "wide": (b"<a>" + b"<b/>" * 250_001 + b"</a>", None),
    "attributes": (b"<a " + b" ".join(b'a%d=""' % n for n in range(500_001)) + b"/>", None),
}


@pytest.mark.parametrize(("data", "line"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents_are_unreadable(data: bytes, line: int | None) -> None:
    with pytest.raises(UnreadableCda) as caught:
        read_cda(data)
    assert caught.value.line == line
    assert caught.value.fr
    assert "hostname" not in caught.value.en


def test_what_is_not_followed() -> None:
    """Style sheets, schema locations and inclusions are text."""
    data = PLAIN.replace(
        b"<title>",
        b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname" parse="text"/><title>',
    ).replace(
        b"<ClinicalDocument",
        b'<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?><ClinicalDocument'
        b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:hl7-org:v3 file:///etc/x.xsd"',
    )
    found = header(data)
    assert "".join(found.document.itertext()) == "T"


def test_a_document_type_in_text_is_text() -> None:
    """What stands in a comment, a CDATA section or an attribute declares nothing."""
    data = b"<!-- <!DOCTYPE a> -->" + PLAIN.replace(b">T<", b"><![CDATA[<!DOCTYPE html>]]><")
    assert header(data).first("title").text == "<!DOCTYPE html>"  # type: ignore[union-attr]


@pytest.mark.parametrize("inside", ["1.2<!-- x -->.3", "1.2<?x y?>.3", "1.<![CDATA[2.]]>3"])
def test_the_whole_value_counts(inside: str) -> None:
    """A comment does not cut a value (TF-099)."""
    data = f'<ClinicalDocument xmlns="urn:hl7-org:v3"><title>{inside}</title></ClinicalDocument>'.encode()
    assert header(data).first("title").text == "1.2.3"  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "windows-1252", "ISO-8859-15"])
def test_old_encodings_are_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>é</title>'
    found = header((text + "</ClinicalDocument>").encode(encoding))
    assert found.first("title").text == "é"  # type: ignore[union-attr]
    assert not is_utf8(found)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert is_utf8(header(b"\xef\xbb\xbf" + b'<?xml version="1.0" encoding="utf-8"?>' + PLAIN))


def test_a_body_of_many_megabytes() -> None:
    """Longer than what libxml2 reads as one text unless it is told to."""
    body = b"<component><nonXMLBody><text>" + b"QUJD" * 2_600_000 + b"</text></nonXMLBody></component>"
    assert header(PLAIN.replace(b"</ClinicalDocument>", body + b"</ClinicalDocument>")).keys("id")
