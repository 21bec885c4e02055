"""Hostile bodies by entrance (threats TF-093 to TF-124): rows of (name, content type, bytes or a function giving them).

Every row must be refused with 400, 405, 413, 415 or 422 by the parser or the validator of its entrance, and by the
server with nothing stored. Large bodies are functions, so that importing this costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Body = bytes | Callable[[], bytes]
Row = tuple[str, str, Body]

JSON = "application/fhir+json"
XML = "application/fhir+xml"
JSON_PATCH = "application/json-patch+json"
XML_PATCH = "application/xml-patch+xml"
CANARY_TEXT = "canary-7f3a"
UUID_TEXT = "01234567-89ab-cdef-0123-456789abcdef"
ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"


def body_of(body: Body) -> bytes:
    return body if isinstance(body, bytes) else body()


def _nested(opening: bytes, closing: bytes, depth: int) -> Callable[[], bytes]:
    return lambda: b'{"resourceType":"Patient","name":' + opening * depth + b"1" + closing * depth + b"}"


def _json(name: str, body: Body) -> Row:
    return name, JSON, body


_DEEP = [
    _json(f"{kind} nested {depth}", _nested(opening, closing, depth))
    for depth in (65, 1_000, 100_000, 1_000_000)
    for kind, opening, closing in (("arrays", b"[", b"]"), ("objects", b'{"a":', b"}"), ("both", b'[{"a":', b"}]"))
]
_TWICE = [
    _json(f"{name} twice", b'{"resourceType":"DocumentReference",%s}' % inner)
    for name, inner in {
        "resourceType": b'"status":"current","resourceType":"Patient"',
        "subject": b'"subject":{"reference":"Patient/a"},"subject":{"reference":"Patient/b"}',
        "subject far apart": b'"subject":{"reference":"Patient/a"},"description":"' + b"x" * 5000 + b'","subject":{}',
        "id": b'"id":"a","id":"b"',
        "id escaped": b'"id":"a","\\u0069d":"b"',
        "id with blanks": b'"id" :"a","id"\n:"b"',
        "status": b'"status":"current","status":"superseded"',
        "securityLabel": b'"securityLabel":[{"text":"a"}],"securityLabel":[]',
        "url": b'"content":[{"attachment":{"url":"Binary/a","url":"Binary/b"}}]',
        "reference": b'"subject":{"reference":"Patient/a","reference":"Patient/b"}',
        "code deep": b'"type":{"coding":[{"code":"a","system":"b","code":"c"}]}',
        "same value": b'"id":"a","id":"a"',
        "empty name": b'"":1,"":2',
    }.items()
]
_NUMBERS = [
    _json(f"number {text[:12]}", b'{"resourceType":"Binary","size":%s}' % text.encode())
    for text in (
        "NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400", "1e-400", "01", "-01", "1.", ".5", "+1", "0x10",
          "1_000",
        "1e", "--1", "1,5", "9" * 4301, "0." + "1" * 100, "1E+999999999",
    )
]  # fmt: skip
_TEXTS = [
    _json(f"text {name}", b'{"resourceType":"Patient","language":"%s"}' % text)
    for name, text in {
        "overlong slash": b"\xc0\xaf", "overlong 3": b"\xe0\x80\xaf", "overlong 4": b"\xf0\x80\x80\xaf",
        "raw surrogate": b"\xed\xa0\x80", "surrogate pair raw": b"\xed\xa0\xbd\xed\xb8\x80",
        "escaped high surrogate": b"\\ud800", "escaped low surrogate": b"\\udc00",
          "escaped reversed pair": b"\\udc00\\ud800",
        "escaped NUL": b"a\\u0000b", "raw NUL": b"a\x00b", "raw newline": b"a\nb", "raw tab": b"a\tb",
        "escaped C0": b"a\\u001fb", "escaped backspace": b"a\\bb", "escaped form feed": b"a\\fb",
        "noncharacter FFFF": b"\xef\xbf\xbf", "noncharacter FFFE": b"\\uFFFE", "noncharacter FDD0": b"\xef\xb7\x90",
        "noncharacter 1FFFF": b"\xf0\x9f\xbf\xbf", "beyond Unicode": b"\xf4\x90\x80\x80", "truncated": b"\xe2\x82",
        "lone continuation": b"\x80", "latin-1": b"\xe9t\xe9", "bad escape": b"\\x41", "short escape": b"\\u12",
    }.items()
]  # fmt: skip
_PLAIN = b'{"resourceType":"Patient"}'
_SHAPES = [
    _json(name, body)
    for name, body in {
        "empty": b"",
        "blank": b" \n ",
        "array": b"[" + _PLAIN + b"]",
        "null": b"null",
        "text": b'"Patient"',
        "number": b"1",
        "two objects": _PLAIN + _PLAIN,
        "trailing text": _PLAIN + b"x",
        "unfinished": b'{"resourceType":"Patient"',
        "comment": b'{/* a */"resourceType":"Patient"}',
        "single quotes": b"{'resourceType':'Patient'}",
        "trailing comma": b'{"resourceType":"Patient",}',
        "byte order mark": b"\xef\xbb\xbf" + _PLAIN,
        "UTF-16": _PLAIN.decode().encode("utf-16"),
        "UTF-16-BE": _PLAIN.decode().encode("utf-16-be"),
        "UTF-16-LE": _PLAIN.decode().encode("utf-16-le"),
        "UTF-32": _PLAIN.decode().encode("utf-32"),
        "XML": b'<Patient xmlns="http://hl7.org/fhir"/>',
        "array too long": lambda: b'{"resourceType":"Patient","name":[' + b"{}," * 10_000 + b"{}]}",
        "bundle too long": lambda: b'{"resourceType":"Bundle","entry":[' + b"{}," * 100 + b"{}]}",
        "resource too long": lambda: b'{"resourceType":"Patient","language":"' + b"x" * 1_100_000 + b'"}',
    }.items()
]
JSON_BODIES: list[Row] = [*_DEEP, *_TWICE, *_NUMBERS, *_TEXTS, *_SHAPES]


def _patient(content: bytes = b"", before: bytes = b"") -> bytes:
    return before + b'<Patient xmlns="http://hl7.org/fhir">' + content + b"</Patient>"


def canary(address: str) -> list[bytes]:
    """Documents that make a careless parser read `address` (TF-093, TF-094, TF-096)."""
    to = address.encode()
    value = b'<id value="&x;"/>'
    return [
        _patient(value, b'<!DOCTYPE Patient [<!ENTITY x SYSTEM "%s">]>' % to),
        _patient(b"<id>&x;</id>", b'<!DOCTYPE Patient [<!ENTITY x SYSTEM "%s">]>' % to),
        _patient(b"", b'<!DOCTYPE Patient SYSTEM "%s">' % to),
        _patient(b"", b'<!DOCTYPE Patient PUBLIC "a" "%s">' % to),
        _patient(b"", b'<!DOCTYPE Patient [<!ENTITY %% p SYSTEM "%s"> %%p;]>' % to),
        _patient(value, b"<!DOCTYPE Patient [<!ENTITY %% p \"<!ENTITY x SYSTEM '%s'>\"> %%p;]>" % to),
        _patient(b"", b'<!DOCTYPE Patient [<!ATTLIST Patient a CDATA "&x;"><!ENTITY x SYSTEM "%s">]>' % to),
        _patient(b"", b'<!DOCTYPE Patient [<!NOTATION n SYSTEM "%s">]>' % to),
        _patient(value, b" " * 5000 + b'<!DOCTYPE Patient [<!ENTITY x SYSTEM "%s">]>' % to),
        _patient(b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="%s"/>' % to),
        _patient(b"", b'<?xml-stylesheet type="text/xsl" href="%s"?>' % to),
        _patient(b'<id xml:base="%s" value="a"/>' % to),
        b'<Patient xmlns="%s"/>' % to,
        b'<Patient xmlns="http://hl7.org/fhir" xmlns:x="http://www.w3.org/2001/XMLSchema-instance"'
        b' x:noNamespaceSchemaLocation="%s"/>' % to,
    ]


def _expansion(first: bytes, step: bytes, levels: int) -> bytes:
    entities = b"".join(b'<!ENTITY e%d "%s">' % (n + 1, step % ((n,) * step.count(b"%d"))) for n in range(levels))
    return _patient(b'<id value="&e%d;"/>' % levels, b'<!DOCTYPE Patient [<!ENTITY e0 "%s">%s]>' % (first, entities))


_ENTITIES = {
    "exponential expansion": _expansion(b"ha", b"&e%d;" * 10, 9),
    "quadratic expansion": _patient(b"<id/>" + b"&a;" * 1000, b'<!DOCTYPE P [<!ENTITY a "%s">]>' % (b"x" * 50_000)),
    "recursive entity": _patient(b'<id value="&a;"/>', b'<!DOCTYPE P [<!ENTITY a "&b;"><!ENTITY b "&a;">]>'),
    "parameter expansion": _patient(b"", b'<!DOCTYPE P [<!ENTITY % a "x"><!ENTITY % b "%a;%a;">%b;]>'),
    "undeclared entity": _patient(b'<id value="&nbsp;"/>'),
    "endless device": _patient(b'<id value="&x;"/>', b'<!DOCTYPE P [<!ENTITY x SYSTEM "file:///dev/zero">]>'),
    "random device": _patient(b"", b'<!DOCTYPE P [<!ENTITY % x SYSTEM "file:///dev/random"> %x;]>'),
    "DOCTYPE in lower case": _patient(b"", b"<!doctype Patient>"),
    "DOCTYPE after blanks": b" \n" * 2000 + _patient(b"", b"<!DOCTYPE Patient>"),
    "DOCTYPE in UTF-16": _patient(b"", b"<!DOCTYPE Patient>").decode().encode("utf-16"),
    "DOCTYPE in UTF-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-!DOCTYPE P+AD4-<Patient/>',
}


def _declared(encoding: str, codec: str | None = None) -> bytes:
    text = f'<?xml version="1.0" encoding="{encoding}"?><Patient xmlns="http://hl7.org/fhir"/>'
    return text.encode(codec or "ascii")


_ENCODINGS = {
    "UTF-16 with mark": _declared("UTF-16", "utf-16"),
    "UTF-16-LE": _declared("UTF-16", "utf-16-le"),
    "UTF-16-BE": _declared("UTF-16", "utf-16-be"),
    "UTF-32": _declared("UTF-32", "utf-32"),
    "UTF-8 with mark": b"\xef\xbb\xbf" + _patient(),
    "UTF-7 declared": _declared("UTF-7"),
    "UTF-16 declared in UTF-8": _declared("UTF-16"),
    "latin-1 declared": _declared("ISO-8859-1"),
    "EBCDIC": _declared("IBM037", "cp037"),
    "EBCDIC declared": _declared("IBM037"),
    "XML 1.1": b'<?xml version="1.1"?>' + _patient(),
    "overlong UTF-8": _patient(b'<id value="\xc0\xaf"/>'),
    "raw surrogate": _patient(b'<id value="\xed\xa0\x80"/>'),
    "truncated UTF-8": _patient(b'<id value="\xe2\x82"/>'),
    "latin-1": _patient(b'<id value="\xe9"/>'),
    "NUL": _patient(b'<id value="\x00"/>'),
    "NUL reference": _patient(b'<id value="&#0;"/>'),
    "control reference": _patient(b'<id value="&#x1F;"/>'),
    "surrogate reference": _patient(b'<id value="&#xD800;"/>'),
    "noncharacter reference": _patient(b'<id value="&#xFDD0;"/>'),
    "noncharacter": _patient(b'<id value="\xf0\x9f\xbf\xbf"/>'),
}
_STRUCTURES: dict[str, Body] = {
    "empty": b"",
    "JSON": b'{"resourceType":"Patient"}',
    "no namespace": b"<Patient/>",
    "foreign namespace": b'<Patient xmlns="urn:hl7-org:v3"/>',
    "foreign element": _patient(b'<x:id xmlns:x="urn:x" value="a"/>'),
    "xhtml as resource": b'<div xmlns="http://www.w3.org/1999/xhtml">a</div>',
    "unknown resource": b'<Nothing xmlns="http://hl7.org/fhir"/>',
    "twice id": _patient(b'<id value="a"/><id value="b"/>'),
    "twice far apart": _patient(
        b'<gender value="male"/>' + b'<name><family value="a"/></name>' * 50 + b'<gender value="a"/>'
    ),
    "twice attribute": _patient(b'<id value="a" value="b"/>'),
    "two roots": _patient() + _patient(),
    "text after": _patient() + b"x",
    "unclosed": b'<Patient xmlns="http://hl7.org/fhir">',
    "comment in a value": _patient(b'<id value="a<!-- x -->b"/>'),
    "comment in an element": _patient(b"<id>a<!-- x -->b</id>"),
    "CDATA": _patient(b"<id><![CDATA[a]]></id>"),
    "processing instruction": _patient(b"<?php x?>"),
    "style sheet": _patient(b"", b'<?xml-stylesheet href="a"?>'),
    "attribute of a resource": b'<Patient xmlns="http://hl7.org/fhir" id="a"/>',
    "script in narrative": _patient(b'<text><div xmlns="http://www.w3.org/1999/xhtml"><script>a</script></div></text>'),
    "depth 10 000": lambda: _patient(b"<contact>" * 10_000 + b"</contact>" * 10_000),
    "depth 100": lambda: _patient(b'<extension url="a">' * 100 + b"</extension>" * 100),
    "a million siblings": lambda: _patient(b"<id/>" * 1_000_000),
    "a million attributes": lambda: b"<Patient " + b" ".join(b'a%d="1"' % n for n in range(1_000_000)) + b"/>",
    "attributes with blanks": lambda: b"<Patient " + b" ".join(b"a%d = '1'" % n for n in range(600_000)) + b"/>",
    "100 000 namespaces": lambda: b"<Patient " + b" ".join(b'xmlns:a%d="u"' % n for n in range(100_000)) + b"/>",
    "10 MB name": lambda: b"<" + b"a" * 10_000_000 + b"/>",
    "11 MB text": lambda: _patient(b"x" * 11_000_000),
    "11 MB value": lambda: _patient(b'<gender value="' + b"x" * 11_000_000 + b'"/>'),
    "comments between letters": lambda: _patient(b"<id>" + b"a<!---->" * 100_000 + b"</id>"),
}
XML_BODIES: list[Row] = [
    *((f"canary {n}", XML, body) for n, body in enumerate(canary("file:///etc/hostname"))),
    *((name, XML, body) for group in (_ENTITIES, _ENCODINGS, _STRUCTURES) for name, body in group.items()),
]

# Values outside their type, as (type, JSON value): TF-103, TF-105, TF-106.
PRIMITIVES: list[tuple[str, Any]] = [
    *(
        ("date", text)
        for text in ("2021-02-30", "2021-02-29", "0000", "0000-01-01", "2021-13", "2021-00-01", "2021-1-1", "20210101",
                     "2021-01-01T", "21-01-01", "2021-01-32", " 2021", "2021 ", "２０２１", "٢٠٢١", "2021-W01", "",
                       2021, True)
    ),
    *(
        ("dateTime", text)
        for text in ("2021-01-01T24:00:00Z", "2021-01-01T10:00Z", "2021-01-01T10:00:00", "2021-01-01 10:00:00Z",
                     "2021-02-30T10:00:00Z", "2021-01-01T10:00:60Z", "2021-01-01T10:60:00Z",
                       "2021-01-01T10:00:00+15:00",
                     "2021-01-01T10:00:00+0100", "2021-01-01t10:00:00z", "2021-01-01T10:00:00.Z",
                       "0000-01-01T10:00:00Z")
    ),
    *(("instant", text) for text in ("2021-01-01", "2021", "2021-01-01T10:00:00", "2021-01-01T10:00:00.123", "now")),
    *(("time", text) for text in ("24:00:00", "10:00", "1:00:00", "10:00:00Z", "10:61:00")),
    *(("id", text) for text in ("", "a" * 65, "a b", "a_b", "é", "a/b", "a\n", "../x", "a%00", "ａ")),
    *(("code", text) for text in ("", "current ", " current", "a  b", "a\tb", "a\n", "a\u00a0b", 1)),
    *(("oid", text) for text in ("1.2.3", "urn:oid:1", "urn:oid:3.1", "urn:oid:1.02", "URN:OID:1.2",
      "urn:oid:1.2.", "urn:oid:１.2")),
    *(("uuid", text) for text in (UUID_TEXT, "urn:uuid:1", f"urn:uuid:{UUID_TEXT.upper()}",
      f"urn:uuid:{{{UUID_TEXT}}}")),
    *(("uri", text) for text in ("", "a b", " http://a", "http://a\n", "urn:oid:01.2", "urn:uuid:zz", "a\u00a0b")),
    *(("url", text) for text in ("", "http://a b", "\thttp://a")),
    *(("canonical", text) for text in ("", "a b")),
    *(("base64Binary", text) for text in ("", "QQ", "QQ=", "Q===", "QQ==QQ==", "Q Q", "é===", "QUJ*", "_-_-", " ")),
    *(("boolean", value) for value in ("true", "false", 0, 1, None, "True")),
    *(("integer", value) for value in ("12", 2**31, -(2**31) - 1, True, 1.5)),
    *(("positiveInt", value) for value in (0, -1, "1", 2**31)),
    *(("unsignedInt", value) for value in (-1, "0", 2**31)),
    *(("decimal", value) for value in ("1.5", True, "NaN", 1.5)),
    *(("string", value) for value in ("", " ", "\n\t", 1, None, [], {})),
    *(("markdown", value) for value in ("", "  ")),
]  # fmt: skip


def _operation(path: str, value: Any, op: str = "replace") -> bytes:
    return json.dumps([{"op": op, "path": path, "value": value}]).encode()


def _parameters(path: str, value: Any = "current", kind: str = "replace") -> bytes:
    parts = [
        {"name": "type", "valueCode": kind},
        {"name": "path", "valueString": path},
        {"name": "value", "valueCode": value},
    ]
    return json.dumps({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}).encode()


def _diff(content: str) -> bytes:
    return f'<diff xmlns:f="http://hl7.org/fhir">{content}</diff>'.encode()


_POINTERS = (
    "", "/", "/subject", "/subject/reference", "/id", "/meta/versionId", "/status/", "/status/0", "//status", "status",
    "/Status", "/status~1x", "/securityLabel/00", "/securityLabel/-1", "/securityLabel/0/coding/0/code",
      "/securityLabel/a",
    "/extension/0/url", "/extension", "/extension/0/valueString", "/extension/99999/valueBoolean",
      "/content/0/attachment/url",
    "/extension[url:'http://example.org/other']/valueBoolean", f"/extension[url:'{ARCHIVED}']/url", "/relatesTo",
    "/masterIdentifier/value", "/identifier/-", "/contained/0", "/status\u0000", "/../status", "/author",
      "/resourceType",
)  # fmt: skip
_FHIRPATHS = (
    "DocumentReference", "status", "DocumentReference.subject", "DocumentReference.repeat(children())", "Patient.name",
    "DocumentReference.subject.resolve().name", "DocumentReference.descendants()", "%resource.status", "$this",
    "DocumentReference.status | DocumentReference.id", "DocumentReference.securityLabel.where(true)", "iif(true, 1, 2)",
    "DocumentReference.securityLabel[0].coding[0]", "DocumentReference.extension('http://example.org/x').value",
    "DocumentReference.extension.where(url='http://example.org/x').value", "DocumentReference.securityLabel[-1]",
    " | ".join(["DocumentReference.status"] * 1000), "DocumentReference.status.trace('a')", "now()", "@2020",
    "DocumentReference.meta", "DocumentReference.text", "DocumentReference.contained[0]", "DocumentReference.status()",
    "DocumentReference . status", "DocumentReference.status //", "1.repeat($this+1)",
)  # fmt: skip
_XPATHS = (
    "", "/", "//f:status/@value", "f:DocumentReference/f:subject", "f:DocumentReference/*",
      "f:DocumentReference/f:id/@value",
    "f:DocumentReference/f:status/ancestor::*", "id('a')", "document('file:///etc/passwd')",
      "f:DocumentReference/f:status",
    "f:DocumentReference/f:securityLabel[last()]", "f:DocumentReference/f:securityLabel[position()=1]",
    "f:DocumentReference/f:extension[@url='http://example.org/x']/f:valueBoolean/@value",
      "f:DocumentReference/comment()[1]",
    "f:DocumentReference/f:status/@value | f:DocumentReference/f:id/@value", "g:DocumentReference/g:status/@value",
)  # fmt: skip

PATCHES: list[Row] = [
    *((f"pointer {path}", JSON_PATCH, _operation(path, "current")) for path in _POINTERS),
    *((f"fhirpath {path[:60]}", JSON, _parameters(path)) for path in _FHIRPATHS),
    *((f"xpath {path[:60]}", XML_PATCH, _diff(f'<replace sel="{path}">current</replace>')) for path in _XPATHS),
    *((f"{op} /status", JSON_PATCH, _operation("/status", "current", op)) for op in ("move", "copy", "remove",
      "merge", "")),
    *(
        (f"status {value!r}", JSON_PATCH, _operation("/status", value))
        for value in ("current ", " current", "CURRENT", "bogus", "", None, True, 1, ["current"], {"value": "current"})
    ),
    *(
        (f"archived {value!r}", JSON_PATCH, _operation(f"/extension[url:'{ARCHIVED}']/valueBoolean", value))
        for value in ("true", "false", 1, 0, None, [True], {"valueBoolean": True})
    ),
    *(
        (f"label {value!r}", JSON_PATCH, _operation("/securityLabel/0", value))
        for value in ("restricted", None, [], {}, 1, [{"text": "a"}])
    ),
    ("labels as one", JSON_PATCH, _operation("/securityLabel", {"text": "a"})),
    ("no label", JSON_PATCH, _operation("/securityLabel", [])),
    ("replace at the end", JSON_PATCH, _operation("/securityLabel/-", {"text": "a"})),
    ("other extension", JSON_PATCH, _operation("/extension/-", {"url": "http://example.org/x",
      "valueBoolean": True}, "add")),
    ("extension too rich", JSON_PATCH, _operation("/extension/-", {"url": ARCHIVED, "valueBoolean": True, "x": 1},
      "add")),
    ("no operation", JSON_PATCH, b"[]"),
    ("an object", JSON_PATCH, b'{"op":"replace","path":"/status","value":"current"}'),
    ("not operations", JSON_PATCH, b"[1]"),
    ("no path", JSON_PATCH, b'[{"op":"replace","value":"current"}]'),
    ("no value", JSON_PATCH, b'[{"op":"replace","path":"/status"}]'),
    ("path no text", JSON_PATCH, b'[{"op":"replace","path":1,"value":"current"}]'),
    ("twice op", JSON_PATCH, b'[{"op":"test","op":"replace","path":"/status","value":"current"}]'),
    ("not JSON", JSON_PATCH, b"replace /status current"),
    ("11 operations", JSON_PATCH, b"[" + b",".join([_operation("/status", "current")[1:-1]] * 11) + b"]"),
    ("1000 operations", JSON_PATCH, b"[" + b",".join([_operation("/status", "current")[1:-1]] * 1000) + b"]"),
    ("10000 operations", JSON_PATCH, lambda: b"[" + b",".join([_operation("/status",
      "current")[1:-1]] * 10_000) + b"]"),
    ("long value", JSON_PATCH, lambda: _operation("/securityLabel/-", {"text": "x" * 300_000}, "add")),
    ("no Parameters", JSON, b'{"resourceType":"Patient"}'),
    ("no parameter", JSON, b'{"resourceType":"Parameters"}'),
    ("empty parameters", JSON, b'{"resourceType":"Parameters","parameter":[]}'),
    ("parameter without part", JSON, b'{"resourceType":"Parameters","parameter":[{"name":"operation"}]}'),
    ("fhirpath move", JSON, _parameters("DocumentReference.securityLabel", 1, "move")),
    ("fhirpath unknown type", JSON, _parameters("DocumentReference.status", "current", "merge")),
    ("fhirpath delete status", JSON, _parameters("DocumentReference.status", "current", "delete")),
    ("no diff", XML_PATCH, b"<patch/>"),
    ("empty diff", XML_PATCH, b"<diff/>"),
    ("diff with DOCTYPE", XML_PATCH,
      b"<!DOCTYPE diff>" + _diff('<remove sel="f:DocumentReference/f:securityLabel[1]"/>')),
    ("add a status", XML_PATCH, _diff('<add sel="f:DocumentReference"><f:status value="current"/></add>')),
    ("add an attribute", XML_PATCH, _diff('<add sel="f:DocumentReference/f:status" type="@value">current</add>')),
    ("status as element", XML_PATCH, _diff('<replace sel="f:DocumentReference/f:status/@value"><f:a/></replace>')),
    ("foreign label", XML_PATCH, _diff('<add sel="f:DocumentReference"><securityLabel/></add>')),
    ("text/plain", "text/plain", _operation("/status", "current")),
    ("no content type", "", _operation("/status", "current")),
]  # fmt: skip

# Pairs of headers a body may not be sent with: (name, Content-Type, Content-Encoding), TF-111 and TF-112.
CONTENT_TYPES: list[tuple[str, str | None, str | None]] = [
    *((f"type {text!r}", text, None) for text in (
        None, "", "text/plain", "text/html", "application/pdf", "multipart/form-data; boundary=a", "application",
        "application/x-www-form-urlencoded", "application/fhir+json; charset=utf-16",
          "application/json; charset=latin-1",
        "application/fhir+json; fhirVersion=5.0", "application/fhir+json; fhirVersion=3.0", "application/fhir+turtle",
        "application/fhir+json; charset=utf-8; charset=utf-16", "application/fhir+json, application/fhir+xml",
        "application/fhir+json; charset", "application/ fhir+json", "applicatión/json", "application/fhir+jsonx", "*/*",
        "application/fhir+xml; charset=utf-7",
    )),
    *((f"coding {text!r}", JSON, text)
      for text in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "x")),
]  # fmt: skip
