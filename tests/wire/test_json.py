from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.outcome import Refused
from dmp_fhir.wire.json import Digits, dump_json, parse_json
from dmp_fhir.wire.limits import Limits
from tests.hostile.payloads import JSON_BODIES, body_of
from tests.support.resources import DIGITS, TEXTS, resources, shared_examples


def refusal(data: bytes, limits: Limits | None = None):
    with pytest.raises(Refused) as caught:
        parse_json(data, limits) if limits else parse_json(data)
    return caught.value.refusal


@pytest.mark.parametrize(("name", "content_type", "body"), JSON_BODIES, ids=[row[0] for row in JSON_BODIES])
def test_hostile_json_is_refused(name, content_type, body):
    answer = refusal(body_of(body))
    assert answer.status in (400, 413)
    assert answer.issues[0].code in (("too-long", "too-costly") if answer.status == 413 else ("structure",))
    assert answer.issues[0].fr != answer.issues[0].en


@given(resources())
def test_what_is_written_is_read_back(tree):
    data = dump_json(tree)
    again = parse_json(data)
    assert again == tree
    assert dump_json(again) == data


@given(
    st.recursive(
        TEXTS | DIGITS | st.integers(-(2**63), 2**63) | st.booleans(),
        lambda x: st.lists(x, min_size=1, max_size=4),
        max_leaves=8,
    )
)
def test_decimals_keep_their_digits_wherever_they_are(value):
    data = dump_json({"a": value})
    assert dump_json(parse_json(data)) == data


@pytest.mark.parametrize("digits", ["1.10", "-0", "0.0", "1E5", "1e-7", "9007199254740993", "0.000", "1.50e+3"])
def test_digits(digits):
    data = b'{"value":%s}' % digits.encode()
    assert dump_json(parse_json(data)) == data


def test_large_integers_stay_exact():
    assert parse_json(b'{"a":123456789012345678901234567890}') == {"a": 123456789012345678901234567890}


@given(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4), st.sampled_from(["", " ", "\n", "\t "]))
def test_a_name_given_twice_is_found_whatever_the_white_space(names, blank):
    items = [*names.items(), next(iter(names.items()))]
    pairs = ",".join(f"{dump_json(k).decode()}{blank}:{blank}{dump_json(v).decode()}" for k, v in items)
    assert refusal(("{" + pairs + "}").encode()).issues[0].rule == "TF-102"


def test_text_that_looks_like_a_second_name_is_only_text():
    tree = {"display": 'a "b" : c', "note": '":"', "x": " : "}
    assert parse_json(dump_json(tree)) == tree


def test_a_fault_has_its_place():
    assert "ligne 2, colonne 7" in refusal(b'{"a": 1,\n "b": tru}').issues[0].fr.lower()
    assert "line 3, column 2" in refusal(b'{"a": 1,\n "b": 2,\n "a": 3}').issues[0].en.lower()


def test_sixty_four_levels_are_the_most():
    parse_json(b'{"a":' * 64 + b"1" + b"}" * 64)
    assert refusal(b'{"a":' * 65 + b"1" + b"}" * 65).issues[0].rule == "TF-101"


def test_sizes():
    assert refusal(b'{"a":"' + b"x" * 100 + b'"}', Limits(body=50)).status == 413
    assert refusal(b'{"a":"' + b"x" * 100 + b'"}', Limits(resource=50)).status == 413
    assert refusal(b'{"a":[' + b"1," * 20 + b"1]}", Limits(items=20)).status == 413
    assert refusal(b'{"resourceType":"Bundle","entry":[{},{},{}]}', Limits(entries=2)).status == 413


def test_content_is_not_counted_as_resource():
    tree = {"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD" * 100}
    assert parse_json(dump_json(tree), Limits(resource=100)) == tree


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda d: pickle.loads(pickle.dumps(d))])
def test_digits_survive_copies(copied):
    assert copied(Digits("1.50")).text == "1.50"


def test_only_tree_values_are_written():
    with pytest.raises(TypeError):
        dump_json({"a": object()})


@pytest.mark.parametrize("path", shared_examples(), ids=lambda path: path.name)
def test_examples_of_the_guides(path):
    tree = parse_json(path.read_bytes())
    assert parse_json(dump_json(tree)) == tree
