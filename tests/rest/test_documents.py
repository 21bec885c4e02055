"""The life of a document: TD0.2, TD2, TD2.1, TD3.1, TD3.2, resubmission, folders, relations, delta synchronisation."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tests.rest.bodies import (
    CLAIRE,
    HENRI,
    IS_ARCHIVED,
    JULIEN,
    NADIA,
    NORMAL,
    THOMAS,
    URI,
    binary,
    bundle,
    document,
    folder,
    lot,
    mask,
    oid,
    post,
    relation,
    replace,
    sha1,
    simple,
    submission_set,
    supersede,
    text_of,
    urn,
)
from tests.rest.caller import Answer, Caller, Tree, path_of, query
from tests.rest.test_refusals import refused

PATIENT = "patient-claire-martin"


def provided(caller: Caller, name: str, *more: Tree, **changes: Any) -> Answer:
    answer = caller.provide(lot(name, *more, **changes))
    assert answer.status == 200, answer.content
    return answer


def found(caller: Caller, name: str, by: str = "dr-moreau", **parameters: str) -> list[Tree]:
    """The documents with this uniqueId that the caller sees, whatever their status."""
    parameters = {"patient__identifier": CLAIRE, "identifier": oid(name)} | parameters
    return caller.search("DocumentReference", by, **parameters).matches


# --- TD0.2 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ins", "by", "active", "status"),
    [
        (CLAIRE, "dr-moreau", True, "VALIDE"),
        (CLAIRE, "dr-roux", True, "INTERDIT"),
        (CLAIRE, "dr-colin", True, "EXPIRE"),
        (THOMAS, "dr-moreau", True, "NON_EXISTE"),
        (HENRI, "dr-colin", False, None),
    ],
)
def test_the_status_of_a_record(talk: Caller, ins: str, by: str, active: bool, status: str | None) -> None:
    """TD0.2: the record and the caller's own authorisation (AR-14, D27)."""
    answer = talk.search("Patient", by, identifier=ins)
    assert answer.status == 200
    (patient,) = answer.matches
    assert patient["active"] is active
    rules = {
        coding["code"]
        for entry in answer.entries
        if entry["search"]["mode"] == "outcome"
        for issue in entry["resource"]["issue"]
        for coding in issue["details"]["coding"]
    }
    if status:
        assert rules == {status}
    closures = [each for each in patient.get("extension", []) if each["url"].endswith("/dmp-fermeture")]
    assert bool(closures) is not active


def test_no_record_is_an_empty_answer(talk: Caller) -> None:
    answer = talk.search("Patient", identifier=NADIA)
    assert (answer.status, answer.tree["total"], answer.matches) == (200, 0, [])


# --- TD2 ------------------------------------------------------------------------------------------


def test_a_lot_is_provided(talk: Caller) -> None:
    """TD2 by ITI-65: one answer per entry, in the order of the request."""
    answer = provided(talk, "lot")
    assert answer.tree["type"] == "transaction-response"
    assert answer.statuses == ["201", "201", "201"]
    assert [each.partition("/")[0] for each in answer.addresses] == ["List", "DocumentReference", "Binary"]
    set_address, address, payload = answer.addresses
    tree = talk.get(address).tree
    record = talk.search("Patient", identifier=CLAIRE).matches[0]["id"]
    assert tree["subject"]["reference"] == f"Patient/{record}"
    assert path_of(tree["content"][0]["attachment"]["url"]) == payload
    assert talk.get(payload, Accept="*/*").content == text_of("lot")
    assert talk.get(set_address).tree["entry"] == [{"item": {"reference": address}}]
    entry_uuid, *others = tree["identifier"]
    assert (entry_uuid["use"], entry_uuid["system"]) == ("official", URI)
    assert others == []
    assert [each["id"] for each in found(talk, "lot", identifier=entry_uuid["value"])] == [tree["id"]]


def test_the_order_of_the_entries_does_not_matter(talk: Caller) -> None:
    tree = lot("ordre")
    tree["entry"].reverse()
    answer = talk.provide(tree)
    assert [each.partition("/")[0] for each in answer.addresses] == ["Binary", "DocumentReference", "List"]


def test_a_document_is_published_alone(talk: Caller) -> None:
    """TD2 by ITI-105: a Binary and a submission set are derived, data leaves for url."""
    answer = talk.create(simple("seul"))
    attachment = answer.tree["content"][0]["attachment"]
    assert "data" not in attachment
    assert (attachment["size"], attachment["hash"]) == (len(text_of("seul")), sha1(text_of("seul")))
    assert talk.get(path_of(attachment["url"]), Accept="*/*").content == text_of("seul")
    lists = talk.search("List", patient__identifier=CLAIRE, code="submissionset", item=answer.address).matches
    (derived,) = lists
    assert derived["entry"] == [{"item": {"reference": answer.address}}]
    assert derived["title"] == attachment["title"]


