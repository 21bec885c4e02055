"""What no interaction answered: unknown paths and methods, a store that is away, and our own faults."""

from __future__ import annotations

import logging
import traceback
import uuid

from flask import Flask
from flask import Response as HttpResponse
from werkzeug.exceptions import HTTPException

from dmp_fhir.http.fhir import answer_format, request_id, services
from dmp_fhir.http.rendering import render
from dmp_fhir.interactions.messages import Response
from dmp_fhir.outcome import error, operation_outcome
from dmp_fhir.policy.refusals import PolicyInTrouble
from dmp_fhir.store.database import StoreUnavailable

logger = logging.getLogger("dmp_fhir")

_TEXTS = {
    404: ("not-found", "Rien à cette adresse.", "Nothing at this address."),
    405: ("not-supported", "Cette méthode n'est pas offerte à cette adresse.", "This method is not offered here."),
    413: ("too-long", "La requête est trop grande.", "The request is too large."),
}


def register(app: Flask) -> None:
    app.register_error_handler(HTTPException, _http_fault)
    app.register_error_handler(StoreUnavailable, _unavailable)
    app.register_error_handler(PolicyInTrouble, _undecided)
    app.register_error_handler(Exception, _own_fault)


def _outcome(status: int, code: str, fr: str, en: str, headers: list[tuple[str, str]] | None = None) -> HttpResponse:
    tree = operation_outcome([error(code, fr, en)])
    response = Response(status, tree=tree, headers=headers or [])
    return render(response, answer_format(), services().settings, request_id())


def _http_fault(fault: HTTPException) -> HttpResponse:
    status = fault.code or 500
    code, fr, en = _TEXTS.get(status, ("invalid", "La requête n'est pas recevable.", "The request can't be accepted."))
    allowed = getattr(fault, "valid_methods", None)
    headers = [("Allow", ", ".join(sorted(allowed)))] if allowed else []
    return _outcome(status, code, fr, en, headers)


def _unavailable(fault: StoreUnavailable) -> HttpResponse:
    """No trace, no service (D30)."""
    logger.error("store unavailable: %s", type(fault).__name__)
    return _try_again()


def _undecided(fault: PolicyInTrouble) -> HttpResponse:
    """No decision, no answer (TF-028)."""
    logging.getLogger("dmp_fhir.alert").critical("policy in trouble: %s at %s", fault, _place(fault.__cause__ or fault))
    return _try_again()


def _try_again() -> HttpResponse:
    return _outcome(
        503,
        "transient",
        "Le registre est momentanément indisponible : recommencez dans un instant.",
        "The registry is not available for the moment: try again shortly.",
        [("Retry-After", "2")],
    )


def _own_fault(fault: Exception) -> HttpResponse:
    """Our fault: a number for the client, the place for us, values for nobody (TF-152)."""
    number = uuid.uuid4().hex[:12]
    logger.error("fault %s: %s at %s", number, type(fault).__name__, _place(fault))
    return _outcome(
        500,
        "exception",
        f"Erreur interne n° {number}.",
        f"Internal error number {number}.",
    )


def _place(fault: BaseException) -> str:
    return " < ".join(f"{each.filename}:{each.lineno}" for each in reversed(traceback.extract_tb(fault.__traceback__)))
