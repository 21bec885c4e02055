from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.profiles.definitions import invariants
from dmp_fhir.profiles.fhirpath import Environment, compiled, satisfied
from dmp_fhir.profiles.fhirpath_functions import FUNCTIONS, LAMBDAS
from dmp_fhir.profiles.fhirpath_parser import FhirPathError, parse
from dmp_fhir.profiles.fhirpath_values import plain
from tests.hostile.payloads import PRIMITIVES
from tests.support.resources import resources

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinique"}],
    "active": True,
    "name": [
        {"use": "official", "family": "Vasseur", "given": ["Claire", "Louise"]},
        {"use": "usual", "family": "Martin", "given": ["Claire"]},
    ],
    "birthDate": "1974-03-12",
    "_birthDate": {"extension": [{"url": "http://example.org/time", "valueDateTime": "1974-03-12T08:00:00+01:00"}]},
    "multipleBirthInteger": 2,
    "_gender": {"extension": [{"url": "http://example.org/why", "valueCode": "unknown"}]},
    "managingOrganization": {"reference": "#o"},
    "maritalStatus": {"coding": [{"system": "http://example.org", "code": "M"}]},
    "contact": [{"period": {"start": "2020", "end": "2021-05"}}],
}


def value_of(text: str, tree: Any = PATIENT) -> list[Any]:
    by_id = {"#o": PATIENT["contained"][0]}
    environment = Environment(PATIENT, PATIENT, tree, by_id.get)
    return [plain(item) for item in compiled(text)([tree], environment)]


ANSWERS: list[tuple[str, list[Any]]] = [
    ("name.family", ["Vasseur", "Martin"]),
    ("Patient.name.given", ["Claire", "Louise", "Claire"]),
    ("Organization.name", []),
    ("name.given.distinct()", ["Claire", "Louise"]),
    ("name.where(use = 'usual').family", ["Martin"]),
    ("name.select(given.first())", ["Claire", "Claire"]),
    ("name[1].family", ["Martin"]),
    ("name[7].family", []),
    ("name.count()", [2]),
    ("name.exists(use = 'old')", [False]),
    ("name.all(family.exists())", [True]),
    ("multipleBirth", [2]),
    ("multipleBirth is integer", [True]),
    ("multipleBirth is boolean", [False]),
    ("multipleBirth.ofType(integer) + 1", [3]),
    ("multipleBirth as boolean", []),
    ("deceased is boolean", []),
    ("gender.exists()", [True]),
    ("gender.hasValue()", [False]),
    ("gender.extension.value", ["unknown"]),
    ("gender.extension('http://example.org/why').value", ["unknown"]),
    ("birthDate.hasValue() and birthDate.extension.exists()", [True]),
    ("birthDate = '1974-03-12'", [True]),
    ("birthDate < @1974-03-13", [True]),
    ("birthDate <= @1974", []),
    ("birthDate < @1975", [True]),
    ("@2020-01-01T00:00:00Z = @2020-01-01T01:00:00+01:00", [True]),
    ("@2020-01-01T00:00:00Z < @2020-01-01T00:30:00+01:00", [False]),
    ("contact.period.start <= contact.period.end", [True]),
    ("managingOrganization.resolve().name", ["Clinique"]),
    ("managingOrganization.resolve() is Organization", [True]),
    ("managingOrganization.resolve().ofType(Patient)", []),
    ("$this is Patient", [True]),
    ("contained.ofType(DomainResource).id", ["o"]),
    ("descendants().where(reference = '#o').exists()", [True]),
    ("maritalStatus.coding.code in ('M' | 'S')", [True]),
    ("('M' | 'S') contains 'D'", [False]),
    ("maritalStatus.coding.code.startsWith('M')", [True]),
    ("'abc'.endsWith('bc') and 'abc'.contains('b')", [True]),
    ("'abc'.matches('[a-z]+')", [True]),
    ("'abc1'.matches('[a-z]+')", [False]),
    ("'abc'.substring(1)", ["bc"]),
    ("'abc'.substring(0 + 1, 1)", ["b"]),
    ("'abc'.substring(9)", []),
    ("'a.b.c'.replaceMatches('\\\\..*', '')", ["a"]),
    ("'a' & {} & 'b'", ["ab"]),
    ("'a' + 'b'", ["ab"]),
    ("1 + 2 * 3", [7]),
    ("(1 + 2) * 3", [9]),
    ("7 div 2", [3]),
    ("7 mod 2", [1]),
    ("1 / 0", []),
    ("7 / 2", [Decimal("3.5")]),
    ("-2 < 1", [True]),
    ("2.50 = 2.5", [True]),
    ("'12'.toInteger() >= 12", [True]),
    ("'x'.toInteger()", []),
    ("'" + "9" * 5000 + "'.toInteger()", []),
    ("active.not()", [False]),
    ("{}.not()", []),
    ("{} = 1", []),
    ("{} and false", [False]),
    ("{} and true", []),
    ("{} or true", [True]),
    ("{} or false", []),
    ("false implies {}", [True]),
    ("true implies {}", []),
    ("true xor false", [True]),
    ("{} xor true", []),
    ("1 != 2", [True]),
    ("1 = 'a'", [False]),
    ("(1 | 2 | 1).count()", [2]),
    ("name.given.isDistinct()", [False]),
    ("(1 | 2).intersect(2 | 3)", [2]),
    ("(1 | 2).exclude(2 | 3)", [1]),
    ("(1 | 2).subsetOf(1 | 2 | 3)", [True]),
    ("iif(active, 'yes', 'no')", ["yes"]),
    ("iif(active.not(), 'yes')", []),
    ("name.tail().family", ["Martin"]),
    ("name.skip(1).family | name.take(1).family", ["Martin", "Vasseur"]),
    ("name.last().given.single()", ["Claire"]),
    ("%context.active and %resource.active and %rootResource.active", [True]),
    ("%ucum", ["http://unitsofmeasure.org"]),
    ("name.`family`", ["Vasseur", "Martin"]),
    ("active.trace('why')", [True]),
    ("contact.repeat(period).start", ["2020"]),
    ("children().where($this is Organization).name", ["Clinique"]),
    ("'it\\'s \\u00e9'", ["it's é"]),
]


