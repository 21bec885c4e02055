"""Twin registries: one holds a hidden document, in the other it never was. Whatever a caller observes is the same.

Ids and instants that each registry draws for itself are replaced by what they stand for; everything else is compared
byte for byte: status, headers, body, order, totals, links.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from dmp_fhir.identity.sandbox import Sandbox
from tests.rest.bodies import binary, bundle, document, folder, lot, mask, oid, post, submission_set, text_of, urn
from tests.rest.caller import Answer, Caller, Tree
from tests.support.server import TickingClock

_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INSTANT = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_HTTP_DATE = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_PAGE = re.compile(rb"_page=[A-Za-z0-9_.-]+")
_IGNORED = frozenset({"X-Request-Id", "Date"})

HIDDEN = "leak hidden"
OTHERS = tuple(f"leak open {n}" for n in range(5))
UNUSED = str(uuid.UUID(int=0x0196F0AA_0000_7000_8000_000000000001))

Observed = tuple[int, tuple[tuple[str, bytes], ...], bytes]


@dataclass
class Registry:
    """One of the twins. `names` says what an id of this registry stands for; `hidden` are the ids of the hidden
    document, its versions' address and its bytes, or ids that nobody has."""

    app: Flask
    clock: TickingClock
    sandbox: Sandbox
    has_hidden: bool
    names: dict[str, str] = field(default_factory=dict)
    hidden: str = UNUSED
    hidden_payload: str = f"Binary/{UNUSED}"
    folder: str = ""

    @property
    def talk(self) -> Caller:
        return Caller(self.app.test_client(), self.token)

    def token(self, persona: str, **claims: Any) -> str:
        return self.sandbox.issue(persona, now_ms=self.clock.now, **claims)

    def publish(self, body: Tree, label: str, *, by: str) -> list[str]:
        """Provide a lot; its addresses, with their ids named."""
        answer = self.talk.provide(body, by=by)
        assert answer.status == 200, answer.content
        for n, address in enumerate(answer.addresses):
            self.names.setdefault(address.partition("/")[2], f"{label}-{n}")
        return answer.addresses

    def observe(self, answer: Answer) -> Observed:
        # A sealed page link is as long as its ids compress, which is chance: bodies that hold one are measured plain.
        ignored = _IGNORED | ({"Content-Length"} if b"_page=" in answer.content else set())
        headers = tuple(
            sorted((name, self.plain(value.encode())) for name, value in answer.headers if name not in ignored)
        )
        return answer.status, headers, self.plain(answer.content)

    def plain(self, text: bytes) -> bytes:
        text = _UUID.sub(lambda found: self.names.get(found[0].decode(), "id").encode(), text)
        return _PAGE.sub(b"_page", _HTTP_DATE.sub(b"then", _INSTANT.sub(b"then", text)))


def fill(registry: Registry, kind: str, ins: str, author: str) -> None:
    """Five documents and a folder in both; in between, in one of them, the hidden document, on its own and in a lot and
    a folder with others. `kind`: masked, announced, secret or deleted."""
    registry.publish(lot(OTHERS[0], ins=ins), "open-0", by=author)
    registry.publish(lot(OTHERS[1], ins=ins), "open-1", by=author)
    _mixed_lot(registry, kind, ins, author)
    registry.publish(_naming_the_hidden(registry, lot(OTHERS[3], ins=ins)), "open-3", by=author)
    if registry.has_hidden and kind == "masked":
        patient = f"patient-{'claire' if ins.endswith('153') else 'lea'}-martin"
        patch = [{"op": "add", "path": "/securityLabel/-", "value": mask("MASQUE_PS")}]
        assert registry.talk.patch(f"DocumentReference/{registry.hidden}", *patch, by=patient).status == 200
    if registry.has_hidden and kind == "deleted":
        answer = registry.talk.ask("DELETE", f"DocumentReference/{registry.hidden}", by=author)
        assert answer.status == 204
    registry.publish(lot(OTHERS[4], ins=ins), "open-4", by=author)


def _naming_the_hidden(registry: Registry, body: Tree) -> Tree:
    """An open document that completes the hidden one, and names it among what is related."""
    if registry.has_hidden:
        target = {"reference": f"DocumentReference/{registry.hidden}"}
        resource = body["entry"][1]["resource"]
        resource["relatesTo"] = [{"code": "appends", "target": target | {"display": HIDDEN}}]
        resource["context"]["related"] = [target]
    return body


def _mixed_lot(registry: Registry, kind: str, ins: str, author: str) -> None:
    """One submission set and one folder for an open document and, in one twin, the hidden one."""
    visible = OTHERS[2]
    names = [visible, HIDDEN] if registry.has_hidden else [visible]
    labels = {"announced": "INVISIBLE_PATIENT", "secret": "INVISIBLE_REPRESENTANTS_LEGAUX"}
    entries = [post(submission_set("leak mixed", *map(urn, (*names, "leak folder")), ins=ins), urn("leak mixed set"))]
    for name in names:
        tree = document(name, ins=ins)
        if name == HIDDEN and kind in labels:
            tree["securityLabel"] = [*tree["securityLabel"], mask(labels[kind])]
        entries += [post(tree, urn(name)), post(binary(text_of(name)), urn(f"{name} document"))]
    entries.append(post(folder("leak", *map(urn, names), ins=ins), urn("leak folder")))
    addresses = registry.publish(bundle(*entries), "mixed", by=author)
    named = dict(zip(("set", *(part for name in names for part in (name, f"{name} bytes")), "folder"), addresses))
    registry.names |= {address.partition("/")[2]: part for part, address in named.items()}
    registry.folder = named["folder"]
    if registry.has_hidden:
        registry.hidden = named[HIDDEN].partition("/")[2]
        registry.hidden_payload = named[f"{HIDDEN} bytes"]
        registry.names |= {registry.hidden: "id", registry.hidden_payload.partition("/")[2]: "id"}


def unique_id() -> str:
    return oid(HIDDEN)
