"""Rules of a DocumentReference that no StructureDefinition carries: type, class, language, dates, limits."""

from __future__ import annotations

from typing import Any

from dmp_fhir.outcome import Issue, error, information, warning
from dmp_fhir.profiles.concept_maps import classes_of, types_of_format
from dmp_fhir.profiles.nearest import nearest_codes
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.profiles.terminology import known_types, type_display, type_is_known

Tree = dict[str, Any]
MOST_LABELS = 4


def document_issues(tree: Tree, level: str, expression: str) -> list[Issue]:
    """`level` is the profile level of the settings (D1); `expression` the FHIRPath of the resource."""
    return [
        *_status(tree, expression),
        *_type(tree, level, expression),
        *_language(tree, level, expression),
        *_period(tree, expression),
        *_order_of_dates(tree, expression),
        *_one_relation(tree, level, expression),
        *_unique_id(tree, expression),
        *_labels(tree, level, expression),
        *_class(tree, expression),
        *_format(tree, expression),
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
    given = codings[0] if codings else {}
    found = f"{given.get('system', '—')}#{given.get('code', '—')}"[:200]
    some = "; ".join(nearest_codes(known_types(), given.get("code", ""), given.get("display", "")))
    return [
        make(
            "code-invalid",
            f"Le type du document n'est ni dans JDV_J07 ni dans JDV_J66. Trouvé : {found} ; les plus proches : {some}.",
            f"The document type is neither in JDV_J07 nor in JDV_J66. Found: {found}; nearest: {some}.",
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


def _order_of_dates(tree: Tree, expression: str) -> list[Issue]:
    """A document is written once the act has begun, and described once it is written."""
    contents = tree.get("content") or [{}]
    written = contents[0].get("attachment", {}).get("creation")
    if written is None:
        return []
    issues = []
    _, end = date_interval(written)
    start = tree.get("context", {}).get("period", {}).get("start")
    if start is not None and end <= date_interval(start)[0]:
        issues.append(
            warning(
                "business-rule",
                "Le document est écrit (attachment.creation) avant le début de l'acte (context.period.start).",
                "The document was written (attachment.creation) before the act began (context.period.start).",
                expression=f"{expression}.content[0].attachment.creation",
                rule="DMP-DATES",
            )
        )
    if "date" in tree and date_interval(tree["date"])[1] <= date_interval(written)[0]:
        issues.append(
            warning(
                "business-rule",
                "La fiche (date) est antérieure au document qu'elle décrit (attachment.creation).",
                "The DocumentReference (date) is older than the document it describes (attachment.creation).",
                expression=f"{expression}.date",
                rule="DMP-DATES",
            )
        )
    return issues


def _one_relation(tree: Tree, level: str, expression: str) -> list[Issue]:
    """PDSm gives constr-bind-relatesTo in words only: a replacement has this one relation."""
    relations = tree.get("relatesTo", [])
    if len(relations) < 2 or all(each["code"] != "replaces" for each in relations):
        return []
    advise = information if level == "mhd" else warning
    return [
        advise(
            "business-rule",
            "Un remplacement porte une seule relation (relatesTo) : le document remplacé.",
            "A replacement has one relation only (relatesTo): the document replaced.",
            expression=f"{expression}.relatesTo",
            rule="constr-bind-relatesTo",
        )
    ]


def _unique_id(tree: Tree, expression: str) -> list[Issue]:
    """The registry knows a document by its uniqueId; MHD's simplified profile leaves its value optional."""
    if "masterIdentifier" not in tree or tree["masterIdentifier"].get("value"):
        return []
    return [
        error(
            "required",
            "masterIdentifier.value est obligatoire : c'est l'identifiant unique du document.",
            "masterIdentifier.value is mandatory: it is the unique id of the document.",
            expression=f"{expression}.masterIdentifier.value",
            rule="DMP-UNIQUEID",
        )
    ]


def _labels(tree: Tree, level: str, expression: str) -> list[Issue]:
    """The logical model of the DMP: four labels at most (https://interop.esante.gouv.fr/ig/fhir/pdsm4dmp/)."""
    count = len(tree.get("securityLabel", []))
    if count <= MOST_LABELS:
        return []
    make = information if level == "mhd" else error
    return [
        make(
            "structure",
            f"{MOST_LABELS} labels de confidentialité au plus, {count} trouvés.",
            f"At most {MOST_LABELS} security labels, {count} found.",
            expression=f"{expression}.securityLabel",
            rule="DMP-LABELS",
        )
    ]


def _class(tree: Tree, expression: str) -> list[Issue]:
    """D10: the class goes with the type (ASS_X16, else ASS_X04)."""
    wanted = {found for system, code in _codes(tree.get("type")) for found in classes_of(system, code)}
    given = {found for category in tree.get("category", []) for found in _codes(category)}
    classes = {system for system, _ in wanted}
    # A class of another code system (LOINC, as MHD's examples) says nothing against these tables.
    if not wanted or wanted & given or not any(system in classes for system, _ in given):
        return []
    some = ", ".join(sorted(code for _, code in wanted))
    return [
        warning(
            "business-rule",
            f"La classe ne va pas avec le type du document ; attendue : {some}.",
            f"The class does not go with the document type; expected: {some}.",
            expression=f"{expression}.category",
            rule="DMP-CLASS",
        )
    ]


def _format(tree: Tree, expression: str) -> list[Issue]:
    """The format of a structured document goes with the type (ASS_A11, and the volet of each model), as the class
    does (D10). Of a CDA, CDA-22 says whether the format is that of its model."""
    given = set(_codes(tree.get("type")))
    issues = []
    for n, content in enumerate(tree.get("content", [])):
        code = content.get("format", {}).get("code", "")
        wanted = types_of_format(code)
        if not wanted or not given or wanted & given:
            continue
        some = ", ".join(sorted(f"{each} ({type_display(system, each)})" for system, each in wanted))
        issues.append(
            warning(
                "business-rule",
                f"Le format {code} ne va pas avec le type du document ; type attendu : {some}.",
                f"The format {code} does not go with the type of the document; type expected: {some}.",
                expression=f"{expression}.content[{n}].format",
                rule="DMP-FORMAT",
            )
        )
    return issues


def _codes(concept: Tree | None) -> list[tuple[str, str]]:
    return [(each.get("system", ""), each.get("code", "")) for each in (concept or {}).get("coding", [])]


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
