"""The same again, and not quite the same (TF-182, TF-183, TF-184)."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable

import pytest

from dmp_fhir.interactions import submitting
from dmp_fhir.profiles import content as content_rules
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.xml import dump_xml
from tests.support.server import MakeApp, MakeToken
from tests.writing.api import JSON, XML, InProcess, count, stored_counts
from tests.writing.lots import (
    OTHER_INS,
    Tree,
    archived,
    attachment_of,
    body,
    documents_in,
    lot,
    oid,
    shuffled_keys,
    simple,
    urn,
    with_patient,
)


def _renamed(bundle: Tree) -> Tree:
    """The same lot by a client that makes new fullUrls for each try."""
    text = body(bundle).decode()
    for n, entry in enumerate(bundle["entry"]):
        text = text.replace(entry["fullUrl"], urn(f"second try {n}"))
    return parse_json(text.encode())


def _broken_lines(bundle: Tree) -> Tree:
    """base64 in lines of 76 characters, as MIME tools write it."""
    other = copy.deepcopy(bundle)
    for entry in other["entry"]:
        if entry["resource"]["resourceType"] == "Binary":
            data = base64.b64decode(entry["resource"]["data"])
            entry["resource"]["data"] = base64.encodebytes(data).decode()
    return other


FORMS: dict[str, tuple[Callable[[Tree], bytes], str]] = {
    "the same bytes": (body, JSON),
    "other order of keys": (lambda bundle: body(shuffled_keys(bundle)), JSON),
    "other order of entries": (lambda bundle: body(bundle | {"entry": bundle["entry"][::-1]}), JSON),
    "XML": (dump_xml, XML),
    "new fullUrls": (lambda bundle: body(_renamed(bundle)), JSON),
    "base64 in lines": (lambda bundle: body(_broken_lines(bundle)), JSON),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_lot_sent_again_is_answered_as_done(
    api: InProcess, seeded_url: str, make_app: MakeApp, token: MakeToken, form: str
) -> None:
    """TF-182: after a lost answer, after a restart, after the document was changed and replaced."""
    bundle = lot("again", b"one " * 50, b"two " * 50)
    first = api.provide(bundle)
    assert first.statuses == ["201"] * 5
    stored = stored_counts(seeded_url)
    write, content_type = FORMS[form]
    for _ in range(3):
        again = api.provide(write(bundle), content_type=content_type)
        assert again.statuses == ["200"] * 5, again.content
        assert sorted(again.locations) == sorted(first.locations)
        outcomes = [each["response"]["outcome"] for each in again.tree["entry"] if "outcome" in each["response"]]
        assert {each["issue"][0]["code"] for each in outcomes} == {"duplicate"}
    assert stored_counts(seeded_url) == stored
    # The trace tells each try.
    document = first.locations[1].partition("/")[2]
    assert count(seeded_url, "SELECT COUNT(*) FROM audit_event WHERE entity_id = :id", id=document) == 4

    restarted = InProcess(make_app(seeded_url).test_client(), token)
    assert restarted.provide(write(bundle), content_type=content_type).statuses == ["200"] * 5
    assert api.patch(document, archived(True)).status == 200
    assert api.provide(write(bundle), content_type=content_type).statuses == ["200"] * 5
    assert api.provide(lot("successor", replaces=oid("again/0"))).statuses == ["201"] * 3
    stored = stored_counts(seeded_url)
    assert api.provide(write(bundle), content_type=content_type).statuses == ["200"] * 5
    assert api.provide(lot("successor", replaces=oid("again/0"))).statuses == ["200"] * 3
    assert stored_counts(seeded_url) == stored


def test_a_publication_sent_again_is_answered_as_done(api: InProcess, seeded_url: str) -> None:
    tree = simple("again")
    first = api.publish(tree)
    stored = stored_counts(seeded_url)
    for content, kind in ((body(tree), JSON), (body(shuffled_keys(tree)), JSON), (dump_xml(tree), XML)):
        again = api.send("POST", "/DocumentReference", content, content_type=kind)
        assert again.status == 200, again.content
        assert again.tree == first.tree if kind == JSON else True
        assert again.headers["Location"] == first.headers["Location"]
    assert stored_counts(seeded_url) == stored


def test_a_lot_and_a_publication_of_the_same_document_leave_one(api: InProcess) -> None:
    """The same uniqueId by the other transaction, with what the comprehensive profile asks beyond the simplified one:
    another description, so it is refused, not doubled."""
    tree = simple("both ways", b"same bytes")
    assert api.publish(tree).status == 201
    bundle = lot("carrier", b"same bytes")
    (document,) = documents_in(bundle)
    url = document["content"][0]["attachment"]["url"]
    carried = copy.deepcopy(tree)
    carried["content"][0]["attachment"] |= {"url": url}
    del carried["content"][0]["attachment"]["data"]
    carried["context"] |= {"sourcePatientInfo": document["context"]["sourcePatientInfo"]}
    carried["contained"] = [*document["contained"][:1], *carried["contained"]]
    bundle["entry"][1]["resource"] = carried | {"meta": document["meta"], "extension": document["extension"]}
    answer = api.provide(bundle)
    assert (answer.status, answer.issue["code"]) == (409, "duplicate")
    assert len(api.found(oid("both ways"))) == 1


def test_a_lot_with_a_known_document_and_a_new_one(api: InProcess) -> None:
    """Another lot (its own uniqueId) that names a document deposited before: that one is answered 200, the rest 201."""
    api.provide(lot("shared", b"known"))
    bundle = lot("wider", b"known", b"new")
    known, _ = documents_in(bundle)
    known["masterIdentifier"]["value"] = oid("shared/0")
    known["content"][0]["attachment"]["title"] = "Compte rendu shared/0"
    answer = api.provide(bundle)
    assert answer.statuses == ["201", "200", "200", "201", "201"]
    assert len(api.found(oid("shared/0"))) == 1


# --- the same uniqueId, something else (TF-183) ---------------------------------------------------


def _one_byte(bundle: Tree) -> None:
    replace_content(bundle, b"Compte rendu!")


def _same_size(bundle: Tree) -> None:
    replace_content(bundle, b"compte rendu.")


def replace_content(bundle: Tree, content: bytes) -> None:
    documents_in(bundle)[0]["content"][0]["attachment"] |= attachment_of(content)
    bundle["entry"][2]["resource"]["data"] = base64.b64encode(content).decode()


def _other_patient(bundle: Tree) -> None:
    moved = with_patient(bundle, OTHER_INS)
    bundle["entry"] = moved["entry"]


def _other_author(bundle: Tree) -> None:
    (document,) = documents_in(bundle)
    text = body(document).decode().replace("899700000112", "899700000120").replace("99700000112", "99700000120")
    bundle["entry"][1]["resource"] = parse_json(text.encode())


def _other_type(bundle: Tree) -> None:
    (document,) = documents_in(bundle)
    document["type"] = {"coding": [{"system": "http://loinc.org", "code": "34112-3"}]}


def _other_title(bundle: Tree) -> None:
    documents_in(bundle)[0]["content"][0]["attachment"]["title"] = "Autre titre"


def _other_date(bundle: Tree) -> None:
    documents_in(bundle)[0]["context"]["period"]["start"] = "2025-01-01T00:00:00+01:00"


def _masked(bundle: Tree) -> None:
    system = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
    documents_in(bundle)[0]["securityLabel"].append({"coding": [{"system": system, "code": "INVISIBLE_PATIENT"}]})


def _one_more(bundle: Tree) -> None:
    more = lot("first", b"Compte rendu.", b"more")
    bundle["entry"] = more["entry"]


@pytest.mark.parametrize("own_set", [False, True], ids=["same set", "set of its own"])
@pytest.mark.parametrize(
    "change",
    [
        _one_byte,
        _same_size,
        _other_patient,
        _other_author,
        _other_type,
        _other_title,
        _other_date,
        _masked,
        _one_more,
    ],
)
def test_the_same_unique_id_for_something_else(
    api: InProcess, seeded_url: str, change: Callable[[Tree], None], own_set: bool
) -> None:
    api.provide(lot("first", b"Compte rendu."))
    before, (kept,) = stored_counts(seeded_url), api.found(oid("first/0"))
    bundle = lot("first", b"Compte rendu.")
    change(bundle)
    if own_set:
        bundle["entry"][0]["resource"]["identifier"][0]["value"] = oid("another set")
    answer = api.provide(bundle)
    if change is _one_more and own_set:
        assert answer.statuses == ["201", "200", "200", "201", "201"]
        return
    assert answer.status == 409, answer.content
    assert answer.issue["code"] == "duplicate"
    assert answer.xds in ("XDSNonIdenticalHash", "XDSDuplicateUniqueIdInRegistry")
    assert stored_counts(seeded_url) == before
    assert api.found(oid("first/0")) == [kept]
    assert api.bytes_of(kept) == b"Compte rendu."


def test_the_refusal_does_not_tell_whose_the_first_is(api: InProcess) -> None:
    """Dr Roux, blocked in Claire's record, gets for a uniqueId of hers the answer that Dr Moreau gets for his own."""
    api.provide(lot("taken", b"Compte rendu."))
    own = api.provide(lot("taken", b"other bytes"))
    blocked = api.provide(lot("taken", b"other bytes"), persona="dr-roux")
    elsewhere = api.provide(lot("taken", b"other bytes", ins=OTHER_INS), persona="dr-roux")
    assert (own.status, blocked.status, elsewhere.status) == (409, 409, 409)
    assert own.tree["issue"] == blocked.tree["issue"] == elsewhere.tree["issue"]