@pytest.mark.parametrize("element", ["size", "hash"])
def test_what_does_not_match_the_content_is_refused(talk: Caller, element: str) -> None:
    """D8."""
    tree = lot("faux")
    attachment = tree["entry"][1]["resource"]["content"][0]["attachment"]
    attachment[element] = {"size": 3, "hash": sha1(b"autre")}[element]
    answer = refused(talk.provide(tree), 422)
    assert f"XDSNonIdentical{element.title()}" in answer.rules
    assert answer.tree["issue"][0]["expression"] == [f"Bundle.entry[1].resource.content[0].attachment.{element}"]
    assert found(talk, "faux") == []


def test_a_hash_in_hexadecimal_is_understood_and_remarked(talk: Caller) -> None:
    """D8: the form of the MHD examples."""
    tree = lot("hexa")
    digest = hashlib.sha1(text_of("hexa"), usedforsecurity=False).hexdigest()
    tree["entry"][1]["resource"]["content"][0]["attachment"]["hash"] = base64.b64encode(digest.encode()).decode()
    answer = talk.provide(tree)
    assert answer.statuses == ["201"] * 3, answer.content
    issues = answer.entries[1]["response"]["outcome"]["issue"]
    assert ("warning", "D8") in [(each["severity"], each["details"]["coding"][0]["code"]) for each in issues]
    assert talk.get(answer.addresses[1]).tree["content"][0]["attachment"]["hash"] == sha1(text_of("hexa"))


def test_all_or_nothing(talk: Caller) -> None:
    """Two sound documents and a third whose relation leads nowhere: nothing is stored."""
    names = ("un", "deux", "trois")
    documents = [document(name) for name in names]
    documents[2]["relatesTo"] = [relation("replaces", "nulle part")]
    entries = [post(submission_set("tout", *map(urn, names)), urn("tout set"))]
    for name, tree in zip(names, documents, strict=True):
        entries += [post(tree, urn(name)), post(binary(text_of(name)), urn(f"{name} document"))]
    rows = talk.count("resource_version"), talk.count("payload")
    refused(talk.provide(bundle(*entries)), 422)
    assert (talk.count("resource_version"), talk.count("payload")) == rows
    assert found(talk, "un") == []


def test_every_mention_of_the_patient_is_the_same_record(talk: Caller) -> None:
    """D18."""
    tree = lot("mélange")
    tree["entry"][0]["resource"]["subject"] = {"reference": f"Patient?identifier={JULIEN}"}
    assert "XDSPatientIdDoesNotMatch" in refused(talk.provide(tree), 422).rules
    tree = lot("mélange")
    tree["entry"][1]["resource"]["contained"][0]["identifier"][0]["value"] = JULIEN.partition("|")[2]
    assert "XDSPatientIdDoesNotMatch" in refused(talk.provide(tree), 422).rules


@pytest.mark.parametrize("form", ["id", "absolute", "identifier", "patient entry"])
def test_the_record_is_named_in_any_way(registry: Caller, form: str) -> None:
    """D18."""
    record = registry.search("Patient", identifier=CLAIRE).matches[0]["id"]
    system, value = CLAIRE.split("|")
    subject: Tree = {
        "id": {"reference": f"Patient/{record}"},
        "absolute": {"reference": f"http://127.0.0.1:8000/fhir/Patient/{record}"},
        "identifier": {"type": "Patient", "identifier": {"system": system, "value": value}},
        "patient entry": {"reference": urn("patient")},
    }[form]
    tree = lot("nommé")
    if form == "patient entry":
        patient = {"resourceType": "Patient", "identifier": [{"system": system, "value": value}]}
        tree["entry"].append(post(patient, urn("patient")))
    for entry in tree["entry"][:2]:
        entry["resource"]["subject"] = subject
    answer = registry.provide(tree)
    assert answer.status == 200, answer.content
    assert registry.get(answer.addresses[1]).tree["subject"]["reference"] == f"Patient/{record}"


def test_a_document_of_elsewhere_is_not_fetched(talk: Caller) -> None:
    """D26."""
    tree = lot("ailleurs")
    tree["entry"][1]["resource"]["content"][0]["attachment"]["url"] = "http://127.0.0.1:1/document"
    answer = refused(talk.provide(tree), 422)
    assert "D26" in answer.rules


