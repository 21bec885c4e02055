"""Search values, ids, conditions, references that try to become something else: TF-104, TF-114, TF-118, TF-119, TF-121.

On both databases: what a statement makes of a text differs between them.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from dmp_fhir.registry.search.parameters import RESULT_PARAMETERS, SORTS, declared, searched_types
from tests.fixtures.world import tour
from tests.hostile.target import Target, tree_of

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
FORM = "application/x-www-form-urlencoded"
# Slower than any answer would be, so that one that was executed shows.
SLEEP_SECONDS = 30

_SLEEP = f"pg_sleep({SLEEP_SECONDS})"
_SEEDS = (
    "1=1", "1=2", "'a'='a'", "true", "NOT false", "EXISTS(SELECT 1 FROM document)", "1=(SELECT COUNT(*) FROM record)",
    f"(SELECT {_SLEEP}) IS NULL", f"1=(SELECT 1 FROM {_SLEEP})", f"(SELECT 1 FROM (SELECT {_SLEEP}) x)=1",
    "randomblob(1000000000) IS NULL", "LIKE('ABCDEFG',UPPER(HEX(RANDOMBLOB(500000000/2))))",
    "1=CAST((SELECT version()) AS INT)", "1=CAST((SELECT title FROM document LIMIT 1) AS INT)", "load_extension('x')",
    "sqlite_version()>'0'", "pg_read_file('/etc/passwd') IS NULL", "current_setting('server_version') IS NOT NULL",
    "(SELECT value FROM ins LIMIT 1) LIKE '%'", "id IN (SELECT id FROM document)", "1 IN (1)", "1 BETWEEN 0 AND 2",
)  # fmt: skip
_STATEMENTS = (
    "DROP TABLE document", "DELETE FROM document", "UPDATE document SET status='entered-in-error'",
    "INSERT INTO record(id) VALUES('x')",
    "UPDATE consent SET decision='permit'", "TRUNCATE audit_event", "ATTACH DATABASE '/tmp/x' AS x",
    "PRAGMA writable_schema=1",
    "COPY document TO '/tmp/x'", "VACUUM", "COMMIT", "ROLLBACK", f"SELECT {_SLEEP}", "SELECT * FROM audit_event",
)  # fmt: skip
_UNIONS = tuple(
    f"UNION {every}SELECT {columns} FROM {table}"
    for every in ("", "ALL ")
    for columns in ("NULL", "id,value", "*", "NULL,NULL,NULL")
    for table in ("ins", "document", "sqlite_master", "pg_tables")
)
_WRAPPERS = (
    "' OR {}--", "') OR {}--", "')) OR {} --", "' AND {} AND 'x'='x", '" OR {}--', "1 OR {}",
    "%' OR {} /*", "\\' OR {}#",
)  # fmt: skip
PAYLOADS = (
    *(wrapper.format(seed) for seed in _SEEDS for wrapper in _WRAPPERS),
    *(wrapper.format(text) for text in _STATEMENTS for wrapper in ("'; {}; --", "'); {}; --", "1; {}")),
    *(wrapper.format(text) for text in _UNIONS for wrapper in ("' {} --", "') {} --")),
    "'", "''", '"', "`", "\\", "\\'", "''''", "%27", "%2527", "ʼ", "＇", "’ OR 1=1", "--", "/*", "*/", ";", "#", "' '",
    ":value", ":record_id", ":p0", "$1", "?", "%s", "%(record_id)s", "{0}", "E'\\x27'", "U&'\\0027'", "x'27'",
    "CHAR(39)", "$$x$$",
)  # fmt: skip


def test_enough_payloads() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) > 300


def searches() -> list[tuple[str, str, str]]:
    """(persona, beginning of a search that is answered, name of a parameter), for all parameters of all types."""
    found = []
    for kind in searched_types():
        known = {each.code: each for each in declared(kind)}
        persona = "patient-claire-martin" if kind in ("AuditEvent", "Consent") else "dr-moreau"
        bound = [("patient.identifier", CLAIRE)] if "patient" in known and kind != "Device" else []
        bound = [("identifier", CLAIRE)] if kind == "Patient" else bound
        names = [each.code + m for each in known.values() for m in ("", *(f":{m}" for m in each.modifiers))]
        names += [f"{each.code}.{chain}" for each in known.values() for chain in each.chains]
        names += [*RESULT_PARAMETERS, "_page", "_format", "_unknown"]
        found += [(persona, f"/{kind}?{urlencode(bound)}", name) for name in names]
    return found


SEARCHES = searches()


def entries(target: Target, path: str, persona: str, **how: Any) -> list[Any]:
    """The resources found, if the search is answered at all."""
    started = time.monotonic()
    response = target.harmless("GET", path, by=persona, **how)
    assert time.monotonic() - started < SLEEP_SECONDS / 2
    if response.status_code != 200:
        return []
    return [each for each in tree_of(response).get("entry", []) if each["search"]["mode"] != "outcome"]


@pytest.mark.parametrize("third", range(3))
def test_sql_in_every_search_parameter(each_target: Target, third: int) -> None:
    """TF-118: every payload, and every parameter."""
    rounds = itertools.cycle(SEARCHES)
    for payload in itertools.islice(itertools.chain(PAYLOADS, PAYLOADS), third, None, 3):
        persona, path, name = next(rounds)
        found = entries(each_target, f"{path}&{name}={quote(payload)}", persona)
        # `:not` of a value that nothing has is everything; all else is nothing.
        assert not found or ":not" in name or payload in ("?",), (path, name, payload, len(found))


def test_sql_as_name_of_a_parameter(each_target: Target) -> None:
    for payload in PAYLOADS[::8]:
        path = f"/DocumentReference?patient.identifier={CLAIRE}"
        each_target.refused("GET", f"{path}&{quote(payload)}=1", statuses=[400])
        for prefix in ("_sort", "_include", "author:", "author."):
            name = f"{prefix}={quote(payload)}" if prefix[0] == "_" else f"{prefix}{quote(payload)}=1"
            each_target.refused("GET", f"{path}&{name}", statuses=[400])


def test_sql_in_paths_and_headers(each_target: Target) -> None:
    document = each_target.resource("GET", f"/DocumentReference?patient.identifier={CLAIRE}")["entry"][0]["resource"]
    body = json.dumps(tour()["publish-simple.json"]).encode()
    for payload in PAYLOADS[1::8]:
        text = quote(payload, safe="")
        each_target.refused("GET", f"/DocumentReference/{text}", statuses=[404])
        each_target.refused("GET", f"/Binary/{text}", statuses=[404])
        each_target.refused("GET", f"/Patient/a/_history/{text}", statuses=[404])
        each_target.refused("GET", f"/{text}", statuses=[404])
        each_target.refused(
            "PATCH",
            f"/DocumentReference?identifier={text}",
            body=b'[{"op":"test","path":"/status","value":"current"}]',
            kind="application/json-patch+json",
            statuses=(404, 412),
        )
        if payload.isascii():
            condition = {"If-None-Exist": f"identifier=|{text}"}
            each_target.refused("POST", "/DocumentReference", body=body, headers=condition, statuses=[400])
            for header in ("If-None-Match", "If-Modified-Since", "X-Request-Id", "Prefer"):
                each_target.harmless("GET", f"/DocumentReference/{document['id']}", headers={header: payload})


def test_sql_and_unreadable_text_in_references(each_target: Target) -> None:
    """References of a body become look-ups: the patient, the replaced document, a folder of a lot, a person."""
    simple = tour()["publish-simple.json"]
    for payload in (*PAYLOADS[2::12], "\0", "a\0b", "\x1f", "\ufffe", "\ud800"):
        text = quote(payload, safe="", errors="surrogatepass")
        for subject in (
            {"reference": f"Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|{text}"},
            {"reference": f"Patient/{text}"},
            {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": text}},
        ):
            send_refused(each_target, simple | {"subject": subject})
        for target in (f"DocumentReference?identifier=urn:x|{text}", f"DocumentReference/{text}"):
            relation = {"code": "appends", "target": {"reference": target}}
            send_refused(each_target, simple | {"relatesTo": [relation]})


def send_refused(target: Target, tree: dict[str, Any]) -> None:
    body = json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")
    target.refused("POST", "/DocumentReference", body=body, statuses=(400, 403, 422))


# --- text -----------------------------------------------------------------------------------------

_UNREADABLE = (
    "%",
    "%4",
    "%zz",
    "%00",
    "a%00b",
    "%1f",
    "%c0%af",
    "%ff",
    "%ed%a0%80",
    "%ef%bf%be",
    "%ef%b7%90",
    "é",
    "\xff",
)


@pytest.mark.parametrize("text", _UNREADABLE)
def test_unreadable_text_in_queries(each_target: Target, text: str) -> None:
    """TF-104, in addresses, forms, conditions and the requests of a bundle."""
    for persona, path, name in SEARCHES[::7]:
        each_target.refused("GET", f"{path}&{name}={text}", by=persona, statuses=[400])
    kind, _, query = SEARCHES[0][1].partition("?")
    body = f"{query}&_id={text}".encode("latin-1")
    each_target.refused("POST", f"{kind}/_search", by=SEARCHES[0][0], body=body, kind=FORM, statuses=[400])
    if not text.isascii():
        return
    patch = {"kind": "application/json-patch+json", "body": b'[{"op":"test","path":"/status","value":"current"}]'}
    each_target.refused("PATCH", f"/DocumentReference?identifier={text}", statuses=[400], **patch)
    each_target.refused(
        "POST",
        "/DocumentReference",
        body=json.dumps(tour()["publish-simple.json"]).encode(),
        headers={"If-None-Exist": f"identifier=urn:x|{text}"},
        statuses=[400],
    )
    for url in (f"Patient?identifier={text}", f"Patient/{text}", f"Patient/a/_history/{text}"):
        entry = {"request": {"method": "GET", "url": url}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        each_target.refused("POST", "", body=json.dumps(bundle).encode(), statuses=[400])
        answer = each_target.harmless("POST", "", body=json.dumps(bundle | {"type": "batch"}).encode())
        assert tree_of(answer)["entry"][0]["response"]["status"][:3] == "400"


# --- meaning of repeated and odd parameters: TF-114, TF-119, TF-121 -------------------------------


def repeated() -> Iterator[str]:
    yield f"patient.identifier={CLAIRE}&patient.identifier=urn:oid:1.2.250.1.213.1.4.10|1"
    yield f"patient.identifier={CLAIRE}&patient=Patient/x"
    yield f"patient.identifier={CLAIRE}&subject=Patient/x"
    yield f"patient.identifier={CLAIRE},urn:oid:1.2.250.1.213.1.4.10|1"
    for name, values in {
        "_count": ("1", "2"), "_total": ("none", "accurate"), "_summary": ("count", "false"), "_page": ("a", "b"),
        "_sort": ("date", "-date"),
    }.items():  # fmt: skip
        yield f"patient.identifier={CLAIRE}&" + "&".join(f"{name}={value}" for value in values)
    yield f"patient[]={CLAIRE}"
    yield f"patient[identifier]={CLAIRE}"
    yield f"patient.identifier={CLAIRE};status=current"
    yield f"patient.identifier={CLAIRE}&status[]=current"
    yield f"patient.identifier={CLAIRE}&status[0]=current"


@pytest.mark.parametrize("query", list(repeated()))
def test_repeated_parameters_never_widen(each_target: Target, query: str) -> None:
    response = each_target.harmless("GET", f"/DocumentReference?{query}")
    assert response.status_code in (400, 403), response.text[:500]


@pytest.mark.parametrize(
    "text", ["%", "%%", "_", "__", "*", "?", "M%", "M_reau", "M*", "[A-Z]", "^M", ".*", "\\", "%\\", "a" * 10_000]
)
@pytest.mark.parametrize("modifier", ["", ":contains", ":exact"])
def test_wildcards_are_letters(each_target: Target, text: str, modifier: str) -> None:
    """TF-119."""
    for path in (f"/DocumentReference?patient.identifier={CLAIRE}&author.family", "/Practitioner?family"):
        assert entries(each_target, f"{path}{modifier}={quote(text)}", "dr-moreau") == []


def costly() -> Iterator[str]:
    yield "type=" + ",".join(f"http://loinc.org|{n}" for n in range(1000))
    yield "&".join("type=http://loinc.org|1" for _ in range(5000))
    yield "&".join(f"x{n}=1" for n in range(199))
    yield from (f"_count={text}" for text in ("1000000000", "-1", "text", "1e3", "٣", " 1", "1.5", "0x10", ""))
    yield "_sort=" + ",".join(["date", "creation", "type", "_id"] * 5)
    yield "_sort=" + ",".join(SORTS["DocumentReference"])
    yield from (f"_sort={text}" for text in ("nothing", "-", "date,,type", "--date", "author.family"))
    yield "&".join(f"date=ge{year}" for year in range(1900, 2100))
    yield "type=" + "x" * 20_000
    yield from (f"date={text}" for text in ("ge", "2021-02-30", "ge1e9", "gt0000", "xx2020", "2020-13", "9" * 400))
    yield from (f"_page={text}" for text in ("1", "a.b.c", "A" * 5000, "-1", "%F0%9F%98%80"))
    yield from (f"_include={text}" for text in ("*", "List:item", "DocumentReference:*", ":iterate", "x" * 500))
    yield "&".join("_include=DocumentReference:relatesto" for _ in range(500))


@pytest.mark.parametrize("query", list(costly()), ids=lambda query: query[:40])
def test_costly_search(each_target: Target, query: str) -> None:
    """TF-121: refused, or answered within the limits of any search."""
    path = f"/DocumentReference?patient.identifier={CLAIRE}&{query}"
    response = each_target.harmless("GET", path)
    assert response.status_code in (200, 400, 413)
    if response.status_code == 200:
        assert query == "_count=1000000000"
        assert "_count=200" in next(each["url"] for each in tree_of(response)["link"] if each["relation"] == "self")
    kind, _, form = path.partition("?")
    again = each_target.harmless("POST", f"{kind}/_search", body=form.encode(), kind=FORM)
    assert again.status_code == response.status_code


FORMS = {
    "100 000 fields": (FORM, b"a=1&" * 100_000),
    "name of 900 kB": (FORM, b"a" * 900_000 + b"=1"),
    "value of 900 kB": (FORM, b"status=" + b"a" * 900_000),
    "no end": (FORM, b"status=%"),
    "10 000 parts": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 10_000,
    ),
    "no last boundary": ("multipart/form-data; boundary=b", b"--b\r\n"),
    "endless boundary": ("multipart/form-data; boundary=" + "b" * 5000, b"b" * 100_000),
    "no boundary": ("multipart/form-data", b"--b--"),
    "nested": (
        "multipart/mixed; boundary=b",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--",
    ),
    "JSON": ("application/json", b'{"status":"current"}'),
}


@pytest.mark.parametrize("name", FORMS)
def test_odd_form(sqlite_target: Target, name: str) -> None:
    """TF-124."""
    kind, body = FORMS[name]
    for address in ("/DocumentReference/_search", f"/DocumentReference/_search?patient.identifier={CLAIRE}"):
        sqlite_target.refused("POST", address, body=body, kind=kind, statuses=(400, 413, 415))
