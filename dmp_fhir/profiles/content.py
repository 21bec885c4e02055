"""The document against what its metadata say of it: size, hash, type (D8, TF-127)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from dmp_fhir.outcome import Issue, error, information, warning

Tree = dict[str, Any]

# First bytes by which a declared type can be contradicted.
_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "application/pdf": (b"%PDF-",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
}


def content_issues(attachment: Tree, content_type: str, content: bytes, expression: str) -> list[Issue]:
    """`attachment` is that of the DocumentReference at `expression`; `content_type` is the one sent with the bytes."""
    issues: list[Issue] = []
    declared = attachment.get("contentType", "")
    if not content:
        issues.append(
            error("invalid", "Le document est vide.", "The document is empty.", expression=expression, rule="LOT-13")
        )
    if content_type != declared:
        issues.append(
            error(
                "invalid",
                f"Le type annoncé ({declared}) n'est pas celui du document envoyé ({content_type}).",
                f"The declared type ({declared}) is not that of the document sent ({content_type}).",
                expression=f"{expression}.contentType",
                rule="LOT-10",
            )
        )
    signatures = _SIGNATURES.get(declared)
    if content and signatures and not content.startswith(signatures):
        issues.append(
            error(
                "invalid",
                f"Les premiers octets du document ne sont pas ceux du type {declared}.",
                f"The first bytes of the document are not those of {declared}.",
                expression=f"{expression}.contentType",
                rule="LOT-10",
            )
        )
    size = attachment.get("size")
    if size is not None and size != len(content):
        issues.append(
            error(
                "invalid",
                f"La taille annoncée est {size}, le document compte {len(content)} octets.",
                f"The declared size is {size}, the document has {len(content)} bytes.",
                expression=f"{expression}.size",
                rule="LOT-11",
                xds="XDSNonIdenticalSize",
            )
        )
    if "hash" in attachment:
        issues += _hash_issues(attachment["hash"], content, f"{expression}.hash")
    return issues


def _hash_issues(text: str, content: bytes, expression: str) -> list[Issue]:
    digest = sha1(content)
    expected = base64.b64encode(digest).decode()
    if text == expected:
        return []
    hexadecimal = digest.hex()
    if text.lower() == hexadecimal or text == base64.b64encode(hexadecimal.encode()).decode():
        return [
            warning(
                "value",
                f"L'empreinte est en hexadécimal ; FHIR attend le base64 des 20 octets : {expected}",
                f"The hash is hexadecimal; FHIR wants the base64 of the 20 bytes: {expected}",
                expression=expression,
                rule="D8",
            )
        ]
    return [
        error(
            "invalid",
            f"L'empreinte SHA-1 n'est pas celle du document ({expected}).",
            f"The SHA-1 hash is not that of the document ({expected}).",
            expression=expression,
            rule="LOT-12",
            xds="XDSNonIdenticalHash",
        )
    ]


def fhir_document_issues(attachment: Tree, expression: str) -> list[Issue]:
    """A FHIR document is sent as a Bundle, not as bytes: MHD asks to leave size and hash out, PDSm to give them.
    What the client computed can't be checked, the registry puts those of the bytes it serves."""
    if "size" not in attachment and "hash" not in attachment:
        return []
    return [
        information(
            "informational",
            "Taille et empreinte d'un document FHIR sont recalculées sur les octets servis.",
            "Size and hash of a FHIR document are computed again from the bytes served.",
            expression=expression,
            rule="D8",
        )
    ]


def sha1(content: bytes) -> bytes:
    """FHIR's Attachment.hash; identity rests on SHA-256 (TF-184)."""
    return hashlib.sha1(content, usedforsecurity=False).digest()