# --- again ----------------------------------------------------------------------------------------


def test_the_same_lot_again_is_answered_with_what_exists(talk: Caller) -> None:
    """D17."""
    first = provided(talk, "encore")
    rows = talk.count("resource_version"), talk.count("payload")
    again = talk.provide(lot("encore"))
    assert again.statuses == ["200"] * 3, again.content
    assert again.addresses == first.addresses
    issue = again.entries[1]["response"]["outcome"]["issue"][-1]
    assert issue["severity"] == "information"
    assert (talk.count("resource_version"), talk.count("payload")) == rows


def test_the_same_document_alone_again(talk: Caller) -> None:
    first = talk.create(simple("encore"))
    again = talk.create(simple("encore"))
    assert (first.status, again.status) == (201, 200)
    assert again.tree == first.tree
    assert len(found(talk, "encore")) == 1


def test_the_same_unique_id_with_other_content_is_409(talk: Caller) -> None:
    """D17, TF-183: also when the first is in another record."""
    provided(talk, "unique")
    rows = talk.count("resource_version")
    other = refused(talk.provide(lot("unique", content=b"autre")), 409)
    elsewhere = refused(talk.provide(lot("unique", ins=JULIEN)), 409)
    assert other.tree["issue"][0]["code"] == "duplicate"
    assert elsewhere.content == other.content
    refused(talk.create(simple("unique", content=b"autre")), 409)
    assert talk.count("resource_version") == rows


# --- TD2.1 ----------------------------------------------------------------------------------------


def replacing(caller: Caller, wording: str, old: str, old_address: str, name: str, **changes: Any) -> Answer:
    """Both wordings of a replacement by ITI-65, and ITI-105 (D9)."""
    relates = {"relatesTo": [relation("replaces", old)]}
    if wording == "ITI-105":
        return caller.create(simple(name, **relates, **changes))
    more = [supersede(old_address.partition("/")[2])] if wording == "PATCH entry" else []
    return caller.provide(lot(name, *more, **relates, **changes))


@pytest.mark.parametrize("wording", ["PATCH entry", "relatesTo alone", "ITI-105"])
def test_a_replacement(talk: Caller, wording: str) -> None:
    old = provided(talk, "ancien").addresses[1]
    answer = replacing(talk, wording, "ancien", old, "nouveau")
    assert answer.status in (200, 201), answer.content
    if wording == "PATCH entry":
        assert answer.statuses == ["201", "201", "201", "200"]
        assert answer.entries[3]["response"]["location"] == f"{old}/_history/2"
    (new,) = found(talk, "nouveau")
    assert new["relatesTo"][0]["code"] == "replaces"
    assert new["relatesTo"][0]["target"]["reference"] == old
    assert new["status"] == "current"
    assert talk.get(old).tree["status"] == "superseded"
    assert [
        each["id"] for each in talk.search("DocumentReference", patient__identifier=CLAIRE, relatesto=old).matches
    ] == [new["id"]]
    assert found(talk, "ancien", status="current") == []
    # The replaced document stays readable to those entitled (D28).
    payload = path_of(talk.get(old).tree["content"][0]["attachment"]["url"])
    assert talk.get(payload, Accept="*/*").content == text_of("ancien")


@pytest.mark.parametrize("wording", ["PATCH entry", "relatesTo alone", "ITI-105"])
def test_a_replaced_document_is_not_replaced_again(registry: Caller, wording: str) -> None:
    """D9, TF-187."""
    old = provided(registry, "ancien").addresses[1]
    replacing(registry, wording, "ancien", old, "nouveau")
    answer = refused(replacing(registry, wording, "ancien", old, "troisième"), 409)
    assert "XDSReplaceFailed" in answer.rules
    assert found(registry, "troisième") == []


def test_who_may_not_replace_is_told_that_there_is_nothing(talk: Caller) -> None:
    """D9: another author's document, and one of another record, are answered alike."""
    provided(talk, "ancien")
    tree = lot("usurpé", relatesTo=[relation("replaces", "ancien")])
    other_author = refused(talk.provide(tree, by="dr-petit"), 422)
    tree = lot("égaré", ins=JULIEN, relatesTo=[relation("replaces", "ancien")])
    other_record = refused(talk.provide(tree), 422)
    assert other_author.tree == other_record.tree
    (old,) = found(talk, "ancien")
    assert old["status"] == "current"


