from __future__ import annotations

import socket
import threading
import time

import pytest
from hypothesis import given

from dmp_fhir.outcome import Refused
from dmp_fhir.wire.json import dump_json, parse_json
from dmp_fhir.wire.limits import Limits
from dmp_fhir.wire.xml import dump_xml, parse_xml
from tests.hostile.payloads import CANARY_TEXT, XML_BODIES, body_of, canary
from tests.support.resources import resources, shared_examples

PATIENT = b'<Patient xmlns="http://hl7.org/fhir">%s</Patient>'


def refusal(data: bytes, limits: Limits | None = None):
    with pytest.raises(Refused) as caught:
        parse_xml(data, limits) if limits else parse_xml(data)
    return caught.value.refusal


@pytest.mark.parametrize(("name", "content_type", "body"), XML_BODIES, ids=[row[0] for row in XML_BODIES])
def test_hostile_xml_is_refused_at_once(name, content_type, body):
    data = body_of(body)
    start = time.process_time()
    answer = refusal(data)
    assert time.process_time() - start < 2
    assert answer.status in (400, 413, 422)
    assert CANARY_TEXT not in answer.issues[0].fr + answer.issues[0].en


def test_nothing_is_fetched(tmp_path):
    """A listener and a file stand where the documents point at: neither is read."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)

        def listen() -> None:
            try:
                calls.append(server.accept())
            except TimeoutError:
                pass

        thread = threading.Thread(target=listen)
        thread.start()
        (tmp_path / "canary").write_text(CANARY_TEXT)
        for address in (f"http://127.0.0.1:{server.getsockname()[1]}/x", (tmp_path / "canary").as_uri()):
            for document in canary(address):
                assert CANARY_TEXT not in str(refusal(document).issues)
        thread.join()
    assert calls == []


@given(resources())
def test_json_to_xml_to_json_is_exact(tree):
    written = dump_xml(tree)
    again = parse_xml(written)
    assert again == tree
    assert dump_xml(again) == written
    assert dump_json({name: again[name] for name in tree}) == dump_json(parse_json(dump_json(tree)))


def test_decimals_keep_their_digits():
    tree = parse_json(
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50}}'
    )
    assert b'<value value="1.50"/>' in dump_xml(tree)
    assert b'"value":1.50' in dump_json(parse_xml(dump_xml(tree)))


@pytest.mark.parametrize("path", shared_examples(), ids=lambda path: path.name)
def test_examples_of_the_guides(path):
    tree = parse_json(path.read_bytes())
    assert parse_xml(dump_xml(tree)) == tree


def test_any_order_of_elements_is_read_and_written_in_order():
    tree = parse_xml(
        PATIENT % b'<gender value="male"/><name><family value="A"/></name><active value="true"/><id value="a"/>'
    )
    assert tree == {"resourceType": "Patient", "gender": "male", "name": [{"family": "A"}], "active": True, "id": "a"}
    written = dump_xml(tree).decode()
    assert written.index("<id") < written.index("<active") < written.index("<name") < written.index("<gender")


def test_primitives_with_extensions_in_a_list():
    extension = b'<extension url="http://example.org/x"><valueCode value="y"/></extension>'
    tree = parse_xml(PATIENT % (b'<name><given value="A"/><given id="i">' + extension + b"</given></name>"))
    name = tree["name"][0]
    assert name["given"] == ["A", None]
    assert name["_given"] == [None, {"id": "i", "extension": [{"url": "http://example.org/x", "valueCode": "y"}]}]
    assert parse_xml(dump_xml(tree)) == tree


def test_a_list_of_primitives_that_have_no_value_at_all():
    extension = b'<extension url="http://example.org/x"><valueCode value="y"/></extension>'
    name = parse_xml(PATIENT % (b"<name><given>" + extension + b"</given></name>"))["name"][0]
    assert name == {"_given": [{"extension": [{"url": "http://example.org/x", "valueCode": "y"}]}]}


def test_comments_between_elements_are_passed_over():
    assert parse_xml(PATIENT % b'<!-- a --><gender value="male"/><!-- b -->')["gender"] == "male"


def test_a_comment_in_a_narrative_never_cuts_it():
    text = b'<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">mas<!-- -->que</div></text>'
    assert parse_xml(PATIENT % text)["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml">masque</div>'


def test_a_prefix_is_as_good_as_the_default_namespace():
    data = b'<f:Patient xmlns:f="http://hl7.org/fhir"><f:active value="true"/></f:Patient>'
    assert parse_xml(data) == {"resourceType": "Patient", "active": True}


def test_the_place_of_a_fault_is_named():
    answer = refusal(PATIENT % b'<name><family value="A"/><family value="B"/></name>')
    assert answer.issues[0].expression == "Patient.name.family"
    assert answer.status == 400


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"<unknown/>", 422),
        (b'<gender value="male" other="1"/>', 422),
        (b"<gender/>", 422),
        (b"text", 400),
        (b'<gender value="male"/>text', 400),
        (b"<contained/>", 400),
        (b"<contained><Patient/><Patient/></contained>", 400),
        (b"<contained><Nothing/></contained>", 400),
        (b'<text><status value="empty"/><div xmlns="http://www.w3.org/1999/xhtml"><script/></div></text>', 422),
    ],
)
def test_what_is_no_resource(content, status):
    assert refusal(PATIENT % content).status == status


def test_a_large_document_passes_where_the_library_alone_would_fail():
    data = b"QUJD" * 2_600_000
    body = (
        b'<Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/><data value="' + data + b'"/></Binary>'
    )
    assert len(parse_xml(body)["data"]) == len(data)
    assert refusal(body, Limits(body=10_000_000)).status == 413


def test_sizes():
    assert refusal(PATIENT % (b'<name><family value="x"/></name>' * 20), Limits(items=10)).status == 413
    assert refusal(PATIENT % (b'<name><given value="x"/></name>' * 20), Limits(nodes=50)).status == 413
    assert refusal(PATIENT % (b'<gender value="%s"/>' % (b"x" * 500)), Limits(resource=400)).status == 413
    deep = b'<extension url="u">' * 70 + b'<valueCode value="y"/>' + b"</extension>" * 70
    assert refusal(PATIENT % deep).status == 400


@pytest.mark.parametrize("tree", [{}, {"resourceType": "Nothing"}, {"resourceType": "Patient", "other": 1}])
def test_only_resources_are_written(tree):
    with pytest.raises(ValueError):
        dump_xml(tree)
