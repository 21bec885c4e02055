"""Searches in the history of a record: that the list was consulted is told, what was looked for by name is not."""

from __future__ import annotations

from base64 import b64decode

from tests.rest.bodies import CLAIRE, NORMAL, lot, mask, oid
from tests.rest.caller import Caller
from tests.rest.test_documents import PATIENT

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def searches(registry: Caller, by: str) -> list[str]:
    """The queries of Dr Moreau's searches that a reader finds in the history, decoded."""
    path = f"AuditEvent?patient.identifier={CLAIRE}&subtype=search-type&agent-name=Dr%20Anne&_count=100"
    events = registry.get(path, by=by).matches
    return [b64decode(entity["query"]).decode() for event in events for entity in event["entity"] if "query" in entity]


def test_the_patient_sees_who_consulted_the_list(registry: Caller) -> None:
    """CSP R1111-43, AR-97: the search of documents and of lots is an act like any other."""
    for kind in ("DocumentReference", "List"):
        assert registry.get(f"{kind}?patient.identifier={CLAIRE}&status=current&_count=7").status == 200
    told = searches(registry, PATIENT)
    assert len([each for each in told if each.endswith("status=current&_count=7")]) == 2, told
    # Another professional sees the own searches only (AR-98).
    assert searches(registry, "dr-petit") == []


def test_a_search_that_names_a_hidden_document_does_not_tell_of_it(registry: Caller) -> None:
    """AR-99, decision 0030."""
    answer = registry.provide(lot("annonce", securityLabel=[NORMAL, mask("INVISIBLE_PATIENT")]))
    address = answer.addresses[1]
    for path in (
        f"DocumentReference?patient.identifier={CLAIRE}&identifier={oid('annonce')}",
        f"DocumentReference?patient.identifier={CLAIRE}&_id={address.partition('/')[2]}",
        f"List?patient.identifier={CLAIRE}&item={address}",
        f"AuditEvent?patient.identifier={CLAIRE}&entity={address}",
    ):
        assert registry.get(path).status == 200
        assert registry.get(path, by=PATIENT).status == 200
    events = registry.get("AuditEvent?_count=100", by=PATIENT).content
    told = " ".join(searches(registry, PATIENT))
    for secret in (address.partition("/")[2], oid("annonce")):
        assert secret.encode() not in events
        assert secret not in told


def test_the_history_and_iti_81_list_the_same_acts(registry: Caller) -> None:
    """Whoever may read the trace finds an act in both views, a search that named a document included."""
    address = registry.provide(lot("nommé")).addresses[1]
    for path in (address, f"{address}/_history", f"DocumentReference?patient.identifier={CLAIRE}&_id={address[18:]}"):
        assert registry.get(path).status == 200
    since = "2026-11-22T08:00:00Z"  # what the demonstration world did was before
    lines = registry.get(f"Patient/$access-history?start={since}&_count=200", by=PATIENT).tree["parameter"]
    told = [{part["name"]: part for part in each["part"]} for each in lines if each["name"] == "entry"]
    history = {each["eventId"][next(name for name in each["eventId"] if name != "name")] for each in told}
    found = registry.get(f"AuditEvent?date=ge{since}&subtype:not=AuthZ-Consent&_count=200", by=PATIENT).matches
    # The request for the history came in between.
    later = {each["id"] for each in found} - history
    assert history - {each["id"] for each in found} == set()
    assert [each["subtype"][0]["code"] for each in found if each["id"] in later] == ["operation"]
    cut = [each for each in found if each["meta"].get("tag") == [SUBSETTED]]
    assert [each["subtype"][0]["code"] for each in cut] == ["search-type"]
    assert address[18:] not in str(cut)
    alone = registry.get(f"AuditEvent/{cut[0]['id']}", by=PATIENT)
    assert (alone.status, alone.tree) == (200, cut[0])
    # Whoever has an entry proven reads so in the history.
    assert registry.get(f"AuditEvent/{cut[0]['id']}/$inclusion-proof", by=PATIENT).status == 200
    text = registry.get("Patient/$access-history?_format=text&_count=1", by=PATIENT).content.decode()
    assert "— Preuve d'une trace" in text