def test_a_replacement_inherits_the_masks_of_the_patient(talk: Caller) -> None:
    """AR-71."""
    old = provided(talk, "ancien").addresses[1]
    assert talk.patch(old, replace("/securityLabel/0", mask("MASQUE_PS")), by=PATIENT).status == 200
    replacing(talk, "relatesTo alone", "ancien", old, "nouveau")
    (new,) = found(talk, "nouveau")
    assert [each["coding"][0]["code"] for each in new["securityLabel"]] == ["N", "MASQUE_PS"]
    assert found(talk, "nouveau", by="infirmiere-robert") == []


def test_a_patch_entry_without_a_replacement_is_refused(talk: Caller) -> None:
    old = provided(talk, "ancien").addresses[1]
    answer = refused(talk.provide(lot("nouveau", supersede(old.partition("/")[2]))), 422)
    assert "LOT-15" in answer.rules


# --- relations and folders ------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["appends", "transforms", "signs"])
def test_other_relations_are_kept_and_searched(talk: Caller, code: str) -> None:
    target = provided(talk, "cible").addresses[1]
    new = provided(talk, "lié", relatesTo=[relation(code, "cible")]).addresses[1]
    (link,) = talk.get(new).tree["relatesTo"]
    assert (link["code"], link["target"]["reference"]) == (code, target)
    answer = talk.search("DocumentReference", patient__identifier=CLAIRE, relatesto=target)
    assert [f"DocumentReference/{each['id']}" for each in answer.matches] == [new]
    included = talk.search(
        "DocumentReference", patient__identifier=CLAIRE, identifier=oid("lié"), _include="DocumentReference:relatesto"
    )
    modes = {f"DocumentReference/{each['resource']['id']}": each["search"]["mode"] for each in included.entries}
    assert modes == {new: "match", target: "include"}
    assert talk.get(target).tree["status"] == "current"


def test_a_folder_created_with_a_lot_then_updated_with_another(talk: Caller) -> None:
    first = lot("un")
    first["entry"][0]["resource"]["entry"].append({"item": {"reference": urn("classeur")}})
    first["entry"].append(post(folder("suivi", urn("un")), urn("classeur")))
    answer = talk.provide(first)
    assert answer.statuses == ["201"] * 4, answer.content
    address = answer.addresses[3]
    one = answer.addresses[1]
    assert [each["item"]["reference"] for each in talk.get(address).tree["entry"]] == [one]
    second = lot("deux")
    second["entry"][0]["resource"]["entry"].append({"item": {"reference": urn("classeur")}})
    changed = {
        "fullUrl": urn("classeur"),
        "resource": folder("suivi", one, urn("deux")) | {"id": address.partition("/")[2]},
        "request": {"method": "PUT", "url": address},
    }
    second["entry"].append(changed)
    answer = talk.provide(second)
    assert answer.statuses == ["201", "201", "201", "200"], answer.content
    shown = talk.get(address)
    assert shown.headers["ETag"] == 'W/"2"'
    assert [each["item"]["reference"] for each in shown.tree["entry"]] == [one, answer.addresses[1]]
    folders = talk.search("List", patient__identifier=CLAIRE, code="folder", identifier=oid("suivi folder")).matches
    assert [f"List/{each['id']}" for each in folders] == [address]


# --- delta ----------------------------------------------------------------------------------------


def test_one_request_gives_everything_new_or_changed(talk: Caller) -> None:
    """First opening, next openings: new, replaced and relabelled documents in one query."""
    kept, old, relabelled = (provided(talk, name).addresses[1] for name in ("stable", "ancien", "relu"))
    last = talk.search("DocumentReference", patient__identifier=CLAIRE, _sort="-_lastUpdated", _count="1").matches[0]
    since = last["meta"]["lastUpdated"]
    replacing(talk, "relatesTo alone", "ancien", old, "nouveau")
    talk.patch(relabelled, replace("/securityLabel/0", mask("MASQUE_PS")), by=PATIENT)
    fresh = provided(talk, "frais").addresses[1]
    delta = {"patient__identifier": CLAIRE, "_lastUpdated": f"gt{since}", "_sort": "_lastUpdated"}
    changed = [f"DocumentReference/{each['id']}" for each in talk.search("DocumentReference", **delta).matches]
    (new,) = found(talk, "nouveau")
    assert set(changed[:2]) == {old, f"DocumentReference/{new['id']}"}
    assert changed[2:] == [relabelled, fresh]
    assert kept not in changed
    # Whoever lost the right to see it does not learn of the change.
    others = talk.search("DocumentReference", "infirmiere-robert", **delta).matches
    assert relabelled not in {f"DocumentReference/{each['id']}" for each in others}


