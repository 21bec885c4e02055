"""The mutants: what is wrong with each server, and the scenario meant to catch it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from typing import Any

from tests.conformance.wrong import (
    Ask,
    Server,
    Told,
    Tree,
    Wrong,
    bundles,
    confusing,
    deaf_to,
    ignoring,
    lots,
    misreading,
    telling,
)

DOCUMENTS, LISTS = "DocumentReference", "List"
JSON = (("Content-Type", "application/fhir+json"),)


def documents_of(lot: Tree) -> list[Tree]:
    return [each["resource"] for each in lot["entry"] if each["resource"]["resourceType"] == DOCUMENTS]


# --- searches -------------------------------------------------------------------------------------


def total_plus_one(_: Ask, tree: Tree) -> None:
    tree["total"] = tree.get("total", 0) + 1


def total_of_the_page(_: Ask, tree: Tree) -> None:
    tree["total"] = len(tree.get("entry", []))


def without_links(_: Ask, tree: Tree) -> None:
    tree["link"] = [each for each in tree["link"] if each["relation"] != "next"]


def first_page_again(ask: Ask, tree: Tree) -> None:
    for each in tree["link"]:
        if each["relation"] == "next":
            each["url"] = f"http://127.0.0.1:8000/fhir/{ask.path}?{ask.query}"


def without_full_urls(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        each.pop("fullUrl", None)


def included_are_matches(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        each["search"]["mode"] = "match"


def relative_urls(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        attachment = each["resource"].get("content", [{}])[0].get("attachment", {})
        attachment["url"] = "/".join(attachment.get("url", "").split("/")[-2:])


def losing_descriptions(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        each["resource"].pop("description", None)


def without_prefix(name: str, value: str) -> tuple[str, str]:
    return name, re.sub(r"^(ge|gt|le|lt|sa|eb|ne)", "", value) if name == "creation" else value


def without_system(name: str, value: str) -> tuple[str, str]:
    return name, value.rpartition("|")[2] if name == "type" and value[-1:] != "|" else value


def first_alternative(name: str, value: str) -> tuple[str, str]:
    return name, value.partition(",")[0] if name == "type" else value


def of_the_first_patient(name: str, value: str) -> tuple[str, str]:
    return name, value.replace("172113523890227", "274036912390153") if name.startswith("patient") else value


def any_system(name: str, value: str) -> tuple[str, str]:
    return name, "urn:oid:1.2.250.1.213.1.4.10|" + value.rpartition("|")[2] if name == "identifier" else value


def first_of_repeated(ask: Ask, server: Server) -> Told:
    return server.serve(ask.with_pairs(lambda pairs: list(dict(reversed(pairs)).items())))


def deaf_to_forms(ask: Ask, server: Server) -> Told:
    if ask.path.endswith("/_search"):
        ask = ask.with_pairs(lambda pairs: [each for each in pairs if each[0] in ("patient.identifier", "_sort")])
    return server.serve(ask)


def always_lenient(ask: Ask, server: Server) -> Told:
    return server.serve(ask.with_header("Prefer", "handling=lenient"))


# --- TD0.2 ----------------------------------------------------------------------------------------


def all_open(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        if each["resource"]["resourceType"] == "Patient":
            each["resource"]["active"] = True


def without_own_status(_: Ask, tree: Tree) -> None:
    tree["entry"] = [each for each in tree.get("entry", []) if each["search"]["mode"] != "outcome"]


# --- submission -----------------------------------------------------------------------------------


def not_atomic(ask: Ask, server: Server) -> Told:
    """A refused lot leaves its first document behind."""
    told = server.serve(ask)
    if told.status >= 400 and not ask.path and isinstance(ask.tree, dict) and len(ask.tree.get("entry", [])) > 3:
        lot = ask.tree
        lot["entry"] = lot["entry"][:3]
        lot["entry"][0]["resource"]["entry"] = lot["entry"][0]["resource"]["entry"][:1]
        server.serve(ask.with_tree(lot))
    return told


def trusting_hashes(lot: Tree) -> None:
    for document in documents_of(lot):
        attachment = document["content"][0]["attachment"]
        for each in lot["entry"]:
            if each["fullUrl"] == attachment.get("url"):
                content = base64.b64decode(each["resource"]["data"])
                attachment["size"] = len(content)
                digest = hashlib.sha1(content, usedforsecurity=False).digest()
                attachment["hash"] = base64.b64encode(digest).decode()


def of_the_document_patient(lot: Tree) -> None:
    """Whatever else the lot says of its patient."""
    for each in lot["entry"]:
        resource = each["resource"]
        if "subject" in resource:
            resource["subject"] = {"reference": "Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|274036912390153"}
        for inner in resource.get("contained", []):
            if inner["resourceType"] == "Patient":
                inner["identifier"][0]["value"] = "274036912390153"


def filling_in(lot: Tree) -> None:
    """What is mandatory and missing is made up."""
    for document in documents_of(lot):
        document.setdefault("type", {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]})


def not_superseding(lot: Tree) -> None:
    for document in documents_of(lot):
        for each in document.get("relatesTo", []):
            each["code"] = "appends" if each["code"] == "replaces" else each["code"]


def replacing_always(lot: Tree) -> None:
    for document in documents_of(lot):
        for each in document.get("relatesTo", []):
            each["code"] = "replaces"


def without_folder_entries(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        if each["resource"].get("code", {}).get("coding", [{}])[0].get("code") == "folder":
            each["resource"].pop("entry", None)


def always_new(lot: Tree) -> None:
    """The same lot again is another one."""
    for each in lot["entry"]:
        identifier = each["resource"].get("masterIdentifier") or (each["resource"].get("identifier") or [{}])[0]
        if identifier.get("value", "").startswith("urn:oid:2.25.") and identifier["value"] in _SEEN:
            identifier["value"] = f"urn:oid:2.25.{uuid.uuid4().int}"
        _SEEN.add(identifier.get("value"))


_SEEN: set[Any] = set()


def answers_backwards(ask: Ask, told: Told) -> Told:
    tree = told.tree
    if tree and tree.get("type") == "transaction-response":
        tree["entry"].reverse()
        return told.with_tree(tree)
    return told


def without_location(_: Ask, told: Told) -> Told:
    return told.with_header("Location", None)


def keeping_data(ask: Ask, told: Told) -> Told:
    if ask.method == "GET" and ask.path.startswith("DocumentReference/") and told.status == 200 and told.tree:
        tree = told.tree
        tree["content"][0]["attachment"]["data"] = "QQ=="
        return told.with_tree(tree)
    return told


def without_derived_set(ask: Ask, tree: Tree) -> None:
    if any(name == "item" for name, _ in ask.pairs):
        tree["total"] = 0
        tree["entry"] = []


# --- documents, versions, patches -----------------------------------------------------------------


def one_byte_more(ask: Ask, told: Told) -> Told:
    raw = ask.kind == "Binary" and told.status == 200 and not told.tree
    return Told(told.status, told.headers, told.body + b"\n") if raw else told


def octets(ask: Ask, told: Told) -> Told:
    raw = ask.kind == "Binary" and told.status == 200 and not told.tree
    return told.with_header("Content-Type", "application/octet-stream") if raw else told


def first_version_tag(_: Ask, told: Told) -> Told:
    return told.with_header("ETag", 'W/"1"') if any(name == "ETag" for name, _ in told.headers) else told


def pretending_to_delete(ask: Ask, server: Server) -> Told:
    if ask.method == "PATCH" and b"entered-in-error" in ask.body:
        return server.serve(Ask("GET", ask.path, ask.query, ask.headers, b""))
    return server.serve(ask)


def pretending_to_patch(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    if ask.method == "PATCH" and told.status == 405:
        return server.serve(Ask("GET", ask.path, ask.query, ask.headers, b""))
    return told


def one_operation_at_a_time(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    if ask.method == "PATCH" and told.status >= 400 and isinstance(ask.tree, list):
        for operation in ask.tree:
            server.serve(ask.with_tree([operation]))
    return told


def patch_by_id_only(ask: Ask, server: Server) -> Told:
    if ask.method == "PATCH" and ask.path == DOCUMENTS:
        return Told(405, JSON, json.dumps(server.serve(Ask("GET", "x/y/z", "", ask.headers, b"")).tree).encode())
    return server.serve(ask)


def overwriting_labels(ask: Ask, told: Told) -> Told:
    tree = told.tree if ask.method == "PATCH" else None
    if tree and len(tree.get("securityLabel", [])) > 1:
        tree["securityLabel"] = tree["securityLabel"][1:]
        return told.with_tree(tree)
    return told


# --- errors, formats, headers ---------------------------------------------------------------------


def ok_for_missing(_: Ask, told: Told) -> Told:
    return Told(200, told.headers, told.body) if told.status == 404 else told


def html_errors(_: Ask, told: Told) -> Told:
    return Told(404, (("Content-Type", "text/html"),), b"<h1>Not found</h1>") if told.status == 404 else told


def broken_by_syntax(_: Ask, told: Told) -> Told:
    return Told(500, told.headers, told.body) if told.status == 400 else told


def stack_traces(_: Ask, told: Told) -> Told:
    trace = b'{"resourceType":"OperationOutcome","note":"Traceback (most recent call last)"}'
    return Told(told.status, told.headers, trace) if told.status >= 400 else told


def without_expression(_: Ask, told: Told) -> Told:
    tree = told.tree if told.status == 422 else None
    if not tree:
        return told
    for each in tree["issue"]:
        each.pop("expression", None)
    return told.with_tree(tree)


def json_only(ask: Ask, server: Server) -> Told:
    return server.serve(ask.with_header("Accept", "application/fhir+json"))


def without_cache_control(_: Ask, told: Told) -> Told:
    return told.with_header("Cache-Control", None)


def open_cors(_: Ask, told: Told) -> Told:
    return told.with_header("Access-Control-Allow-Origin", "*")


# --- capabilities ---------------------------------------------------------------------------------


def statement(change: Any) -> Wrong:
    def changed(ask: Ask, told: Told) -> Told:
        tree = told.tree if ask.path == "metadata" else None
        if not tree:
            return told
        for resource in tree["rest"][0]["resource"]:
            change(resource)
        return told.with_tree(tree)

    return telling(changed)


def silent_about_patch(resource: Tree) -> None:
    resource["interaction"] = [each for each in resource["interaction"] if each["code"] != "patch"]


def silent_about_creation(resource: Tree) -> None:
    resource["searchParam"] = [each for each in resource.get("searchParam", []) if each["name"] != "creation"]


def refusing_a_declared_parameter(ask: Ask, server: Server) -> Told:
    refused = ask.kind == DOCUMENTS and any(name == "setting" for name, _ in ask.pairs)
    return server.serve(ask.with_pairs(lambda pairs: [*pairs, ("colour", "x")]) if refused else ask)


# --- rights ---------------------------------------------------------------------------------------


def anybody(ask: Ask, server: Server) -> Told:
    return server.serve(ask) if ask.header("Authorization") else server.serve_as(ask, "author")


def any_token(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    given = ask.header("Authorization")
    return server.serve_as(ask, "author") if told.status == 401 and given else told


def masks_ignored(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    return server.serve_as(ask, "author") if told.status == 404 and server.asks(ask, "nurse") else told


def emergencies_ignore_opposition(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    opposed = told.status == 403 and ("198073306390513" in ask.query or "198073306390513" in ask.query)
    return server.serve_as(ask, "expired") if opposed else told


def hidden_in_includes(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    including = server.asks(ask, "nurse") and any(name == "_include" for name, _ in ask.pairs)
    return server.serve_as(ask, "author") if including else told


def hidden_in_totals(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    tree = told.tree
    if server.asks(ask, "nurse") and tree and tree.get("type") == "searchset":
        tree["total"] = server.serve_as(ask, "author").tree.get("total", 0)
        return told.with_tree(tree)
    return told


def hidden_in_lists(ask: Ask, server: Server) -> Told:
    return server.serve_as(ask, "author") if ask.kind == LISTS and server.asks(ask, "nurse") else server.serve(ask)


def hidden_has_another_text(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    if told.status == 404 and server.asks(ask, "nurse") and server.serve_as(ask, "author").status == 200:
        tree = told.tree
        tree["issue"][0]["diagnostics"] = "This resource is hidden from you."
        return told.with_tree(tree)
    return told


def hidden_is_forbidden(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    hidden = ask.method == "PATCH" and told.status == 404 and server.asks(ask, "nurse")
    if hidden and server.serve_as(Ask("GET", ask.path, "", ask.headers, b""), "author").status == 200:
        return Told(403, told.headers, told.body)
    return told


def hidden_tells_its_tag(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    if ask.method == "HEAD" and told.status == 404:
        seen = server.serve_as(ask, "author")
        tag = next((value for name, value in seen.headers if name == "ETag"), None)
        return told.with_header("ETag", tag)
    return told


def patients_see_all(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    return server.serve_as(ask, "author") if told.status == 404 and server.asks(ask, "patient") else told


def parents_see_all(ask: Ask, server: Server) -> Told:
    return server.serve_as(ask, "minor") if server.asks(ask, "representative") else server.serve(ask)


def closed_tells(ask: Ask, server: Server) -> Told:
    told = server.serve(ask)
    if told.status == 403 and "138014410990813" in ask.query:
        empty = {"resourceType": "Bundle", "type": "searchset", "total": 0}
        return Told(200, told.headers, json.dumps(empty).encode())
    return told


def decisions_without_effect(ask: Ask, server: Server) -> Told:
    if ask.method == "POST" and ask.path == "Consent":
        location = (("Location", f"http://127.0.0.1:8000/fhir/Consent/{uuid.uuid4()}/_history/1"),)
        return Told(201, JSON + location, ask.body)
    return server.serve(ask)


def no_trace(ask: Ask, tree: Tree) -> None:
    tree["total"] = 0
    tree["entry"] = []


def no_trace_of(code: str) -> Wrong:
    """Acts of one kind leave no trace."""

    def untraced(_: Ask, tree: Tree) -> None:
        kept = [each for each in tree.get("entry", []) if not _is(each["resource"], code)]
        tree["total"] = tree.get("total", 0) - (len(tree.get("entry", [])) - len(kept))
        tree["entry"] = kept

    return bundles(untraced, "AuditEvent")


def _is(event: Tree, code: str) -> bool:
    return event.get("outcome") == code or code in [each["code"] for each in event.get("subtype", [])]


def anonymous_traces(_: Ask, tree: Tree) -> None:
    for each in tree.get("entry", []):
        for agent in each["resource"]["agent"]:
            agent.get("who", {}).pop("identifier", None)


# name: (the wrong server, the scenario meant for it)
MUTANTS: dict[str, tuple[Wrong, str]] = {
    **{
        f"ignores {name}": (ignoring(DOCUMENTS, name), scenario)
        for name, scenario in {
            "type": "ITI67-TOKEN",
            "category": "ITI67-TOKEN",
            "facility": "ITI67-TOKEN",
            "setting": "ITI67-TOKEN",
            "event": "ITI67-TOKEN",
            "format": "ITI67-TOKEN",
            "security-label": "ITI67-TOKEN",
            "status": "ITI67-SUPERSEDED",
            "creation": "ITI67-CREATION",
            "date": "ITI67-DATE",
            "period": "ITI67-PERIOD",
            "period-start": "ITI67-PERIOD-START-END",
            "period-end": "ITI67-PERIOD-START-END",
            "author.family": "ITI67-AUTHOR",
            "author.given": "ITI67-AUTHOR",
            "author.identifier": "ITI67-AUTHOR-IDENTIFIER",
            "related:identifier": "ITI67-RELATED",
            "relatesto": "ITI67-RELATESTO",
            "isArchived": "ITI67-ARCHIVED",
            "_lastUpdated": "ITI67-LAST-UPDATED",
            "_id": "ITI67-ID",
            "identifier": "ITI67-IDENTIFIER",
            "type:not": "ITI67-NOT",
            "event:missing": "ITI67-MISSING",
            "_sort": "ITI67-SORT",
            "_count": "ITI67-COUNT",
            "_summary": "ITI67-SUMMARY-COUNT",
            "_include": "ITI67-INCLUDE-RELATED",
            "_revinclude": "ITI67-REVINCLUDE-LOT",
        }.items()
    },
    **{
        f"ignores {name} of lists": (ignoring(LISTS, name), scenario)
        for name, scenario in {
            "code": "ITI66-PARAMETERS",
            "date": "ITI66-PARAMETERS",
            "designationType": "ITI66-PARAMETERS",
            "sourceId": "ITI66-PARAMETERS",
            "source.family": "ITI66-PARAMETERS",
            "title": "ITI66-TITLE",
            "item": "ITI66-ITEM",
            "_include": "ITI66-INCLUDE",
        }.items()
    },
    "one total too many": (bundles(total_plus_one), "ITI67-PATIENT"),
    "total of the page": (bundles(total_of_the_page), "ITI67-COUNT"),
    "no next link": (bundles(without_links), "ITI67-PAGES"),
    "the first page again": (bundles(first_page_again), "ITI67-PAGES"),
    "no fullUrl": (bundles(without_full_urls), "ITI67-ENTRIES"),
    "included as matches": (bundles(included_are_matches, LISTS), "ITI66-INCLUDE"),
    "relative attachment.url": (bundles(relative_urls), "ITI67-FULL-URL"),
    "loses descriptions": (bundles(losing_descriptions), "ITI67-FAITHFUL"),
    "date prefixes not read": (misreading(DOCUMENTS, without_prefix), "ITI67-CREATION"),
    "systems not compared": (misreading(DOCUMENTS, without_system), "ITI67-TOKEN"),
    "first alternative only": (misreading(DOCUMENTS, first_alternative), "ITI67-TOKEN"),
    "one patient for another": (misreading(DOCUMENTS, of_the_first_patient), "ITI67-OTHER-PATIENT"),
    "one of repeated parameters": (first_of_repeated, "ITI67-CREATION"),
    "forms not read": (deaf_to_forms, "ITI67-POST"),
    "always lenient": (always_lenient, "ITI67-UNKNOWN-PARAMETER"),
    "INS without its system": (misreading("Patient", any_system), "TD02-OTHER-SYSTEM"),
    "closed records open": (bundles(all_open, "Patient"), "TD02-CLOSED"),
    "no own status": (bundles(without_own_status, "Patient"), "TD02-OWN-STATUS"),
    "transaction not atomic": (not_atomic, "ITI65-ATOMIC"),
    "hash and size not verified": (lots(trusting_hashes), "ITI65-MISMATCH"),
    "patients of a lot not compared": (lots(of_the_document_patient), "ITI65-TWO-PATIENTS"),
    "mandatory type made up": (lots(filling_in), "ITI65-REQUIRED"),
    "replacement not superseding": (lots(not_superseding), "ITI65-REPLACE"),
    "every relation replaces": (lots(replacing_always), "ITI65-RELATIONS"),
    "folders without entries": (bundles(without_folder_entries, LISTS), "ITI65-FOLDER-CREATE"),
    "resubmission makes a duplicate": (lots(always_new), "ITI65-RESUBMIT"),
    "response in another order": (telling(answers_backwards), "ITI65-ACCEPT"),
    "anybody replaces": (confusing("colleague", "author", lambda ask: not ask.path), "ITI65-REPLACE-NOT-AUTHOR"),
    "Location missing": (telling(without_location), "ITI105-CREATE"),
    "data kept in metadata": (telling(keeping_data), "ITI105-CONTENT"),
    "no derived set": (bundles(without_derived_set, LISTS), "ITI105-SET"),
    "one byte more": (telling(one_byte_more), "ITI68-NATIVE"),
    "documents as octets": (telling(octets), "ITI68-NATIVE"),
    "wrong ETag": (telling(first_version_tag), "FORMAT-ETAG-CHANGES"),
    "If-Match not read": (deaf_to("If-Match"), "PATCH-IF-MATCH"),
    "If-None-Match not read": (deaf_to("If-None-Match"), "FORMAT-CONDITIONAL-READ"),
    "If-None-Match of documents not read": (deaf_to("If-None-Match"), "ITI68-CACHED"),
    "pretends to delete": (pretending_to_delete, "PATCH-DELETE"),
    "pretends to patch": (pretending_to_patch, "PATCH-OTHER-ELEMENT"),
    "patch half done": (one_operation_at_a_time, "PATCH-ATOMIC"),
    "no conditional patch": (patch_by_id_only, "PATCH-CONDITIONAL"),
    "label N lost": (telling(overwriting_labels), "PATCH-LABEL-KEEPS-N"),
    "200 where 404 belongs": (telling(ok_for_missing), "ERR-NOT-FOUND"),
    "errors in HTML": (telling(html_errors), "ERR-NOT-FOUND"),
    "500 for bad syntax": (telling(broken_by_syntax), "ERR-MALFORMED"),
    "stack traces": (telling(stack_traces), "ERR-NO-DETAILS"),
    "errors without place": (telling(without_expression), "ERR-UNSOUND"),
    "JSON only": (json_only, "FORMAT-ACCEPT"),
    "no Cache-Control": (telling(without_cache_control), "SEC-HEADERS"),
    "CORS open": (telling(open_cors), "SEC-CORS"),
    "patch not declared": (statement(silent_about_patch), "CAP-INTERACTIONS"),
    "creation not declared": (statement(silent_about_creation), "CAP-SEARCH-PARAMETERS"),
    "declared and refused": (refusing_a_declared_parameter, "CAP-SEARCH-PARAMETERS"),
    "no token needed": (anybody, "SEC-NO-TOKEN"),
    "any token will do": (any_token, "SEC-BAD-TOKEN"),
    "blocked reads": (confusing("blocked", "author"), "ACC-SEARCH-REFUSED"),
    "expired reads by address": (confusing("expired", "author"), "ACC-READ-REFUSED"),
    "matrix not applied": (confusing("nurse", "colleague"), "ACC-MATRIX"),
    "closed record tells": (closed_tells, "ACC-CLOSED"),
    "operator reads": (confusing("operator", "author"), "ACC-READ-REFUSED"),
    "opposition not applied": (emergencies_ignore_opposition, "EMG-OPPOSED"),
    "masks ignored": (masks_ignored, "MASK-BY-PATIENT"),
    "masks without request": (
        confusing("author", "author-on-request", lambda ask: ask.method == "PATCH"),
        "MASK-NEEDS-REQUEST",
    ),
    "the announcement is not awaited": (patients_see_all, "HIDE-PATIENT"),
    "parents see all": (parents_see_all, "HIDE-REPRESENTATIVE"),
    "decisions without effect": (decisions_without_effect, "CONSENT-GRANT"),
    "hidden in _include": (hidden_in_includes, "LEAK-INCLUDE"),
    "hidden in totals": (hidden_in_totals, "LEAK-COUNT"),
    "hidden in lists": (hidden_in_lists, "LEAK-LIST-ENTRIES"),
    "hidden says so": (hidden_has_another_text, "LEAK-READ"),
    "hidden is forbidden": (hidden_is_forbidden, "LEAK-PATCH"),
    "hidden has an ETag": (hidden_tells_its_tag, "LEAK-HEAD"),
    "no audit": (bundles(no_trace, "AuditEvent"), "AUDIT-READ"),
    "reads not traced": (no_trace_of("read"), "AUDIT-RETRIEVE"),
    "refusals not traced": (no_trace_of("4"), "AUDIT-REFUSAL"),
    "searches not traced": (no_trace_of("search-type"), "AUDIT-SEARCH"),
    "patches not traced": (no_trace_of("patch"), "AUDIT-CHANGE"),
    "traces of nobody": (bundles(anonymous_traces, "AuditEvent"), "AUDIT-DEPOSIT"),
    "traces of others": (confusing("nurse", "author", lambda ask: ask.kind == "AuditEvent"), "AUDIT-OWN-ONLY"),
}
