"""What comes out is what went in: documents to the byte, resources after canonical form (TF-196)."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.xml import dump_xml, parse_xml
from tests.support.server import LiveServer
from tests.writing.api import JSON, XML, InProcess, OverHttp
from tests.writing.lots import Tree, attachment_of, body, documents_in, lot, oid, simple, urn

MEGABYTE = 1_000_000
SIZES = [1, 2, 3, 57, 58, 4095, 4096, 4097, 65_536, MEGABYTE, 3 * MEGABYTE + 1, 10 * MEGABYTE]
# Bytes that text tools like to change.
TELLING = [
    b"\xef\xbb\xbfafter a byte order mark",
    b"lines\r\nof two\rkinds\n\n",
    b"\x00\x01\x02\xff\xfe",
    b"   ",
    b"<a>&amp;&lt;</a>",
    "e\u0301 et \u00e9, \u202e, \U0001f9ec".encode(),
    b'{"resourceType":"Binary"}',
    b"=" * 5,
]


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def every_way_out(api: InProcess | OverHttp, document: Tree) -> list[bytes]:
    """The bytes by ITI-68: in their own type, whatever is accepted, as FHIR JSON and as FHIR XML."""
    url = document["content"][0]["attachment"]["url"]
    address = url[url.index("/fhir/") + 5 :]
    ways = [api.get(address, Accept=accept).content for accept in ("text/plain", "*/*")]
    as_json = api.get(address, Accept=JSON)
    as_xml = api.get(address, Accept=XML)
    assert (as_json.headers["Content-Type"][:21], as_xml.headers["Content-Type"][:20]) == (JSON, XML)
    trees = parse_json(as_json.content), parse_xml(as_xml.content)
    return [*ways, *(_decoded(tree) for tree in trees)]


def _decoded(tree: Tree) -> bytes:
    return base64.b64decode(tree["data"])


@pytest.mark.parametrize("content_type", [JSON, XML])
@pytest.mark.parametrize("content", TELLING, ids=range(len(TELLING)))
def test_telling_bytes(api: InProcess, content: bytes, content_type: str) -> None:
    bundle = lot("telling", content)
    sent = body(bundle) if content_type == JSON else dump_xml(bundle)
    assert api.provide(sent, content_type=content_type).status == 200
    (document,) = api.found(oid("telling/0"))
    assert set(every_way_out(api, document)) == {content}
    assert attachment_of(content).items() <= document["content"][0]["attachment"].items()


def test_sizes_through_a_real_server(two_workers: LiveServer) -> None:
    """1 B to 10 MB, in lots and alone, over HTTP."""
    api = OverHttp(two_workers)
    drawn = random.Random(196)
    for size in SIZES:
        content = drawn.randbytes(size)
        name = f"size-{size}"
        assert api.provide(lot(name, content)).status == 200
        (document,) = api.found(oid(f"{name}/0"))
        assert hash_of(api.bytes_of(document)) == hash_of(content), size
        if size <= MEGABYTE:
            assert {hash_of(each) for each in every_way_out(api, document)} == {hash_of(content)}
            alone = api.publish(simple(f"alone-{size}", content))
            assert hash_of(api.bytes_of(alone.tree)) == hash_of(content)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=300))
def test_any_bytes(api: InProcess, content: bytes) -> None:
    name = hash_of(content)
    created = api.publish(simple(name, content))
    assert created.status in (200, 201)
    assert set(every_way_out(api, created.tree)) == {content}


# --- resources ------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """JSON with sorted names and every number as it was written."""
    return json.dumps(_with_digits(value), sort_keys=True, ensure_ascii=False)


def _with_digits(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_digits(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_digits(each) for each in value]
    return value if isinstance(value, bool | int | str) or value is None else f"decimal {value.text}"


DECIMALS = [
    "1.0",
    "1.00",
    "0.1",
    "100.000",
    "1E3",
    "1.5e-7",
    "-0.0",
    "123456789.123456789123456789",
    "0.30000000000000004",
]


def fhir_document(name: str) -> Tree:
    """A Bundle of type document whose observations carry awkward decimals and texts."""
    observations = [
        {
            "fullUrl": urn(f"{name}/{n}"),
            "resource": {
                "resourceType": "Observation",
                "id": f"o{n}",
                "status": "final",
                "code": {"text": "e\u0301 \u00e9 \U0001f9ec \u200f <&>\"' \\ \u00a0 fin"},
                "valueQuantity": {"value": 0, "unit": "mg"},
                "note": [{"text": "une ligne\nune autre\tet une tabulation"}],
                "extension": [{"url": "https://example.org/x", "valueString": "gardé"}],
            },
        }
        for n in range(len(DECIMALS))
    ]
    composition = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "Note"},
        "date": "2026-11-22T08:00:00.120+01:00",
        "author": [{"display": "Dr Moreau"}],
        "title": "Note",
        "_title": {"extension": [{"url": "https://example.org/y", "valueBoolean": True}]},
        "section": [{"title": "Mesures", "entry": [{"reference": each["fullUrl"]} for each in observations]}],
    }
    text = json.dumps(
        {
            "resourceType": "Bundle",
            "type": "document",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": urn(f"{name}/id")},
            "timestamp": "2026-11-22T08:00:00.000Z",
            "entry": [{"fullUrl": urn(f"{name}/c"), "resource": composition}, *observations],
        }
    )
    for decimal in DECIMALS:
        text = text.replace('"value": 0,', f'"value": {decimal},', 1)
    return parse_json(text.encode())


def with_fhir_document(name: str) -> tuple[Tree, Tree]:
    bundle, document = lot(name), fhir_document(name)
    (reference,) = documents_in(bundle)
    attachment = reference["content"][0]["attachment"]
    attachment |= attachment_of(body(document), contentType="application/fhir+json")
    bundle["entry"][2] |= {"resource": document, "request": {"method": "POST", "url": "Bundle"}}
    return bundle, document


@pytest.mark.parametrize("content_type", [JSON, XML])
def test_a_fhir_document_keeps_its_digits_and_texts(api: InProcess, content_type: str) -> None:
    bundle, document = with_fhir_document("fhir")
    sent = body(bundle) if content_type == JSON else dump_xml(bundle)
    answer = api.provide(sent, content_type=content_type)
    assert answer.status == 200, answer.content
    (reference,) = api.found(oid("fhir/0"))
    url = reference["content"][0]["attachment"]["url"]
    address = url[url.index("/fhir/") + 5 :]
    out_json, out_xml = api.get(address, Accept=JSON), api.get(address, Accept=XML)
    for out in (parse_json(out_json.content), parse_xml(out_xml.content)):
        kept = {name: each for name, each in out.items() if name not in ("id", "meta")}
        assert canonical(kept) == canonical(document)
    # What the DocumentReference says of it is true of the bytes served.
    assert attachment_of(out_json.content).items() - {("contentType", "text/plain")} <= (
        reference["content"][0]["attachment"].items()
    )
    other = (dump_xml(bundle), XML) if content_type == JSON else (body(bundle), JSON)
    assert api.provide(other[0], content_type=other[1]).statuses == ["200"] * 3


def test_what_is_not_the_registrys_comes_back_unchanged(api: InProcess) -> None:
    """A DocumentReference with unknown extensions, ids, unicode: everything but what the registry sets is as sent."""
    bundle = lot("kept")
    (sent,) = documents_in(bundle)
    sent["description"] = "e\u0301 \u00e9 \U0001f9ec\nligne"
    sent["_description"] = {"id": "d", "extension": [{"url": "https://example.org/x", "valueDecimal": 1}]}
    sent["extension"].append({"url": "https://example.org/y", "valueQuantity": {"value": 1}})
    text = (
        body(bundle).decode().replace('"valueDecimal":1', '"valueDecimal":1.500').replace('"value":1}', '"value":0.10}')
    )
    sent = documents_in(parse_json(text.encode()))[0]
    for name, content, content_type in (
        ("json", text.encode(), JSON),
        ("xml", dump_xml(parse_json(text.encode())), XML),
    ):
        assert api.provide(content, content_type=content_type).status == 200, name
    (found,) = api.found(oid("kept/0"))
    kept = parse_json(api.get(f"/DocumentReference/{found['id']}").content)
    as_xml = parse_xml(api.get(f"/DocumentReference/{found['id']}", Accept=XML).content)
    assert canonical(as_xml) == canonical(kept)
    expected = copy.deepcopy(sent)
    ours = ("id", "meta", "identifier", "subject", "securityLabel", "content")
    assert canonical({n: v for n, v in kept.items() if n not in ours}) == canonical(
        {n: v for n, v in expected.items() if n not in ours}
    )
    attachment = {n: v for n, v in kept["content"][0]["attachment"].items() if n != "url"}
    assert attachment == {n: v for n, v in sent["content"][0]["attachment"].items() if n != "url"}
