"""What makes two submissions the same submission (D17): the SHA-256 of what was meant, whatever the order of keys,
the format, the addresses inside the bundle or the base64 line breaks. Rests on SHA-256 of the document, never on
SHA-1 (TF-184)."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

Tree = dict[str, Any]

# Given by the server, by the bundle, or compared on their own.
_NOT_COMPARED = frozenset({"id", "meta", "text", "subject", "identifier"})


def document_fingerprint(tree: Tree, content_digest: bytes) -> bytes:
    """Of a DocumentReference as submitted and the SHA-256 of its document."""
    compared = {name: value for name, value in tree.items() if name not in _NOT_COMPARED}
    compared["content"] = [
        content
        | {
            "attachment": {
                name: value
                for name, value in content.get("attachment", {}).items()
                if name not in ("url", "data", "size", "hash")
            }
        }
        for content in tree.get("content", [])
    ]
    return hashlib.sha256(canonical_bytes(_without_local_addresses(compared)) + content_digest).digest()


def set_fingerprint(tree: Tree) -> bytes:
    """Of a submission set as submitted; its entries are compared through the documents."""
    compared = {name: value for name, value in tree.items() if name not in _NOT_COMPARED | {"entry"}}
    return hashlib.sha256(canonical_bytes(_without_local_addresses(compared))).digest()


def canonical_bytes(value: Any) -> bytes:
    """JSON with sorted keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)


_NESTED = frozenset({dict, list})


def _without_local_addresses(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_local_addresses(each) if type(each) in _NESTED else each
            for name, each in value.items()
            if not (name == "reference" and isinstance(each, str) and each.startswith("urn:uuid:"))
        }
    if isinstance(value, list):
        return [_without_local_addresses(each) for each in value]
    return value
