"""Lots to write with: ITI-65 bundles and ITI-105 resources by Dr Moreau for Claire Martin, cut from the bodies of the
tour, each document with its own uniqueId and bytes."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from dmp_fhir.wire.json import dump_json

Tree = dict[str, Any]

AUTHOR = "dr-moreau"
PATIENT = "patient-claire-martin"
CLAIRE_INS = "274036912390153"
OTHER_INS = "172113523890227"  # Julien Martin, whom Dr Moreau treats too
URI = "urn:ietf:rfc:3986"
_TOUR = Path(__file__).parents[2] / "fixtures" / "tour"
_BUNDLE = json.loads((_TOUR / "publish.json").read_bytes())
_SIMPLE = json.loads((_TOUR / "publish-simple.json").read_bytes())
_OTHER_FORMAT = _SIMPLE["content"][0]["format"]


# Names mean something within one test only (conftest.py).
scope = ""


def oid(name: str) -> str:
    """A uniqueId of its own for a name (ITU-T X.667: an OID from a UUID)."""
    return f"urn:oid:2.25.{uuid.uuid5(uuid.NAMESPACE_URL, f'{scope} {name}').int}"


def urn(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"


def content_of(name: str) -> bytes:
    return f"Compte rendu {name} : température 37,5 °C.\n".encode()


def token_of(unique_id: str) -> str:
    """The value of the search parameter `identifier` for a uniqueId."""
    return f"{URI}|{unique_id}"


def attachment_of(content: bytes, **more: Any) -> Tree:
    """contentType, size and hash of a plain text."""
    digest = hashlib.sha1(content, usedforsecurity=False).digest()
    facts = {"contentType": "text/plain", "size": len(content), "hash": base64.b64encode(digest).decode()}
    return facts | more


def replacing(unique_id: str) -> list[Tree]:
    """`relatesTo` of a document that replaces the one with this uniqueId."""
    target = {"type": "DocumentReference", "identifier": {"system": URI, "value": unique_id}}
    return [{"code": "replaces", "target": target}]


def lot(name: str, *contents: bytes, replaces: str | None = None, ins: str | None = None) -> Tree:
    """An ITI-65 bundle named `name`: one document per content (one of its own when none is given), whose uniqueIds are
    `oid("name/0")`, `oid("name/1")`… and that of its submission set `oid("name")`. Entries: the set, then each
    DocumentReference followed by its Binary."""
    bundle = copy.deepcopy(_BUNDLE)
    submission_set, reference, binary = bundle["entry"]
    bundle["entry"] = [submission_set]
    submission_set["fullUrl"] = urn(name)
    submission_set["resource"]["identifier"][0]["value"] = oid(name)
    submission_set["resource"]["entry"] = []
    for n, content in enumerate(contents or (content_of(name),)):
        own = f"{name}/{n}"
        document, payload = copy.deepcopy(reference), copy.deepcopy(binary)
        document["fullUrl"], payload["fullUrl"] = urn(own), urn(f"{own}/bytes")
        tree = document["resource"]
        tree["masterIdentifier"]["value"] = oid(own)
        old = tree["content"][0]["attachment"]
        facts = attachment_of(content, url=payload["fullUrl"], title=f"Compte rendu {own}")
        tree["content"] = [{"attachment": old | facts, "format": dict(_OTHER_FORMAT)}]
        if replaces and n == 0:
            tree["relatesTo"] = replacing(replaces)
        payload["resource"] |= {"contentType": "text/plain", "data": base64.b64encode(content).decode()}
        submission_set["resource"]["entry"].append({"item": {"reference": document["fullUrl"]}})
        bundle["entry"] += [document, payload]
    return with_patient(bundle, ins) if ins else bundle


def simple(name: str, content: bytes | None = None, replaces: str | None = None) -> Tree:
    """An ITI-105 DocumentReference whose uniqueId is `oid(name)`."""
    tree = copy.deepcopy(_SIMPLE)
    content = content if content is not None else content_of(name)
    tree["masterIdentifier"]["value"] = oid(name)
    facts = attachment_of(content, data=base64.b64encode(content).decode(), title=f"Note {name}")
    tree["content"][0]["attachment"] |= facts
    if replaces:
        tree["relatesTo"] = replacing(replaces)
    return tree


def with_patient(tree: Tree, ins: str) -> Tree:
    """The same lot for another patient."""
    text = json.dumps(tree).replace(CLAIRE_INS, ins)
    return json.loads(text)  # type: ignore[no-any-return]


def documents_in(bundle: Tree) -> list[Tree]:
    return [each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == "DocumentReference"]


def shuffled_keys(value: Any) -> Any:
    """The same JSON with the members of every object in the opposite order."""
    if isinstance(value, dict):
        return {name: shuffled_keys(value[name]) for name in reversed(value)}
    return [shuffled_keys(each) for each in value] if isinstance(value, list) else value


def body(tree: Tree) -> bytes:
    return dump_json(tree)


def archived(value: bool) -> Tree:
    """One operation of a JSON Patch: TD3.3d."""
    url = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"
    return {"op": "replace", "path": f"/extension[url:'{url}']/valueBoolean", "value": value}


def masked() -> Tree:
    """One operation of a JSON Patch: TD3.3a."""
    return json.loads((_TOUR / "mask.json").read_bytes())[0]  # type: ignore[no-any-return]


def status(value: str) -> Tree:
    return {"op": "replace", "path": "/status", "value": value}
