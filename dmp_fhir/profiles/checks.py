"""Everything the registry has to say about one resource: R4, profiles, and the rules no StructureDefinition can carry.

One way in for `$validate`, the command line and the write paths, so that they can't differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dmp_fhir.canonicals import (
    MHD,
    PROFILE_COMPREHENSIVE,
    PROFILE_FOLDER,
    PROFILE_PROVIDE_BUNDLE,
    PROFILE_SIMPLIFIED,
    PROFILE_SUBMISSION_SET,
)
from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.content import content_issues
from dmp_fhir.profiles.document import document_issues
from dmp_fhir.profiles.submission import decode, list_kind, read_submission
from dmp_fhir.profiles.validator import Validator

Tree = dict[str, Any]
_PROVIDE = f"{MHD}/StructureDefinition/IHE.MHD."
_LOTS = {PROFILE_PROVIDE_BUNDLE} | {
    f"{_PROVIDE}{option}.ProvideBundle" for option in ("Minimal", "UnContained.Comprehensive", "Comprehensive")
}


def profiles_for(tree: Tree) -> list[str]:
    """The profile that the registry asks of a resource when it is written: that of its transaction."""
    match tree.get("resourceType"):
        case "DocumentReference":
            return [PROFILE_SIMPLIFIED if _has_data(tree) else PROFILE_COMPREHENSIVE]
        case "List":
            return [PROFILE_FOLDER if _is_folder(tree) else PROFILE_SUBMISSION_SET]
        case "Bundle" if _is_lot(tree):
            return [PROFILE_PROVIDE_BUNDLE]
    return []


def lot_profiles(tree: Tree, level: str) -> list[str]:
    """The profile asked of a lot: PDSm; at level `mhd` that of the MHD option it declares (D1)."""
    if level == "mhd":
        meta = tree.get("meta")
        declared = meta.get("profile", ()) if isinstance(meta, dict) else ()
        options = [url for url in declared if url in _LOTS and url != PROFILE_PROVIDE_BUNDLE]
        if options:
            return options[:1]
    return [PROFILE_PROVIDE_BUNDLE]


def check(validator: Validator, tree: Tree, level: str, profiles: Sequence[str] = ()) -> list[Issue]:
    """All the issues of a resource, most serious first; `profiles` beside those it declares. What is no sound R4 is
    told alone: the rules of the registry read sound resources."""
    issues = validator.validate(tree, profiles, level)
    kind = tree.get("resourceType")
    if not any(each.severity == "error" and _is_structural(each) for each in issues):
        if kind == "DocumentReference" and not _is_stored(tree):
            issues = once(issues, own_issues(tree, level, "DocumentReference"))
        elif kind == "Bundle" and _is_lot(tree):
            submission = read_submission(tree)
            found = submission.issues
            for document in submission.documents:
                found = found + document_issues(document.tree, level, f"Bundle.entry[{document.entry}].resource")
            issues = once(issues, found)
    return sorted(issues, key=lambda each: _ORDER.get(each.severity, 0))


_ORDER = {"fatal": 0, "error": 0, "warning": 1, "information": 2}


def own_issues(tree: Tree, level: str, expression: str) -> list[Issue]:
    """The registry's rules on a DocumentReference that carries its document (ITI-105), or none."""
    issues = document_issues(tree, level, expression)
    contents = tree.get("content") or [{}]
    attachment = contents[0].get("attachment", {})
    if "data" in attachment:
        place = f"{expression}.content[0].attachment"
        content = decode(attachment["data"])
        issues += content_issues(attachment, attachment.get("contentType", ""), content, place)
    return issues


def once(issues: list[Issue], more: list[Issue]) -> list[Issue]:
    """One mistake, one issue: an element already refused is not refused again."""
    refused = {each.expression for each in issues if each.severity == "error"}
    return issues + [each for each in more if each.severity != "error" or each.expression not in refused]


def _is_structural(issue: Issue) -> bool:
    """Whether R4 itself, not a profile, refuses."""
    return "/StructureDefinition/" not in (issue.rule or "")


def _is_stored(tree: Tree) -> bool:
    """Whether it is a DocumentReference as the registry serves it, whose status and dates may be of any time."""
    return tree.get("status") != "current"


def _is_lot(tree: Tree) -> bool:
    meta = tree.get("meta")
    declared = meta.get("profile") if isinstance(meta, dict) else None
    return tree.get("type") == "transaction" and isinstance(declared, list) and not _LOTS.isdisjoint(map(str, declared))


def _is_folder(tree: Tree) -> bool:
    try:
        return list_kind(tree) == "folder"
    except (AttributeError, TypeError):
        return False  # a malformed code, which the structure check refuses


def _has_data(tree: Tree) -> bool:
    contents = tree.get("content")
    first = contents[0] if isinstance(contents, list) and contents else None
    attachment = first.get("attachment") if isinstance(first, dict) else None
    return isinstance(attachment, dict) and "data" in attachment
