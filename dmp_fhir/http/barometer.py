"""The barometer as a page: French, or English when preferred or asked for (`?lang=en`); no script, nothing loaded.

It shows the file that `dmp-fhir barometer --publish` wrote, so it costs the registry nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from dmp_fhir.http.rendering import prefers_english
from dmp_fhir.registry.barometer import ACTORS, CATEGORIES, SMALLEST

FILE_NAME = "barometer.json"
_SAY = {
    "fr": {
        "title": "Baromètre du registre",
        "month": "Mois :",
        "computed": "Calculé le",
        "other": "In English",
        "records": "Dossiers",
        "what": "Dossiers",
        "number": "Nombre",
        "documents": "Documents déposés par catégorie et par mois",
        "category": "Catégorie",
        "actors": "Qui alimente, qui consulte, dans le mois",
        "actor": "Acteur",
        "published": "Documents déposés",
        "consulted": "Consultations de documents",
        "small": f"« – » : nombre inférieur à {SMALLEST}, ou qui permettrait d'en déduire un ; il n'est pas montré.",
    },
    "en": {
        "title": "Barometer of the registry",
        "month": "Month:",
        "computed": "Computed on",
        "other": "En français",
        "records": "Records",
        "what": "Records",
        "number": "Number",
        "documents": "Documents deposited by category and month",
        "category": "Category",
        "actors": "Who publishes, who consults, in the month",
        "actor": "Actor",
        "published": "Documents deposited",
        "consulted": "Consultations of documents",
        "small": f"“–”: a number below {SMALLEST}, or from which one could be worked out; it is not shown.",
    },
}
RECORDS = {
    "open": ("Ouverts", "Open"),
    "closed": ("Fermés", "Closed"),
    "suspended": ("Suspendus", "Suspended"),
    "opened": ("Ouverts dans le mois", "Opened in the month"),
    "fed": ("Alimentés dans le mois", "Fed in the month"),
    "consulted": ("Consultés dans le mois", "Consulted in the month"),
    "empty": ("Ouverts et vides", "Open and empty"),
}
_SHARE = ("Part des dossiers vides", "Share of empty records")
_page = Environment(
    loader=PackageLoader("dmp_fhir.http"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
).get_template("barometer.html")


def page(folder: Path, query: str, languages: str | None) -> tuple[bytes, list[tuple[str, str]]] | None:
    """The page and its headers; None when no barometer was published."""
    try:
        figures = orjson.loads((folder / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    asked = parse_qs(query[:200]).get("lang", [""])[-1]
    english = asked == "en" or (asked != "fr" and languages is not None and prefers_english(languages))
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Language", "en" if english else "fr"),
        ("Content-Security-Policy", policy),
        ("Referrer-Policy", "no-referrer"),
        ("Vary", "Accept-Language"),
    ]
    return html(figures, english=english, nonce=nonce).encode(), headers


def html(figures: Mapping[str, Any], *, english: bool, nonce: str) -> str:
    """The figures of registry.barometer as a page."""
    n = 1 if english else 0
    lang, other = ("en", "fr") if english else ("fr", "en")
    share = figures["empty_share"]
    records = [(name[n], shown(figures["records"][key])) for key, name in RECORDS.items()]
    records.append(
        (_SHARE[n], "–" if share is None else f"{share:.1%}" if english else f"{share:.1%}".replace(".", ","))
    )
    months = figures["documents_by_month"]
    return _page.render(
        lang=lang,
        other=other,
        say=_SAY[lang],
        nonce=nonce,
        month=figures["month"],
        computed=figures["computed"],
        records=records,
        months=list(months),
        categories=[(name[n], [shown(month[code]) for month in months.values()]) for code, name in CATEGORIES.items()],
        actors=[
            (name[n], shown(figures["published"][kind]), shown(figures["consulted"][kind]))
            for kind, name in ACTORS.items()
        ],
    )


def shown(count: int | None) -> str:
    return "–" if count is None else str(count)
