"""Addresses, methods and headers with more than one meaning: TF-115, TF-116, TF-117, in process."""

from __future__ import annotations

import pytest

from dmp_fhir.interactions.routes import TYPES
from tests.hostile.target import Target, tree_of

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
METHODS = (
    "TRACE", "OPTIONS", "CONNECT", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "SEARCH", "LINK", "PURGE",
    "X",
    "M" * 5000,
)  # fmt: skip


@pytest.fixture(scope="module")
def document(sqlite_target: Target) -> str:
    """The id of a document that dr-moreau may read."""
    found = sqlite_target.resource("GET", f"/DocumentReference?patient.identifier={CLAIRE}&author.family=Moreau")
    return found["entry"][0]["resource"]["id"]


def tricks(name: str) -> list[str]:
    """Other spellings of the address of a resource; none of them is one."""
    kind, _, key = name.partition("/")
    return [
        f"//{name}", f"/{kind}//{key}", f"/{name}/", f"/{name}//", f"/./{name}", f"/{kind}/./{key}", f"/x/../{name}",
        f"/{kind}/x/../{key}", f"/%2e/{name}", f"/{kind}/%2e%2e/{name}", f"/{kind}/..%2f{name}", f"/..;/{name}",
        f"/{kind};a=b/{key}", f"/{name};a=b", f"/{name};jsessionid=1", f"/{name}.", f"/{name}%20", f"/{name}%09",
        f"/%20{name}", f"/{name}%00", f"/{name}%00.json", f"/{name}.json", f"/{name}%0a", f"/{name}%0d%0aX: y",
        f"/{kind.lower()}/{key}", f"/{kind.upper()}/{key}", f"/{kind}/{key.upper()}", f"/{kind}\\{key}",
        f"/{kind}%5c{key}", f"/%2f{name}", f"/{name}%2f", f"/{kind}/{key}%2f_history", f"/{name}/_history/",
        f"/{name}/_History", f"/{name}/_history/1/", f"/{name}/_history/01", f"/{name}/_history/1.0",
        f"/{name}/_history/-1", f"/{name}/_history/+1", f"/{name}/_history/%D9%A1", f"/{name}/_history/1%00",
        f"/{name}/_history/9999999999999999999", f"/{name}/$everything", f"/{name}/$validate/", f"/{name}/_search",
        f"/{name}/*", f"/{kind}/*", f"/{kind}/", f"/{kind}/_history", "/_history", "/_search", "/$export",
        f"/{kind}/$export", f"/{kind}/$everything", f"/*/{key}", f"/{kind}%3f_id={key}", f"/fhir/{name}",
        f"/{name}#", f"/{name}%23", f"/{kind}/{key}\u200b", f"/\uff30atient/{key}", f"/{kind}/%c0%ae%c0%ae/{name}",
        f"/{kind}/{'a' * 65}", f"/{'A' * 5000}/{key}", f"/{kind}/{'a' * 60_000}", "/" * 5000,
        "/graphql", "/.git/config",
    ]  # fmt: skip


def test_one_spelling_per_address(target: Target, document: str) -> None:
    name = f"DocumentReference/{document}"
    target.accepted("GET", f"/{name}")
    for path in tricks(name):
        # %2F is the plain slash and a fragment is not sent: the same address, the same decision, the same answer.
        if path in (f"/{name}#", f"/{name}/_history/01"):
            continue
        answer = target.harmless("GET", path) if "%2f_history" in path else target.refused("GET", path)
        assert answer.status_code in (200, 400, 404, 405), (path, answer.status_code)


def test_nobody_learns_of_an_address(target: Target, document: str) -> None:
    """The same spellings without a token: 401 before anything else (TF-002)."""
    for path in tricks(f"DocumentReference/{document}"):
        target.refused("GET", path, by=None, statuses=[401])


