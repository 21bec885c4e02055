"""The FHIR endpoint in Flask, whatever the method; and around Flask for the methods that are asked most.

Both ways lead to the same `answer` (endpoint.py): Flask adds a fifth to the cost of a read, and nothing to its meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from http.client import responses
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Flask, current_app, request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Request as HttpRequest
from werkzeug.wrappers import Response as HttpResponse

from dmp_fhir.http.endpoint import answer
from dmp_fhir.http.errors import answer_fault
from dmp_fhir.interactions.services import Services

PREFIX = "/fhir"


class _Rest(BaseConverter):
    """Whatever follows the endpoint, slashes at its beginning and end included."""

    regex = r"[\s\S]*"
    part_isolating = False


def _open_to_all_methods(state: BlueprintSetupState) -> None:
    """What a method means is said by the endpoint, with a trace, not by the router (TF-116)."""
    for rule in state.app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{state.name}."):
            rule.methods = None


blueprint = Blueprint("fhir", __name__)
blueprint.record(lambda state: state.app.url_map.converters.update(rest=_Rest))


def services() -> Services:
    return current_app.extensions["dmp_fhir"]


@blueprint.route("", defaults={"path": ""})
@blueprint.route("/<rest:path>")
def fhir(path: str) -> HttpResponse:
    return answer(request._get_current_object(), services(), path).http  # type: ignore[attr-defined]


blueprint.record(_open_to_all_methods)


def register(app: Flask) -> None:
    """Serve the endpoint, and answer whatever no route answers."""
    app.register_blueprint(blueprint, url_prefix=PREFIX)
    app.register_error_handler(Exception, lambda fault: answer_fault(fault, request, services().settings).http)


# The others are rare, or answer without a body.
_USUAL = frozenset({"GET", "POST", "PUT", "PATCH"})


def around(application: WSGIApplication, services: Services) -> WSGIApplication:
    """The endpoint answered without Flask to the usual methods, everything else by `application`."""
    below = f"{PREFIX}/"

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        ours = path.startswith(below) or path == PREFIX
        if not ours or environ["REQUEST_METHOD"] not in _USUAL or environ.get("SCRIPT_NAME"):
            return application(environ, start_response)
        # Not put into its own environ, which would be a cycle and keep the body until the next collection.
        asked = HttpRequest(environ, populate_request=False)
        try:
            rendered = answer(asked, services, asked.path.removeprefix(PREFIX)[1:])
        except Exception as fault:
            rendered = answer_fault(fault, asked, services.settings)
        if rendered.status != 200:
            # Some answers have no body, others lose headers with it: that is known elsewhere.
            return rendered.http(environ, start_response)
        start_response(_OK, [*rendered.headers, ("Content-Length", str(len(rendered.body)))])
        return [rendered.body]

    return respond


_OK = f"200 {responses[200]}"
