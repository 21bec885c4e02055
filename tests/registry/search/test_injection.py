"""No text of a client reaches a statement (TF-118), wildcards are letters (TF-119), oracles are blind (TF-010)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dmp_fhir.outcome import Refused
from dmp_fhir.registry.search.execute import Scope, execute
from dmp_fhir.registry.search.parameters import declared, searched_types
from dmp_fhir.registry.search.parse import parse
from dmp_fhir.store.database import Database, Reader
from dmp_fhir.store.tables import metadata
from tests.registry.search.support import (
    BASE,
    EVERYTHING,
    RECORD,
    Condition,
    document,
    event,
    ids,
    patient,
    put,
    search,
)

MARK = "zq7x"
PAYLOADS = [
    text.replace("@", MARK)
    for text in (
        "@' OR '1'='1",
        "@') OR 1=1 --",
        '@" OR ""="',
        "@'; DROP TABLE document; --",
        "@' UNION SELECT body FROM resource_version --",
        "@%' OR 1=1 /*",
        "@'||(SELECT value FROM ins)||'",
        "@' AND 1=(SELECT 1 FROM pg_sleep(5)) --",
        "@' AND randomblob(1000000000) --",
        "@:record",
        "@:policy_id",
        "@%(record)s",
        "@$1",
        "@?1",
        "@{among}",
        "@%s%n%x",
        "@\\'; DELETE FROM audit_event; --",
        "@ʼ OR 1=1",
        "@＇ OR 1=1",
        "@';ATTACH DATABASE 'x' AS y;--",
        "@'; COPY document TO '/tmp/x'; --",
        "@';VACUUM INTO 'x';--",
    )
]
SHAPES = ["{0}", "s|{0}", "{0}|c", "Practitioner/{0}", "ge{0}", "http://{0}.test/x"]


class Recording(Reader):
    """A reader that keeps the statements."""

    def __init__(self, reader: Reader, statements: list[str]) -> None:
        super().__init__(reader._connection, reader.dialect, reader.keys)
        self.statements = statements

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        self.statements.append(sql)
        return super().rows(sql, params)

    def row(self, sql: str, params: Mapping[str, Any] | None = None) -> tuple[Any, ...] | None:
        self.statements.append(sql)
        return super().row(sql, params)


def names_of(resource_type: str) -> list[str]:
    names = []
    for each in declared(resource_type):
        names += [each.code, *(f"{each.code}:{modifier}" for modifier in each.modifiers)]
        names += [f"{each.code}.{chain}" for chain in each.chains]
        names += [f"{each.code}:{target}" for target in each.targets]
    return [*names, "_sort", "_count", "_include", "_revinclude", "_total", "_summary"]


@pytest.mark.parametrize("resource_type", searched_types())
def test_no_text_of_a_client_in_a_statement(database: Database, resource_type: str) -> None:
    with database.transaction() as tx:
        put(tx, patient())
        put(tx, document("d1"))
        event(tx, "e1", 1)
    counts = {name: "SELECT COUNT(*) FROM " + name for name in metadata.tables}
    with database.snapshot() as reader:
        before = {name: reader.row(sql) for name, sql in counts.items()}
    statements: list[str] = []
    refused = run = 0
    for position, name in enumerate(names_of(resource_type)):
        for offset in range(12):
            payload = PAYLOADS[(position + offset) % len(PAYLOADS)]
            value = SHAPES[offset % len(SHAPES)].format(payload.replace("|", "\\|"))
            try:
                query = parse(resource_type, [(name, value)], lenient=False, base_url=BASE)
            except Refused:
                refused += 1
                continue
            run += 1
            with database.snapshot() as reader:
                page = execute(Recording(reader, statements), query, Scope(RECORD, EVERYTHING))
            if not query.patients and ":not" not in name and "_" not in name:
                assert page.matches == [], (name, value)
    assert run > 20
    assert refused > 20
    assert statements
    assert [sql for sql in statements if MARK in sql] == []
    with database.snapshot() as reader:
        assert {name: reader.row(sql) for name, sql in counts.items()} == before


def test_parameter_names_are_not_a_way_in(database: Database) -> None:
    for payload in PAYLOADS:
        for name in (payload, "status:" + payload, "author." + payload, "status;" + payload):
            with pytest.raises(Refused) as raised:
                search(database, "DocumentReference", (name, "x"))
            assert raised.value.refusal.status == 400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("%", {"percent"}),
        ("_", {"underscore"}),
        ("!", {"bang"}),
        ("*", set()),
        ("a%", set()),
        ("a", {"plain"}),
        ("\\", set()),
    ],
)
def test_wildcards_are_letters(database: Database, value: str, expected: set[str]) -> None:
    with database.transaction() as tx:
        put(tx, patient())
        for document_id, name in (("percent", "%x"), ("underscore", "_x"), ("bang", "!x"), ("plain", "abc")):
            author = {"type": "Practitioner", "display": name}
            put(tx, document(document_id, author=[author]))
    for modifier in ("", ":contains"):
        found = search(database, "DocumentReference", (f"author.family{modifier}", value))
        assert ids(found) == expected


HIDDEN = EVERYTHING | {"DocumentReference": Condition("d.id <> 'secret'")}
PROBES = [
    "author.family=mor",
    "author.family:contains=ore",
    "author.given:exact=Zoé",
    "author:missing=true",
    "author:missing=false",
    "author=Practitioner/p1",
    "author.identifier=42",
    "type=a",
    "type:not=a",
    "type:missing=false",
    "security-label=MASQUE_PS",
    "security-label:not=MASQUE_PS",
    "security-label=N,MASQUE_PS",
    "category:missing=true",
    "date=2024",
    "date:missing=false",
    "relatesto=shown",
    "relatesto:missing=false",
    "identifier=secret-id",
    "identifier:not=secret-id",
    "_id=secret",
    "_id:not=shown",
    "_lastUpdated=ge1970",
    "isArchived=true,false",
    "isArchived:not=true",
    "status=superseded",
    "status:not=current",
    "_sort=date",
    "_sort=-_lastUpdated",
    "_summary=count",
]


@pytest.mark.parametrize("probe", PROBES)
def test_answers_do_not_depend_on_what_is_hidden(database: Database, probe: str) -> None:
    """The same answer whatever the hidden document holds, and when there is none."""
    name, _, value = probe.partition("=")
    with database.transaction() as tx:
        put(tx, patient())
        put(tx, document("shown", type={"coding": [{"code": "a"}]}, date="2024-05"), instant=2_000)
    answers = [search(database, "DocumentReference", (name, value), predicates=HIDDEN)]
    secrets = [
        {"type": {"coding": [{"code": "a"}]}, "author": [{"display": "Zoé Moreau", "identifier": {"value": "42"}}]},
        {
            "status": "superseded",
            "date": "2024",
            "category": [{"coding": [{"code": "c"}]}],
            "author": [{"reference": "Practitioner/p1"}],
            "securityLabel": [{"coding": [{"code": "MASQUE_PS"}]}],
            "relatesTo": [{"target": {"reference": "DocumentReference/shown"}}],
            "identifier": [{"value": "secret-id"}],
        },
    ]
    for version, secret in enumerate(secrets, 1):
        with database.transaction() as tx:
            put(tx, document("secret", **secret), instant=3_000 + version, version=version)
        answers.append(search(database, "DocumentReference", (name, value), predicates=HIDDEN))
    assert answers[0] == answers[1] == answers[2]
