"""TF-153: what is asked for by its id and may not be seen is looked for as what nobody has: the same answer byte for
byte, the same statements, for every type and act; and what is masked, in searches, as what is absent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from dmp_fhir.interactions.references import RECORD_ELEMENT
from dmp_fhir.interactions.update import DELETABLE, UPDATABLE
from dmp_fhir.registry.versions import home_of, versions_of
from dmp_fhir.wire.json import parse_json
from tests.leaks.twins import Registry
from tests.rest.bodies import CLAIRE
from tests.rest.caller import JSON_PATCH, Answer
from tests.support import tally
from tests.support.keys import looked_up
from tests.support.statements import recorded

UNIQUE = "urn:oid:2.16.840.1.113883.19.250.1."
NOBODY = "3f0c9a52-7a1e-4d0b-9b1c-2f6f0c1d8e77"
# Who may not see which documents of Claire's record (fixtures/README.md): masked, not yet announced, deleted.
HIDDEN = {
    "dr-petit": ("1.9", "1.22"),
    "infirmiere-robert": ("1.9",),
    "patient-claire-martin": ("1.30", "1.22"),
    "dr-moreau": ("1.22",),
}
STRANGERS = ("dr-masson", "dr-roux", "patient-julien-martin", "labo-feeder")
# Every 256th entry of the log completes a tile, every 1,000th is followed by a head.
_OF_THE_LOG = re.compile(r"audit_tile|audit_head")
# Answers of searches name what was asked for, and have an id of their own.
_NAMES = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|19\.250\.[0-9.]+")


def same_path(
    world: Registry, ask: Callable[[str], Answer], hidden: str, nobody: str = NOBODY, *, status: int = 404
) -> None:
    """Ask for both; nothing tells them apart but the number of the request."""
    seen = [_asked(ask, name) for name in (nobody, hidden)]
    for one, other in zip(seen[0], seen[1], strict=True):
        assert one == other
    assert seen[0][0] == status
    tally.count("F", "hidden and missing compared, with their statements")


def _asked(ask: Callable[[str], Answer], name: str) -> tuple[Any, ...]:
    """What the caller sees of the answer, and the statements that were run for it."""
    with recorded() as statements:
        answer = ask(name)
    if any(_OF_THE_LOG.search(each) for each in statements):
        return _asked(ask, name)
    headers = [each for each in answer.headers if each[0] not in ("X-Request-Id", "Date")]
    return answer.status, headers, _NAMES.sub(b"name", answer.content), [*statements]


def document_of(world: Registry, number: str) -> tuple[str, str, str]:
    """(id, address of the content, uniqueId)."""
    unique_id = UNIQUE + number
    with world.app.extensions["dmp_fhir"].database.snapshot() as reader:
        ((name,),) = reader.rows("SELECT resource_id FROM unique_identifier WHERE value = :value", {"value": unique_id})
        ((kind, payload),) = reader.rows(
            "SELECT resource_type, id FROM payload WHERE document_id = :name", {"name": name}
        )
    return name, f"{kind}/{payload}", unique_id


def patches() -> list[bytes]:
    operations: list[Any] = [
        {"op": "replace", "path": "/status", "value": "superseded"},
        {"op": "test", "path": "/status", "value": "current"},
        {"op": "test", "path": "/status", "value": "superseded"},
        {"op": "replace", "path": "/securityLabel/7", "value": {"code": "N"}},
        {"op": "replace", "path": "/status", "value": "current"},
    ]
    return [json.dumps([each]).encode() for each in operations]


@pytest.mark.parametrize(("by", "number"), [(who, number) for who, numbers in HIDDEN.items() for number in numbers])
def test_hidden_documents(world: Registry, by: str, number: str) -> None:
    document, payload, unique_id = document_of(world, number)
    ask = world.talk.ask
    ask("GET", f"DocumentReference/{document}", by=by)  # what nobody has is looked for where the caller looked last
    for end in ("", "/_history", "/_history/1", "/_history/7", "/$explain-access"):
        same_path(world, lambda name, end=end: ask("GET", f"DocumentReference/{name}{end}", by=by), document)
    for how in ({"If_Match": 'W/"1"'}, {"If_Match": 'W/"9"'}, {"If_None_Match": "*"}, {"If_Match": "x"}, {}):
        same_path(world, lambda name, how=how: ask("DELETE", f"DocumentReference/{name}", by=by, **how), document)
        same_path(world, lambda name, how=how: ask("GET", f"DocumentReference/{name}", by=by, **how), document)
    for patch in patches():
        how = {"by": by, "If_Match": 'W/"9"', "Content_Type": JSON_PATCH}
        same_path(
            world,
            lambda name, patch=patch, how=how: ask("PATCH", f"DocumentReference/{name}", patch, **how),
            document,
        )
    for patch in patches()[1:3]:
        for patient in ("", f"&patient.identifier={quote(CLAIRE)}"):
            same_path(
                world,
                lambda value, patch=patch, patient=patient: ask(
                    "PATCH",
                    f"DocumentReference?identifier={quote(f'urn:ietf:rfc:3986|{value}')}{patient}",
                    patch,
                    by=by,
                    Content_Type=JSON_PATCH,
                ),
                unique_id,
                UNIQUE + number.replace("1.", "8."),
            )
    kind, _, payload_id = payload.partition("/")
    for method in ("GET", "HEAD"):
        for end in ("", "/_history/1", "/_history/2"):
            same_path(world, lambda name, m=method, e=end: ask(m, f"{kind}/{name}{e}", by=by), payload_id)
    for search in ("", f"patient.identifier={quote(CLAIRE)}&"):
        same_path(
            world,
            lambda value, s=search: ask("GET", f"DocumentReference?{s}identifier={quote(value)}", by=by),
            f"urn:ietf:rfc:3986|{unique_id}",
            "urn:ietf:rfc:3986|" + UNIQUE + number.replace("1.", "8."),
            status=200,
        )
    for search in ("_id={}", "relatesto=DocumentReference/{}", "related=DocumentReference/{}"):
        path = f"DocumentReference?patient.identifier={quote(CLAIRE)}&{search}"
        same_path(world, lambda name, path=path: ask("GET", path.format(name), by=by), document, status=200)
    path = f"List?patient.identifier={quote(CLAIRE)}&item=DocumentReference/{{}}"
    same_path(world, lambda name: ask("GET", path.format(name), by=by), document, status=200)


KINDS = ("DocumentReference", "List", "Consent", "Patient", "RelatedPerson", "Binary", "AuditEvent")


@pytest.mark.parametrize("by", STRANGERS)
def test_resources_of_a_record_that_one_may_not_open(world: Registry, by: str) -> None:
    """Every type by its id, with every act that is offered on it."""
    for kind, name in of_record(world):
        world.talk.ask("GET", f"{kind}/{name}", by=by)
        asks = [("GET", end) for end in ("", "/_history", "/_history/1", "/_history/3")]
        asks += [("GET", f"/{operation}") for operation in OPERATIONS.get(kind, ()) if (by, operation) not in ALLOWED]
        asks += [("DELETE", "")] if kind in DELETABLE else []
        asks += [("PATCH", "")] if kind == "DocumentReference" else []
        asks += [("PUT", "")] if kind in UPDATABLE else []
        for method, end in asks:
            if world.talk.ask(method, f"{kind}/{NOBODY}{end}", b"{}", by=by).status == 405:
                continue
            for body in bodies(world, method, kind, name):
                same_path(
                    world,
                    lambda each, m=method, k=kind, e=end, b=body: world.talk.ask(
                        m,
                        f"{k}/{each}{e}",
                        b if m == "PATCH" or b is None else b | {"id": each},
                        by=by,
                        **({"Content_Type": JSON_PATCH} if m == "PATCH" else {}),
                    ),
                    name,
                )


OPERATIONS = {
    "DocumentReference": ("$explain-access",),
    "Patient": ("$explain-access", "$access-history"),
    "AuditEvent": ("$inclusion-proof",),
}
# Professionals and structures may always look at their own acts (AR-98).
ALLOWED = {(who, "$access-history") for who in STRANGERS if not who.startswith("patient")}


def of_record(world: Registry) -> list[tuple[str, str]]:
    """One resource of each kind that belongs to a record, about none of the callers."""
    database = world.app.extensions["dmp_fhir"].database
    with database.snapshot() as reader:
        ((record,),) = reader.rows(
            "SELECT record_id FROM ins WHERE value = :value", {"value": looked_up(database, CLAIRE.rpartition("|")[2])}
        )
        homes = reader.rows(
            "SELECT resource_type, MIN(id) FROM resource_home WHERE record_id = :record AND resource_type <> 'List'"
            " AND (resource_type <> 'Consent' OR id IN (SELECT id FROM consent WHERE kind = 'MEDECIN_TRAITANT'))"
            " GROUP BY resource_type UNION ALL SELECT 'List', MIN(id) FROM document_list l"
            " WHERE record_id = :record AND depositor_id = '899700000112' AND NOT EXISTS"
            " (SELECT 1 FROM list_entry e JOIN document_author a ON a.document_id = e.target_id"
            " WHERE e.list_id = l.id AND a.kind = 'structure' AND a.identifier <> '1990000044')",
            {"record": record},
        )
        events = reader.rows(
            "SELECT id FROM audit_event WHERE record_id = :record AND agent_id = '899700000112' ORDER BY position"
            " LIMIT 1",
            {"record": record},
        )
        # Claire has nobody around her; who has a team is no child of Julien's.
        ((related,),) = reader.rows(
            "SELECT MIN(id) FROM party WHERE resource_type = 'RelatedPerson'"
            " AND record_id IN (SELECT record_id FROM consent WHERE kind = 'EQUIPE')"
        )
    found = (
        dict(homes)
        | {"RelatedPerson": related}
        | {"AuditEvent": events[0][0], "DocumentReference": document_of(world, "1.9")[0]}
    )
    return [(kind, found[kind]) for kind in KINDS]


def bodies(world: Registry, method: str, kind: str, name: str) -> list[Any]:
    if method == "PATCH":
        return patches()
    if method != "PUT":
        return [None]
    database = world.app.extensions["dmp_fhir"].database
    with database.snapshot() as reader:
        found = home_of(reader, kind, name)
        (latest, *_) = versions_of(reader, found or "", kind, name)
    tree = parse_json(latest.body)
    element = RECORD_ELEMENT.get(kind)
    # About its own patient, about another one, about nobody.
    others = [{element: {"reference": each}} for each in (f"Patient/{NOBODY}", "Patient/x")] if element else []
    return [tree, *(tree | each for each in others)]


def test_the_comparison_sees_what_it_looks_for(world: Registry) -> None:
    """Somebody who may see the document runs other statements than for what nobody has."""
    document, _, _ = document_of(world, "1.9")
    with pytest.raises(AssertionError):
        same_path(world, lambda name: world.talk.get(f"DocumentReference/{name}", by="dr-moreau"), document)


@pytest.mark.parametrize("kind", [*KINDS, "CareTeam", "Practitioner"])
def test_nothing_is_found_where_one_looked_last(world: Registry, kind: str) -> None:
    """Whoever sees the record, by an id that nobody has."""
    for by in ("dr-moreau", "patient-claire-martin"):
        assert world.talk.get(f"DocumentReference?patient.identifier={quote(CLAIRE)}", by=by).status == 200
        for end in ("", "/_history", "/_history/1"):
            answer = world.talk.get(f"{kind}/{NOBODY}{end}", by=by)
            assert answer.status in (404, 405), answer.content


def test_an_entry_uuid_alone_finds_nothing_where_one_looked_last(world: Registry) -> None:
    """It is nobody's uniqueId, so it names no record (D12): what stands for its record gives no answer."""
    document, _, unique_id = document_of(world, "1.9")
    tree = world.talk.get(f"DocumentReference/{document}", by="dr-moreau").tree
    (entry_uuid,) = [each["value"] for each in tree["identifier"] if each.get("use") == "official"]
    for value, total in ((unique_id, 1), (entry_uuid, 0)):
        path = f"DocumentReference?identifier={quote(f'urn:ietf:rfc:3986|{value}')}&_total=accurate"
        assert world.talk.get(path, by="dr-moreau").tree["total"] == total
