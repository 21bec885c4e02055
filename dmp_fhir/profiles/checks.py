"""Everything the registry has to say about one resource: R4, profiles, and the rules no StructureDefinition can carry.

One home for `$validate`, the command line and the write paths, so that they can't differ.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from dmp_fhir.canonicals import (
    MHD,
    PROFILE_COMPREHENSIVE,
    PROFILE_CONSENT,
    PROFILE_FOLDER,
    PROFILE_ORGANIZATION,
    PROFILE_PRACTITIONER,
    PROFILE_PRACTITIONER_ROLE,
    PROFILE_PROVIDE_BUNDLE,
    PROFILE_RECORD,
    PROFILE_RELATED_PERSON,
    PROFILE_SIMPLIFIED,
    PROFILE_SUBMISSION_SET,
)
from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.cda import stated_issues
from dmp_fhir.profiles.cda_rules import STANDARD
from dmp_fhir.profiles.consent import consent_issues
from dmp_fhir.profiles.content import content_issues
from dmp_fhir.profiles.document import document_issues
from dmp_fhir.profiles.identifiers import identifier_issues
from dmp_fhir.profiles.submission import Submission, SubmittedDocument, decode, list_kind, read_submission
from dmp_fhir.profiles.validator import Validator
from dmp_fhir.profiles.walk import Walk

Tree = dict[str, Any]
_PROVIDE = f"{MHD}/StructureDefinition/IHE.MHD."
_LOTS = {PROFILE_PROVIDE_BUNDLE} | {
    f"{_PROVIDE}{option}.ProvideBundle" for option in ("Minimal", "UnContained.Comprehensive", "Comprehensive")
}
PROFILE_OF_TYPE = {
    "Patient": PROFILE_RECORD,
    "Consent": PROFILE_CONSENT,
    "Practitioner": PROFILE_PRACTITIONER,
    "PractitionerRole": PROFILE_PRACTITIONER_ROLE,
    "Organization": PROFILE_ORGANIZATION,
    "RelatedPerson": PROFILE_RELATED_PERSON,
}
_ORDER = {"fatal": 0, "error": 0, "warning": 1, "information": 2}


def profiles_for(tree: Tree) -> list[str]:
    """The profile that the registry asks of a resource when it is written: that of its transaction."""
    kind = tree.get("resourceType")
    match kind:
        case "DocumentReference":
            return [PROFILE_SIMPLIFIED if _has_data(tree) else PROFILE_COMPREHENSIVE]
        case "List":
            return [PROFILE_FOLDER if _is_folder(tree) else PROFILE_SUBMISSION_SET]
        case "Bundle" if _is_lot(tree):
            return [PROFILE_PROVIDE_BUNDLE]
    return [PROFILE_OF_TYPE[kind]] if isinstance(kind, str) and kind in PROFILE_OF_TYPE else []


def lot_profiles(tree: Tree, level: str) -> list[str]:
    """The profile asked of a lot: PDSm; at level `mhd` that of the MHD option it declares (D1)."""
    if level == "mhd":
        meta = tree.get("meta")
        declared = meta.get("profile", ()) if isinstance(meta, dict) else ()
        options = [url for url in declared if url in _LOTS and url != PROFILE_PROVIDE_BUNDLE]
        if options:
            return options[:1]
    return [PROFILE_PROVIDE_BUNDLE]


def check(
    validator: Validator, tree: Tree, level: str, profiles: Sequence[str] = (), cda_check: str = STANDARD
) -> list[Issue]:
    """All the issues of a resource, most serious first; `profiles` beside those it declares; `cda_check` is the setting
    on CDA documents. What is no sound R4 is told alone: the rules of the registry read sound resources."""
    walk = validator.walk(tree)
    issues = validator.judge(walk, profiles, level)
    if not walk.sound:
        return _ordered(issues)
    kind, issues = tree["resourceType"], _once(issues, identifier_issues(walk, level))
    if kind == "Bundle" and _is_lot(tree):
        submission = read_submission(tree)
        own = submission.issues + _documents_issues(submission, level, cda_check)
        return _once(issues, own + _patient_issues(submission.documents))
    if kind == "DocumentReference" and tree.get("status") == "current":  # not one that the registry has changed
        document = carried(tree)
        own = document_issues(tree, level, "DocumentReference")
        own += _carried_issues(document, cda_check) if document else []
        return _once(issues, own + _patient_issues([document] if document else []))
    return _once(issues, _own_issues(tree))


# On writes ------------------------------------------------------------------------------------------------------------


def judged(validator: Validator, walk: Walk, level: str) -> list[Issue]:
    """The issues of a sound resource other than a document, as it is written."""
    issues = validator.judge(walk, profiles_for(walk.tree), level)
    return _once(issues, identifier_issues(walk, level) + _own_issues(walk.tree))


def lot_issues(validator: Validator, walk: Walk, submission: Submission, level: str, cda_check: str) -> list[Issue]:
    """The issues of a sound bundle, read as a lot (ITI-65)."""
    issues = validator.judge(walk, lot_profiles(walk.tree, level), level)
    own = submission.issues + identifier_issues(walk, level)
    return _once(issues, own + _documents_issues(submission, level, cda_check))


def published_issues(
    validator: Validator, walk: Walk, document: SubmittedDocument | None, level: str, cda_check: str
) -> list[Issue]:
    """The issues of a sound DocumentReference that carries its document (ITI-105); None when it carries none."""
    issues = validator.judge(walk, [PROFILE_SIMPLIFIED], level)
    own = identifier_issues(walk, level) + document_issues(walk.tree, level, "DocumentReference")
    return _once(issues, own + (_carried_issues(document, cda_check) if document else []))


def carried(tree: Tree, full_url: str = "") -> SubmittedDocument | None:
    """The document that a sound DocumentReference carries in `attachment.data`."""
    contents = tree.get("content") or [{}]
    attachment = contents[0].get("attachment", {})
    if "data" not in attachment:
        return None
    return SubmittedDocument(tree, full_url, None, attachment.get("contentType", ""), decode(attachment["data"]))


def _own_issues(tree: Tree) -> list[Issue]:
    return consent_issues(tree) if tree["resourceType"] == "Consent" else []


def _documents_issues(submission: Submission, level: str, cda_check: str) -> list[Issue]:
    issues: list[Issue] = []
    for document in submission.documents:
        issues += document_issues(document.tree, level, document.place) + document.compare(cda_check)
    return issues


def _carried_issues(document: SubmittedDocument, cda_check: str) -> list[Issue]:
    attachment = document.tree["content"][0]["attachment"]
    place = f"{document.place}.content[0].attachment"
    issues = content_issues(attachment, document.content_type, document.content, place)
    return issues + document.compare(cda_check)


def _patient_issues(documents: Sequence[SubmittedDocument]) -> list[Issue]:
    """The patient of a CDA against the metadata alone: the record, which knows the patient better, is not at hand."""
    return [
        issue for each in documents if each.examined for issue in stated_issues(each.examined, each.tree, each.place)
    ]


def _once(issues: list[Issue], more: list[Issue]) -> list[Issue]:
    """One mistake, one issue: an element already refused is not refused again, and of one whose code is refused no
    lesser remark is made. The most serious come first."""
    refused = {each.expression for each in issues if each.severity == "error"}
    codes = [str(each.expression) for each in issues if each.severity == "error" and each.code == "code-invalid"]
    kept = [each for each in more if not _told(each, refused, codes)]
    wrong_codes = {each.expression for each in kept if each.code == "code-invalid"}
    issues = [each for each in issues if each.code != "code-invalid" or each.expression not in wrong_codes]
    return _ordered(issues + kept)


def _told(issue: Issue, refused: Set[str | None], codes: Sequence[str]) -> bool:
    if issue.severity == "error":
        return issue.expression in refused
    return any(each.startswith(f"{issue.expression}{after}") for each in codes for after in ".[")


def _ordered(issues: list[Issue]) -> list[Issue]:
    return sorted(issues, key=lambda each: _ORDER[each.severity])


# What a tree is -------------------------------------------------------------------------------------------------------


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
