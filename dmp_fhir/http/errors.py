"""What no interaction answered: unknown paths and methods, a store that is away, and our own faults."""

from __future__ import annotations

import logging
import uuid

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request as HttpRequest

from dmp_fhir.http.endpoint import answer_format, request_id
from dmp_fhir.http.observing import FAULT
from dmp_fhir.http.rendering import Rendered, render
from dmp_fhir.interactions.messages import Response
from dmp_fhir.outcome import error, operation_outcome
from dmp_fhir.policy.refusals import PolicyInTrouble
from dmp_fhir.settings import Settings
from dmp_fhir.store.database import StoreUnavailable
from dmp_fhir.telemetry.logs import event, place

logger = logging.getLogger("dmp_fhir")

_TEXTS = {
    404: ("not-found", "Rien à cette adresse.", "Nothing at this address."),
    405: ("not-supported", "Cette méthode n'est pas offerte à cette adresse.", "This method is not offered here."),
    413: ("too-long", "La requête est trop grande.", "The request is too large."),
}


def answer_fault(fault: Exception, request: HttpRequest, settings: Settings) -> Rendered:
    """The answer to a request on which this was raised."""
    match fault:
        case HTTPException():
            response = _http_fault(fault)
        case StoreUnavailable():
            request.environ[FAULT] = "database"
            response = _unavailable(fault)
        case PolicyInTrouble():
            request.environ[FAULT] = "policy"
            response = _undecided(fault)
        case _:
            request.environ[FAULT] = "own"
            response = _own_fault(fault)
    languages = request.headers.get("Accept-Language")
    return render(response, answer_format(request), settings, request_id(request), languages)


def _outcome(status: int, code: str, fr: str, en: str, headers: list[tuple[str, str]] | None = None) -> Response:
    return Response(status, tree=operation_outcome([error(code, fr, en)]), headers=headers or [])


def _http_fault(fault: HTTPException) -> Response:
    status = fault.code or 500
    code, fr, en = _TEXTS.get(status, ("invalid", "La requête n'est pas recevable.", "The request can't be accepted."))
    allowed = getattr(fault, "valid_methods", None)
    headers = [("Allow", ", ".join(sorted(allowed)))] if allowed else []
    return _outcome(status, code, fr, en, headers)


def _unavailable(fault: StoreUnavailable) -> Response:
    """No trace, no service (D30)."""
    event(logger, logging.ERROR, "store unavailable", kind=type(fault).__name__)
    return _try_again()


def _undecided(fault: PolicyInTrouble) -> Response:
    """No decision, no answer (TF-028)."""
    alert = logging.getLogger("dmp_fhir.alert")
    event(alert, logging.CRITICAL, "policy in trouble", kind=str(fault), place=place(fault.__cause__ or fault))
    return _try_again()


def _try_again() -> Response:
    return _outcome(
        503,
        "transient",
        "Le registre est momentanément indisponible : recommencez dans un instant.",
        "The registry is not available for the moment: try again shortly.",
        [("Retry-After", "2")],
    )


def _own_fault(fault: Exception) -> Response:
    """Our fault: a number for the client, the place for us, values for nobody (TF-152)."""
    number = uuid.uuid4().hex[:12]
    event(logger, logging.ERROR, "fault", number=number, kind=type(fault).__name__, place=place(fault))
    return _outcome(
        500,
        "exception",
        f"Erreur interne n° {number}.",
        f"Internal error number {number}.",
    )
