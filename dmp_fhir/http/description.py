"""`GET /openapi.json`: the endpoint described for tools that know nothing of FHIR; open to anybody, as metadata is."""

from __future__ import annotations

import orjson
from flask import Blueprint, current_app
from werkzeug.wrappers import Response as HttpResponse

from dmp_fhir.interactions.openapi import openapi

blueprint = Blueprint("description", __name__)


@blueprint.route("/openapi.json", methods=["GET"])
def description() -> HttpResponse:
    tree = openapi(current_app.extensions["dmp_fhir"].settings.base_url)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return HttpResponse(
        orjson.dumps(tree), content_type="application/vnd.oai.openapi+json;version=3.1", headers=headers
    )