def test_a_deleted_document_does_not_come_back(api: InProcess, seeded_url: str) -> None:
    bundle = lot("deleted")
    document = api.provide(bundle).locations[1]
    assert api.send("DELETE", f"/{document}").status == 204
    before = stored_counts(seeded_url)
    answer = api.provide(bundle)
    assert (answer.status, answer.issue["code"]) == (409, "duplicate")
    assert stored_counts(seeded_url) == before


# --- SHA-1 decides nothing (TF-184) ---------------------------------------------------------------


def test_identity_rests_on_sha256(api: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a SHA-1 that collides for everything, other content of the same size is still other content."""
    for module in (content_rules, submitting):
        monkeypatch.setattr(module, "sha1", lambda content: bytes(20))
    collided = base64.b64encode(bytes(20)).decode()

    def colliding(content: bytes) -> Tree:
        bundle = lot("sha1", content)
        documents_in(bundle)[0]["content"][0]["attachment"]["hash"] = collided
        return bundle

    first = api.provide(colliding(b"the first contents"))
    assert first.statuses == ["201"] * 3
    for n in range(10):
        answer = api.provide(colliding(b"other contents %03d" % n))
        assert (answer.status, answer.xds) == (409, "XDSNonIdenticalHash")
    assert api.provide(colliding(b"the first contents")).statuses == ["200"] * 3
    # Two documents of one size and one SHA-1 keep their own bytes.
    other = lot("sha1 too", b"the other contents")
    documents_in(other)[0]["content"][0]["attachment"]["hash"] = collided
    assert api.provide(other).statuses == ["201"] * 3
    for name, content in (("sha1/0", b"the first contents"), ("sha1 too/0", b"the other contents")):
        (document,) = api.found(oid(name))
        assert document["content"][0]["attachment"]["hash"] == collided
        assert api.bytes_of(document) == content
