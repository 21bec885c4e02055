"""A document that a caller may not see is as if it did not exist: area A of the catalogue, by twin registries."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.leaks.conftest import Twins
from tests.leaks.twins import HIDDEN, OTHERS, Registry, unique_id
from tests.rest.bodies import oid

LOINC = quote("http://loinc.org|11488-4")


def test_the_twins_differ_for_whom_it_is_not_hidden(twins: Twins) -> None:
    """The comparison can fail: the treating physician, or before a deletion anybody, sees one document more."""
    who = {"secret": "patient-lea-martin", "deleted": None}.get(twins.kind, "dr-moreau")
    who = "patient-claire-martin" if twins.kind == "masked" else who
    path = f"DocumentReference?patient.identifier={quote(twins.ins)}&_summary=count"
    if who is None:
        # Nobody sees what is deleted; only its trace is there.
        path, who = f"AuditEvent?patient.identifier={quote(twins.ins)}&subtype=delete&_summary=count", "dr-moreau"
    totals = [each.talk.get(path, by=who).tree["total"] for each in (twins.holding, twins.empty)]
    assert totals[0] == totals[1] + 1


READING = (
    "DocumentReference/{id}",
    "DocumentReference/{id}/_history",
    "DocumentReference/{id}/_history/1",
    "DocumentReference/{id}/_history/2",
    "DocumentReference/{id}/_history/3",
    "DocumentReference/{id}/$explain-access",
)


@pytest.mark.parametrize("path", READING)
def test_tf_001_and_tf_016_read_versions_and_history(twins: Twins, path: str) -> None:
    for reader in twins.readers:
        status, _, _ = twins.same(lambda each, by=reader: each.talk.get(path.format(id=each.hidden), by=by))
        assert status == 404


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "text/plain"},
        {"Accept": "application/fhir+json"},
        {"Accept": "application/fhir+xml"},
        {"Accept": "application/pdf"},
        {"If_None_Match": "*"},
        {"If_None_Match": 'W/"1"'},
        {"Range": "bytes=0-3"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_tf_003_and_tf_005_bytes_in_every_representation(twins: Twins, method: str, how: dict[str, str]) -> None:
    for reader in twins.readers:
        status, _, _ = twins.same(lambda each, by=reader: each.talk.ask(method, each.hidden_payload, by=by, **how))
        assert status in (404, 406)


SEARCHES = (
    # TF-011: counts.
    "DocumentReference?{p}&_summary=count",
    "DocumentReference?{p}&_total=accurate&_count=1",
    "List?{p}&_summary=count",
    # TF-012: pages.
    "DocumentReference?{p}&_count=1",
    "DocumentReference?{p}&_count=3",
    "DocumentReference?{p}&_count=50",
    "DocumentReference?{p}&_count=100&_sort=date",
    "DocumentReference?{p}&_count=100&_sort=-_lastUpdated",
    # TF-009: includes.
    "DocumentReference?{p}&_count=100&_include=DocumentReference:relatesto",
    "DocumentReference?{p}&_count=100&_revinclude=List:item",
    "List?{p}&_count=100&_include=List:item",
    "List?{p}&code=submissionset&_count=100&_include=List:item",
    "List?{p}&code=folder&_count=100&_include=List:item",
    "List?{p}&item={id}",
    "List?{p}&identifier=" + quote(oid("leak mixed set")),
    "List?{p}&identifier=" + quote(oid("leak folder")),
    # TF-010: values of the hidden document.
    "DocumentReference?{p}&identifier=" + quote(f"urn:ietf:rfc:3986|{unique_id()}"),
    "DocumentReference?identifier=" + quote(f"urn:ietf:rfc:3986|{unique_id()}"),
    "DocumentReference?{p}&_id={id}",
    "DocumentReference?{p}&related=DocumentReference/{id}",
    "DocumentReference?{p}&relatesto:missing=true&_count=100",
    "DocumentReference?{p}&related:missing=false",
    "DocumentReference?{p}&relatesto:identifier=" + quote(f"urn:ietf:rfc:3986|{unique_id()}"),
    "DocumentReference?{p}&relatesto=DocumentReference/{id}",
    "DocumentReference?{p}&author.family=Moreau&_summary=count",
    "DocumentReference?{p}&description:contains=hidden",
    "DocumentReference?{p}&type=" + LOINC + "&_count=100",
    "DocumentReference?{p}&date=ge2026-11-20&_count=100",
    "DocumentReference?{p}&_lastUpdated=ge2026-11-22&_count=100",
    # TF-015: labels, status, archive flag.
    "DocumentReference?{p}&security-label=MASQUE_PS&_count=100",
    "DocumentReference?{p}&security-label=INVISIBLE_PATIENT&_count=100",
    "DocumentReference?{p}&security-label=INVISIBLE_REPRESENTANTS_LEGAUX&_count=100",
    "DocumentReference?{p}&security-label:not=MASQUE_PS&_count=100",
    "DocumentReference?{p}&security-label:not=N&_count=100",
    "DocumentReference?{p}&security-label=MASQUE_PS,N,R,V&_count=100",
    "DocumentReference?{p}&status=entered-in-error",
    "DocumentReference?{p}&status=superseded&_count=100",
    "DocumentReference?{p}&status=current&isArchived=true&_count=100",
    # TF-019: traces.
    "AuditEvent?{p}&entity=DocumentReference/{id}",
)


@pytest.mark.parametrize("path", SEARCHES)
def test_tf_009_to_tf_018_searches(twins: Twins, path: str) -> None:
    if twins.kind == "deleted" and path.startswith("AuditEvent"):
        return  # What is deleted keeps its traces (AR-70): test_tf_019.
    for reader in twins.readers:
        status, _, body = twins.same(lambda each, by=reader: each.talk.get(_filled(each, twins, path), by=by))
        assert status in (200, 400)
        assert HIDDEN.encode() not in body


def _filled(registry: Registry, twins: Twins, path: str) -> str:
    return path.format(p=f"patient.identifier={quote(twins.ins)}", id=registry.hidden)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tf_012_pages_are_full_but_the_last(twins: Twins, size: int) -> None:
    for reader in twins.readers:
        walks = []
        for registry in (twins.holding, twins.empty):
            path: str | None = _filled(registry, twins, f"DocumentReference?{{p}}&_count={size}&_total=accurate")
            pages = []
            while path:
                answer = registry.talk.get(path, by=reader)
                pages.append(registry.observe(answer))
                assert len(answer.matches) == size or answer.link("next") is None
                path = answer.link("next")
            walks.append(pages)
        assert walks[0] == walks[1]
        assert len(walks[0]) > 1


def test_tf_009_lists_show_their_visible_entries_only(twins: Twins) -> None:
    for reader in twins.readers:
        for path in ("", "/_history", "/_history/1"):
            status, _, body = twins.same(lambda each, by=reader, end=path: each.talk.get(each.folder + end, by=by))
            assert status == 200
            assert body.count(OTHERS[2].encode()) == 1


def test_tf_009_documents_name_visible_ones_only(twins: Twins) -> None:
    """An open document completes the hidden one: read, old version, history and the answer to a change say nothing of
    it; its author still reads the relation, in the bytes that were stored."""
    identifier = quote(f"urn:ietf:rfc:3986|{oid(OTHERS[3])}")
    path = f"DocumentReference?patient.identifier={quote(twins.ins)}&identifier={identifier}"
    (naming,) = twins.holding.talk.get(path, by="dr-moreau").matches
    if twins.kind != "deleted":
        assert naming["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{twins.holding.hidden}"
        assert naming["context"]["related"] == [{"reference": f"DocumentReference/{twins.holding.hidden}"}]
    for reader in twins.readers:
        for end in ("", "/_history", "/_history/1"):
            answer = twins.holding.talk.get(f"DocumentReference/{naming['id']}{end}", by=reader)
            assert answer.status == 200
            assert twins.holding.hidden not in answer.content.decode()
            assert HIDDEN not in answer.content.decode()
        unchanged = {"op": "test", "path": "/status", "value": "current"}
        answer = twins.holding.talk.patch(f"DocumentReference/{naming['id']}", unchanged, by=reader)
        assert answer.status == 200
        assert twins.holding.hidden not in answer.content.decode()


def test_tf_019_traces_do_not_name_it(twins: Twins) -> None:
    """Neither its id, nor one entry more: for the traces that the reader is entitled to."""
    path = "AuditEvent?{p}&_count=100&_total=accurate&_sort=-date"
    for reader in twins.readers:
        if twins.kind == "deleted":
            # Its traces stay (AR-70, R1111-43): the author's for the author, all of them for the patient.
            answer = twins.holding.talk.get(_filled(twins.holding, twins, path), by=reader)
            assert HIDDEN.encode() not in answer.content
            continue
        answer = twins.holding.talk.get(_filled(twins.holding, twins, path), by=reader)
        assert answer.status == 200
        for entry in answer.entries:
            if entry["resource"]["subtype"][0]["code"] in ("transaction", "patch", "create"):
                assert twins.holding.hidden not in str(entry), entry


def test_tf_044_conditional_operations(twins: Twins) -> None:
    """A condition that names it finds nothing: the same answer as for what nobody has."""
    condition = f"identifier={quote(f'urn:ietf:rfc:3986|{unique_id()}')}"
    patch = {"op": "replace", "path": "/status", "value": "superseded"}
    for reader in twins.readers:
        for path in (f"DocumentReference?{condition}", "DocumentReference/{id}"):
            status, _, body = twins.same(
                lambda each, by=reader, to=path: each.talk.patch(to.format(id=each.hidden), patch, by=by)
            )
            assert status in (403, 404)
            assert unique_id().encode() not in body
        status, _, _ = twins.same(
            lambda each, by=reader: each.talk.ask("DELETE", f"DocumentReference/{each.hidden}", by=by)
        )
        assert status in (403, 404)


def test_tf_032_a_batch_is_no_side_door(twins: Twins) -> None:
    def batch(registry: Registry) -> dict:
        urls = [path.format(id=registry.hidden) for path in READING[:5]]
        urls += [registry.hidden_payload, _filled(registry, twins, SEARCHES[0]), _filled(registry, twins, SEARCHES[3])]
        entries = [{"request": {"method": "GET", "url": url}} for url in urls]
        return {"resourceType": "Bundle", "type": "batch", "entry": entries}

    for reader in twins.readers:
        status, _, body = twins.same(lambda each, by=reader: each.talk.provide(batch(each), by=by))
        assert status == 200
        assert body.count(b'"404 Not Found"') == 6
