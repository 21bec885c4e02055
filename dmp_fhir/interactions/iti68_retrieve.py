"""Retrieve Document [ITI-68], PDSm flux 07 and 08, DMP TD3.2.  https://profiles.ihe.net/ITI/MHD/ITI-68.html

A Binary answers with the raw bytes in the document's own type, or as a FHIR Binary when FHIR is asked for; a FHIR
document answers as its Bundle. Rights are those of the DocumentReference, now (engineering decision 5).
"""

from __future__ import annotations

import pybase64

from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.conditions import etag, is_unchanged, require_unmodified
from dmp_fhir.interactions.gate import Gate
from dmp_fhir.interactions.messages import Response
from dmp_fhir.interactions.seeking import sought
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.registry.payloads import Payload, content_of, visible_payload
from dmp_fhir.registry.versions import Found, home_of
from dmp_fhir.wire.negotiation import Format, media_type, quality


def retrieve(gate: Gate) -> Response:
    request = gate.exchange.request
    resource_type, payload_id = request.resource_type or "", request.id or ""
    home = home_of(gate.reader, resource_type, payload_id)

    def look(record_id: str) -> Payload | None:
        predicate = gate.predicates(record_id)["DocumentReference"]
        return visible_payload(gate.reader, record_id, resource_type, payload_id, predicate)

    payload, record_id, decision = sought(gate, home, look, Action.DOC_READ)
    if request.version not in (None, "1"):
        not_found()
    found = Found(resource_type, payload_id, 1, payload.created, b"")
    about = ("DocumentReference", payload.document_id, payload.document_version)
    interaction = "vread" if request.version else "read"
    gate.did(interaction, "R", record_id, found, decision=decision, about=about, masked=bool(payload.masked))
    require_unmodified(request, found)
    if is_unchanged(request, found):
        return Response(304, etag=etag(1), last_modified=payload.created)
    content = content_of(gate.reader, gate.exchange.services.payloads, record_id, payload)
    response = _answer(gate, payload, content)
    response.etag, response.last_modified = etag(1), payload.created
    return response


def _answer(gate: Gate, payload: Payload, content: bytes) -> Response:
    if payload.resource_type == "Bundle":
        return Response(200, json=content)
    if wants_fhir(
        gate.exchange.request.accept, dict(gate.exchange.request.parameters).get("_format"), payload.content_type
    ):
        tree = {
            "resourceType": "Binary",
            "id": payload.id,
            "meta": {"versionId": "1", "lastUpdated": instant_text(payload.created)},
            "contentType": payload.content_type,
            "data": pybase64.b64encode_as_string(content),
        }
        return Response(200, tree=tree)
    return Response(200, content=content, content_type=payload.content_type)


def wants_fhir(accept: str, asked: str | None, content_type: str) -> bool:
    """Does the client want a FHIR Binary rather than the document itself? 406 when it accepts neither.

    https://hl7.org/fhir/R4/binary.html#rest: FHIR only when a FHIR type is asked for by its name.
    """
    if asked:
        return media_type(asked) is None or media_type(asked) != media_type(content_type)
    ranges = [each for part in accept.split(",") if (each := media_type(part))]
    names = {each.name for each in ranges}
    own = media_type(content_type)
    if own and own.name in names:
        return False
    if names & {Format.JSON.value, Format.XML.value}:
        return True
    if not names or "*/*" in names or (own and f"{own.name.partition('/')[0]}/*" in names):
        return False
    if any(quality(accept, each) > 0 for each in Format):
        return True
    refuse(
        406,
        "not-supported",
        f"Ce document est de type {content_type} ; il se donne aussi en application/fhir+json.",
        f"This document is of type {content_type}; it is also given as application/fhir+json.",
        rule="ITI-68",
    )