@pytest.mark.parametrize(("text", "expected"), ANSWERS)
def test_answers(text, expected):
    assert value_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "name.frobnicate()",
        "name.colour",
        "name.where()",
        "name.exists(",
        "name..family",
        "%other",
        "$index",
        "now()",
        "'a' ~ 'A'",
        "name.ofType(HumanName)",
        "'open",
        "name ??",
        "a = ",
        "substring()",
        "memberOf('http://example.org')",
        "",
    ],
)
def test_what_is_not_understood_is_said_when_compiling(text):
    with pytest.raises(FhirPathError):
        compiled(text)


def test_every_invariant_of_r4_compiles_but_the_one_done_by_hand():
    not_compiled = set()
    for rows in invariants().values():
        for key, _, text in rows:
            try:
                compiled(text)
            except FhirPathError:
                not_compiled.add(key)
    assert not_compiled == {"dom-3"}


def test_an_empty_result_satisfies():
    environment = Environment(PATIENT, PATIENT)
    assert satisfied(compiled("photo.size > 3"), PATIENT, environment)
    assert not satisfied(compiled("name.count() > 3"), PATIENT, environment)


def test_precedence():
    assert parse("a or b and c") == parse("a or (b and c)")
    assert parse("a implies b or c") == parse("a implies (b or c)")
    assert parse("a = b | c") == parse("a = (b | c)")
    assert parse("a - b - c") == parse("(a - b) - c")
    assert parse("-a.b") == parse("-(a.b)")


_HOSTILE = [value for _, value in PRIMITIVES]
_EXPRESSIONS = sorted({text for rows in invariants().values() for key, _, text in rows if key != "dom-3"})


@given(resources() | st.sampled_from(_HOSTILE), st.sampled_from(_EXPRESSIONS))
def test_no_tree_makes_an_invariant_fail(tree, text):
    """Malformed trees included: an expression gives an answer or none, never an exception."""
    holder = tree if type(tree) is dict else {"resourceType": "Patient", "name": tree, "status": [tree]}
    assert satisfied(compiled(text), holder, Environment(holder, holder)) in (True, False)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "_name", "value"]), inner),
    max_leaves=8,
)
_NAMES = sorted(name for name, (_, counts) in (FUNCTIONS | LAMBDAS).items() if 0 in counts)


@given(_JSON, st.sampled_from(_NAMES), st.sampled_from(["name", "value", "-name", "name + value", "name < value"]))
def test_no_value_makes_a_function_fail(tree, function, operand):
    assert type(value_of(f"({operand}).{function}()", {"name": tree, "_name": tree, "value": tree})) is list
