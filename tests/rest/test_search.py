"""search over HTTP: GET and POST, pages, includes, totals; every parameter is tried in tests/registry/search.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

import fhir.resources.R4B as r4b
import pytest

from tests.rest.bodies import CLAIRE, JULIEN, URI, mask, oid, replace, simple
from tests.rest.caller import AUTHOR, Caller, Tree, query
from tests.rest.test_refusals import refused

FORM = "application/x-www-form-urlencoded"


def ids(resources: list[Tree]) -> list[str]:
    return [each["id"] for each in resources]


def test_a_searchset_is_sound_and_says_what_was_used(talk: Caller) -> None:
    answer = talk.search("DocumentReference", patient__identifier=CLAIRE, status="current", _count="3")
    tree = answer.tree
    r4b.get_fhir_model_class("Bundle").model_validate(tree)
    assert tree["type"] == "searchset"
    assert len(answer.matches) == 3
    assert tree["total"] > 3
    for entry in tree["entry"]:
        assert entry["fullUrl"].endswith(f"/fhir/DocumentReference/{entry['resource']['id']}")
    link = answer.link("self") or ""
    assert "status=current" in link
    assert "_count=3" in link
    again = talk.get(link)
    assert ids(again.matches) == ids(answer.matches)


def test_get_and_post_answer_the_same(talk: Caller) -> None:
    parameters = query(patient__identifier=CLAIRE, type="http://loinc.org|11502-2", _sort="date")
    got = talk.get(f"DocumentReference?{parameters}")
    assert got.matches
    posted = talk.ask("POST", "DocumentReference/_search", parameters.encode(), Content_Type=FORM)
    assert posted.status == 200
    assert posted.matches == got.matches
    both = talk.ask("POST", "DocumentReference/_search?_sort=date", parameters[:-11].encode(), Content_Type=FORM)
    assert both.matches == got.matches
    assert posted.link("self") == got.link("self")


def test_pages_go_forth_and_back_and_hold_everything_once(talk: Caller) -> None:
    whole = talk.search("DocumentReference", patient__identifier=CLAIRE, _count="100").matches
    answer = talk.search("DocumentReference", patient__identifier=CLAIRE, _count="7")
    assert answer.link("previous") is None
    pages = [answer]
    while following := pages[-1].link("next"):
        pages.append(talk.get(following))
        assert pages[-1].status == 200
    assert [each for page in pages for each in ids(page.matches)] == ids(whole)
    assert {page.tree["total"] for page in pages} == {len(whole)}
    back = talk.get(pages[2].link("previous") or "")
    assert ids(back.matches) == ids(pages[1].matches)
    assert ids(talk.get(back.link("previous") or "").matches) == ids(pages[0].matches)


def test_a_page_link_is_followed_as_it_is_by_its_caller_only(talk: Caller) -> None:
    """TF-013, TF-014."""
    link = talk.search("DocumentReference", patient__identifier=CLAIRE, _count="2").link("next") or ""
    assert CLAIRE.partition("|")[2] not in link
    refused(talk.get(link, by="patient-claire-martin"), 404)
    refused(talk.get(link, by="dr-petit"), 404)
    refused(talk.get(f"{link}&status=current"), 400)
    refused(talk.get(link.replace("DocumentReference", "List")), 400)
    refused(talk.get(link[:-3] + ("AAA" if link[-3:] != "AAA" else "BBB")), 400)
    assert talk.get(f"{link}&_format={talk.form}").status == 200


def test_documents_published_between_two_pages_do_not_appear_twice(talk: Caller) -> None:
    wanted = {"patient__identifier": CLAIRE, "_count": "5", "_sort": "-_lastUpdated"}
    first = talk.search("DocumentReference", **wanted)
    talk.create(simple("entre deux pages"))
    second = talk.get(first.link("next") or "")
    assert not set(ids(first.matches)) & set(ids(second.matches))
    assert oid("entre deux pages") not in {each["masterIdentifier"]["value"] for each in second.matches}


def test_totals_and_counts(talk: Caller) -> None:
    everything = talk.search("DocumentReference", patient__identifier=CLAIRE, _count="100")
    number = len(everything.matches)
    counted = talk.search("DocumentReference", patient__identifier=CLAIRE, _summary="count")
    assert (counted.tree["total"], counted.entries) == (number, [])
    none = talk.search("DocumentReference", patient__identifier=CLAIRE, _count="0")
    assert (none.tree["total"], none.matches) == (number, [])
    without = talk.search("DocumentReference", patient__identifier=CLAIRE, _total="none")
    assert "total" not in without.tree
    accurate = talk.search("DocumentReference", patient__identifier=CLAIRE, _total="accurate", _count="1")
    assert accurate.tree["total"] == number


def test_totals_do_not_tell_of_hidden_documents(talk: Caller) -> None:
    """D14: count, total, include and revinclude are those of what the caller sees."""
    address = talk.create(simple("caché")).address
    wanted = {"patient__identifier": CLAIRE, "_summary": "count"}
    before = talk.search("DocumentReference", "infirmiere-robert", **wanted).tree["total"]
    talk.patch(address, replace("/securityLabel/0", mask("MASQUE_PS")), by="patient-claire-martin")
    assert talk.search("DocumentReference", "infirmiere-robert", **wanted).tree["total"] == before - 1
    here = {"patient__identifier": CLAIRE, "identifier": f"{URI}|{oid('caché')}", "_revinclude": "List:item"}
    assert talk.search("DocumentReference", "infirmiere-robert", **here).entries == []
    mine = talk.search("DocumentReference", AUTHOR, **here)
    assert sorted(each["search"]["mode"] for each in mine.entries) == ["include", "match"]


def test_includes(talk: Caller) -> None:
    lots = talk.search("List", patient__identifier=CLAIRE, code="submissionset", _include="List:item", _count="3")
    modes = [each["search"]["mode"] for each in lots.entries]
    assert modes.count("match") == 3
    members = {entry["item"]["reference"] for each in lots.matches for entry in each["entry"]}
    included = {
        f"{each['resource']['resourceType']}/{each['resource']['id']}"
        for each in lots.entries
        if each["search"]["mode"] == "include"
    }
    assert {each for each in members if each.startswith("DocumentReference/")} == included
    refused(talk.search("DocumentReference", patient__identifier=CLAIRE, _include="DocumentReference:author"), 400)


def test_a_search_of_another_record_finds_nothing_of_this_one(talk: Caller) -> None:
    talk.create(simple("chez claire"))
    assert talk.search("DocumentReference", patient__identifier=JULIEN, identifier=oid("chez claire")).matches == []


def test_a_patient_searches_the_own_record_without_naming_it(talk: Caller) -> None:
    """D12."""
    mine = talk.search("DocumentReference", "patient-claire-martin", _count="100").matches
    subjects = {each["subject"]["reference"] for each in mine}
    assert len(mine) > 10
    assert len(subjects) == 1
    refused(talk.search("DocumentReference", "patient-claire-martin", patient__identifier=JULIEN), 403)


@pytest.mark.parametrize("kind", ["Practitioner", "PractitionerRole", "Organization", "Device"])
def test_the_directory_is_open_to_whoever_has_a_token(talk: Caller, kind: str) -> None:
    for by in ("dr-roux", "patient-lea-martin", "chu-feeder", "exploitant"):
        assert talk.search(kind, by).matches, by


def test_if_none_match_of_a_search_is_ignored(registry: Caller) -> None:
    answer = registry.get(f"Organization?{query(_count='1')}", If_None_Match="*")
    assert answer.status == 200


def test_results_are_summarised_only_where_it_makes_sense(registry: Caller) -> None:
    refused(registry.search("DocumentReference", patient__identifier=CLAIRE, _summary="nothing"), 400)
    refused(registry.search("DocumentReference", patient__identifier=CLAIRE, _elements="status"), 400)
    refused(registry.search("DocumentReference", patient__identifier=CLAIRE, _count="-1"), 400)