@pytest.mark.parametrize("method", METHODS, ids=lambda name: name[:12])
def test_unexpected_method(target: Target, document: str, method: str) -> None:
    """TF-116: 405 with Allow, and nothing of the request comes back."""
    marker = {"X-Marker": "marker-1f0c"}
    addresses = ["", "/", f"/DocumentReference/{document}", f"/DocumentReference/{document}/_history"]
    for path in (*addresses, *(f"/{kind}" for kind in sorted(TYPES))):
        answer = target.refused(method, path, headers=marker, statuses=[405], leaks=["marker-1f0c"])
        assert "Allow" in answer.headers
    target.refused(method, "", by=None, statuses=[401])
    assert target.send(method, "/metadata", by=None).status_code == 405


def test_declared_methods_only(target: Target) -> None:
    """Each method of REST where the type does not offer it."""
    for kind in sorted(TYPES):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for path in (f"/{kind}", f"/{kind}/none"):
                answer = target.refused(method, path, body=b"{}")
                if answer.status_code == 405:
                    assert method not in answer.headers["Allow"].split(", ")


def headers() -> list[tuple[str, str]]:
    long = "a" * 100_000
    names = (
        "X-Request-Id", "Prefer", "If-Match", "If-None-Match", "If-Modified-Since", "If-None-Exist", "Accept", "Host",
        "Accept-Language", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "X-HTTP-Method-Override",
        "X-Original-URL",
        "Range", "Cookie", "Referer", "User-Agent", "Content-Type", "Accept-Encoding", "Origin", "Expect", "Via",
        "X-Security-Context", "X-Provenance", "Content-Length",
    )  # fmt: skip
    values = (
        "",
        "\t",
        "<script>alert(1)</script>",
        "%0d%0aX-Injected: 1",
        "é\x7f\xff",
        long,
        "evil.example",
        ",,,;;;",
        '"',
    )
    # A Host of 100 kB ends in the router, before there is an address; over the wire, in the server (test_raw.py).
    return [(name, value) for name in names for value in values if (name, value) != ("Host", long)]


def test_headers_change_nothing(target: Target, document: str) -> None:
    """TF-117: whatever a header says, nothing of it is written back and links keep the base of the settings."""
    for name, value in headers():
        path = f"/DocumentReference?patient.identifier={CLAIRE}&_count=1"
        # A harmless X-Request-Id is the client's own, given back for its log.
        leaks = [value] if len(value) > 8 and (name, value) != ("X-Request-Id", "evil.example") else []
        answer = target.harmless("GET", path, headers=[(name, value)], leaks=leaks)
        assert answer.status_code in (200, 304, 400, 406), (name, value[:20], answer.status_code)
        if answer.status_code == 200:
            links = [each["url"] for each in tree_of(answer)["link"]]
            assert all(each.startswith("http://127.0.0.1:8000/fhir/") for each in links)
        target.harmless("GET", f"/DocumentReference/{document}", headers=[(name, value)], leaks=leaks)


@pytest.mark.parametrize("form", ["application/pdf", "image/*", "application/fhir+turtle", "x", "application/json;q=0"])
def test_impossible_format(target: Target, document: str, form: str) -> None:
    """TF-111."""
    target.refused("GET", f"/DocumentReference/{document}", headers={"Accept": form}, statuses=[406])
    if ";" not in form:
        target.refused("GET", f"/DocumentReference/{document}?_format={form}", statuses=[406])


def test_repeated_authorization(target: Target, document: str) -> None:
    """TF-058: two tokens are none; a token is read from its header only."""
    path, token = f"/DocumentReference/{document}", target.token("dr-moreau")
    bearer = f"Bearer {token}"
    for given in (
        [bearer, bearer],
        [bearer, "Basic YTpi"],
        ["Basic YTpi"],
        ["Bearer"],
        ["Bearer "],
        [token],
        [f"{bearer} x"],
    ):
        target.refused("GET", path, by=None, headers=[("Authorization", each) for each in given], statuses=[401])
    for odd in (
        f"Bearer {token[:-1]}",
        f"Bearer {token}.",
        f"Bearer {'a' * 1_000_000}",
        "Bearer é",
        f"Bearer\t{token}",
    ):
        target.refused("GET", path, by=None, headers={"Authorization": odd}, statuses=[401])
    target.refused("GET", f"{path}?access_token={token}", by=None, statuses=[401])
    target.refused("GET", path, by=None, headers={"Cookie": f"access_token={token}"}, statuses=[401])
