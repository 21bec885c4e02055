"""Rules of a DocumentReference that no table of cardinalities carries: document type, language, order of dates.

The whole set of French rules is the matter of the profile compiler; these are the ones the registry itself rests on.
"""

from __future__ import annotations

from typing import Any

from dmp_fhir.outcome import Issue, error, information, warning
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.profiles.terminology import type_is_known

Tree = dict[str, Any]


def document_issues(tree: Tree, level: str, expression: str) -> list[Issue]:
    """`level` is the profile level of the settings (D1); `expression` the FHIRPath of the resource."""
    return [
        *_status(tree, expression),
        *_type(tree, level, expression),
        *_language(tree, level, expression),
        *_period(tree, expression),
    ]


def _status(tree: Tree, expression: str) -> list[Issue]:
    if tree.get("status") == "current":
        return []
    return [
        error(
            "business-rule",
            "Un document est déposé avec le statut current.",
            "A document is deposited with the status current.",
            expression=f"{expression}.status",
            rule="TF-042",
        )
    ]


def _type(tree: Tree, level: str, expression: str) -> list[Issue]:
    """D10: the matrix of professions and types could not decide on an unknown type."""
    codings = tree.get("type", {}).get("coding", [])
    if not tree.get("type") or any(type_is_known(each.get("system", ""), each.get("code", "")) for each in codings):
        return []
    make = information if level == "mhd" else error
    return [
        make(
            "code-invalid",
            "Le type du document n'est ni dans JDV_J07 ni dans JDV_J66.",
            "The document type is neither in JDV_J07 nor in JDV_J66.",
            expression=f"{expression}.type",
            rule="D10",
        )
    ]


def _language(tree: Tree, level: str, expression: str) -> list[Issue]:
    issues = []
    for n, content in enumerate(tree.get("content", [])):
        language = content.get("attachment", {}).get("language")
        if language is not None and language != "fr-FR" and level != "mhd":
            issues.append(
                warning(
                    "value",
                    "Les producteurs français indiquent la langue fr-FR.",
                    "French producers state the language fr-FR.",
                    expression=f"{expression}.content[{n}].attachment.language",
                    rule="PDSm language",
                )
            )
    return issues


def _period(tree: Tree, expression: str) -> list[Issue]:
    period = tree.get("context", {}).get("period", {})
    if "start" not in period or "end" not in period:
        return []
    if date_interval(period["start"])[0] < date_interval(period["end"])[1]:
        return []
    return [
        error(
            "invariant",
            "La fin de l'acte précède son début.",
            "The end of the act comes before its start.",
            expression=f"{expression}.context.period",
            rule="per-1",
        )
    ]
