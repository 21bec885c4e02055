"""What a PATCH asks for, whatever its notation: changes of status, securityLabel and isArchived (D4, D5, D6).

https://hl7.org/fhir/R4/http.html#patch; PDSm flow 03.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from dmp_fhir.canonicals import EXT_IS_ARCHIVED
from dmp_fhir.outcome import refuse
from dmp_fhir.wire.limits import Limits

Target = Literal["status", "securityLabel", "isArchived"]
Operation = Literal["add", "replace", "remove", "test"]

MOST_OPERATIONS = 10
PATCH_LIMITS = Limits(body=200_000, resource=200_000, items=100, nodes=2_000)
STATUSES = ("current", "superseded", "entered-in-error")


@dataclass(frozen=True, slots=True)
class Change:
    """One operation, free of its notation. `index` is that of the securityLabel, or of the extension in `extension`
    when a client counted it (whoever applies the change then checks that it is isArchived); `-` the end of the list,
    None the whole element. `value`: a code, a CodeableConcept or a list of them, a boolean; None for a removal."""

    target: Target
    op: Operation
    index: int | Literal["-"] | None
    value: Any


def read_all(operations: list[Any], read: Callable[[Any, str], Change]) -> list[Change]:
    """1 to MOST_OPERATIONS operations, each read with its place."""
    if not operations:
        malformed("aucune opération : il en faut au moins une.", "no operation: at least one is needed.", "Patch")
    if len(operations) > MOST_OPERATIONS:
        refuse(
            413,
            "too-long",
            f"Un PATCH a au plus {MOST_OPERATIONS} opérations ; celui-ci en a {len(operations)}.",
            f"A PATCH has at most {MOST_OPERATIONS} operations; this one has {len(operations)}.",
            rule="TF-123",
        )
    return [read(operation, f"Patch.operation[{n}]") for n, operation in enumerate(operations)]


def change(target: Target, op: Operation, index: int | Literal["-"] | None, value: Any, where: str) -> Change:
    """Check an operation whose path is one of ours: the right kind of value, an operation that makes sense there."""
    if index == "-" and op != "add":
        malformed("« - » ne va qu'avec add.", "'-' goes with add only.", where)
    if op == "remove":
        if target == "status":
            fr = "le statut est obligatoire : remplacez-le, ne l'enlevez pas."
            malformed(
                fr, "the status is mandatory: replace it, don't remove it.", where, "FHIR R4 DocumentReference.status"
            )
        return Change(target, "remove", index, None)
    if target == "status":
        _check_status(value, where)
    elif target == "isArchived":
        _check_boolean(value, where)
    else:
        _check_labels(value, index, where)
    return Change(target, op, index, value)


def _check_status(value: Any, where: str) -> None:
    if value not in STATUSES:
        shown = f" (« {value[:40]} »)" if type(value) is str and value.strip() in STATUSES else ""
        refuse(
            422,
            "code-invalid",
            f"Statut inconnu{shown} : current, superseded ou entered-in-error, sans blanc autour.",
            "Unknown status: current, superseded or entered-in-error, without blanks around it.",
            expression=where,
            rule="FHIR R4 DocumentReference.status",
        )


def _check_boolean(value: Any, where: str) -> None:
    if type(value) is not bool:
        refuse(
            422,
            "value",
            'La valeur d\'isArchived est le booléen true ou false, sans guillemets : "value": true.',
            'The value of isArchived is the boolean true or false, without quotes: "value": true.',
            expression=where,
            rule="D5",
        )


def _check_labels(value: Any, index: Any, where: str) -> None:
    labels = value if index is None else [value]
    if type(labels) is not list or not labels or not all(type(label) is dict and label for label in labels):
        refuse(
            422,
            "value",
            "securityLabel est une liste de CodeableConcept ; /securityLabel/0 et /securityLabel/- en ont un seul :"
            ' {"coding": [{"system": "…", "code": "…"}]}.',
            "securityLabel is a list of CodeableConcept; /securityLabel/0 and /securityLabel/- take a single one:"
            ' {"coding": [{"system": "…", "code": "…"}]}.',
            expression=where,
            rule="D6",
        )


def archived_value(extension: Any, where: str) -> Any:
    """The value of a whole isArchived extension; any other extension is another element."""
    if type(extension) is not dict or type(extension.get("url")) is not str:
        malformed(
            "une extension avec url et valueBoolean est attendue.",
            "an extension with url and valueBoolean is expected.",
            where,
        )
    if extension["url"] != EXT_IS_ARCHIVED:
        not_allowed(f"extension {extension['url']}", where)
    if extension.keys() - {"url", "valueBoolean"}:
        fr = "l'extension isArchived n'a que url et valueBoolean."
        malformed(fr, "the isArchived extension has url and valueBoolean only.", where, "D5")
    return extension.get("valueBoolean")


def malformed(fr: str, en: str, where: str, rule: str = "TF-122") -> NoReturn:
    refuse(422, "structure", f"PATCH mal formé : {fr}", f"Malformed PATCH: {en}", expression=where, rule=rule)


def not_allowed(path: str, where: str) -> NoReturn:
    """405: the element, or the operation on it, is not one a PATCH may touch (D4)."""
    refuse(
        405,
        "not-supported",
        f"Un PATCH ne change que status, securityLabel et l'extension isArchived, pas « {path[:200]} ».",
        f"A PATCH changes only status, securityLabel and the isArchived extension, not '{path[:200]}'.",
        expression=where,
        rule="D4",
    )