def test_new_lots_since_a_date(talk: Caller) -> None:
    """ITI-66 by date, then the documents of the lots."""
    made = provided(talk, "lot du jour")
    wanted = {"patient__identifier": CLAIRE, "code": "submissionset", "status": "current"}
    new = talk.search("List", **wanted, date="ge2026-11-20T11:00:00+01:00")
    assert made.addresses[0] in {f"List/{each['id']}" for each in new.matches}
    assert all(each["date"] >= "2026-11-20" for each in new.matches)
    with_members = talk.search("List", **wanted, date="ge2026-11-20T11:00:00+01:00", _include="List:item")
    included = {
        f"{each['resource']['resourceType']}/{each['resource']['id']}"
        for each in with_members.entries
        if each["search"]["mode"] == "include"
    }
    assert made.addresses[1] in included
    assert talk.search("List", **wanted, date="ge2026-11-21").matches == []


# --- D13 ------------------------------------------------------------------------------------------


def test_without_status_current_and_superseded_are_candidates(talk: Caller) -> None:
    old = provided(talk, "ancien").addresses[1]
    replacing(talk, "relatesTo alone", "ancien", old, "nouveau")
    archived, deleted = (provided(talk, name).addresses[1] for name in ("archivé", "supprimé"))
    talk.patch(archived, replace(f"/extension[url:'{IS_ARCHIVED}']/valueBoolean", True))
    talk.patch(deleted, replace("/status", "entered-in-error"))

    def seen(**parameters: str) -> set[str]:
        wanted = {"patient__identifier": CLAIRE, "creation": "2026-11-20T10:15:00+01:00"} | parameters
        return {
            each["content"][0]["attachment"]["title"] for each in talk.search("DocumentReference", **wanted).matches
        }

    titles = {name: f"Consultation {name}" for name in ("ancien", "nouveau", "archivé")}
    assert seen() == {titles["ancien"], titles["nouveau"]}
    assert seen(status="current") == {titles["nouveau"]}
    assert seen(status="superseded") == {titles["ancien"]}
    assert seen(status="current,superseded") == {titles["ancien"], titles["nouveau"]}
    assert seen(isArchived="true") == {titles["archivé"]}
    assert seen(status="current", isArchived="true") == {titles["archivé"]}
    assert talk.search("DocumentReference", patient__identifier=CLAIRE, status="entered-in-error").matches == []


def test_td31b_finds_the_technical_id_without_a_status(talk: Caller) -> None:
    address = provided(talk, "local").addresses[1]
    token = f"{URI}|{oid('local')}"
    found_by = talk.get(f"DocumentReference?{query(patient__identifier=CLAIRE, identifier=token)}")
    assert [f"DocumentReference/{each['id']}" for each in found_by.matches] == [address]
    assert found_by.tree["total"] == 1


def test_a_document_hidden_from_the_patient_at_its_deposit(talk: Caller) -> None:
    provided(talk, "annonce", securityLabel=[NORMAL, mask("INVISIBLE_PATIENT")])
    assert len(found(talk, "annonce")) == 1
    assert found(talk, "annonce", by=PATIENT) == []


# --- the language of remarks ----------------------------------------------------------------------


def test_remarks_inside_an_answer_are_in_the_language_asked_for(talk: Caller) -> None:
    """Those of the entries of a transaction, and that of a search, as any other outcome."""
    provided(talk, "langues")
    kept = f"DocumentReference?patient.identifier={CLAIRE}&colour=red&_count=1"
    for languages, english in (("en", True), ("fr", False), ("en-GB, fr;q=0.5", True)):
        again = talk.provide(lot("langues"), Accept_Language=languages)
        assert again.statuses == ["200"] * 3
        outcomes = [each["response"]["outcome"] for each in again.entries if "outcome" in each["response"]]
        assert outcomes
        found = talk.get(kept, Prefer="handling=lenient", Accept_Language=languages)
        assert len(found.matches) == 1
        (remark,) = [each["resource"] for each in found.entries if each["search"]["mode"] == "outcome"]
        for issue in (each for outcome in [*outcomes, remark] for each in outcome["issue"]):
            (translation,) = issue["details"]["_text"]["extension"]
            said = {each["url"]: each.get("valueCode") or each.get("valueString") for each in translation["extension"]}
            texts = issue["details"]["text"], said["content"]
            assert said["lang"] == ("fr" if english else "en")
            assert issue["diagnostics"] == texts[0 if english else 1]
            assert texts[0] != texts[1]
