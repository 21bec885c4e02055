"""Security labels: exactly one HL7 confidentiality code, and a set of masks (D6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dmp_fhir.canonicals import (
    HIDE_PATIENT,
    HIDE_REPRESENTATIVES,
    MASK_PROFESSIONALS,
    TRE_A07,
    TRE_A08,
    V3_CONFIDENTIALITY,
)

Tree = dict[str, Any]

# In the order in which they are written.
MASKS = {
    MASK_PROFESSIONALS: "Masqué aux professionnels de santé",
    HIDE_PATIENT: "Non visible par le patient",
    HIDE_REPRESENTATIVES: "Non visible par les représentants légaux",
}
NORMAL: Tree = {"coding": [{"system": V3_CONFIDENTIALITY, "code": "N", "display": "normal"}]}


def mask_of(label: Tree) -> str | None:
    """The mask that a label sets, or None."""
    for coding in label.get("coding", []):
        if coding.get("system") == TRE_A07 and coding.get("code") in MASKS:
            return coding["code"]
    return None


def masks_of(labels: Iterable[Tree]) -> frozenset[str]:
    return frozenset(mask for label in labels if (mask := mask_of(label)))


def is_confidentiality(label: Tree) -> bool:
    return any(each.get("system") in (V3_CONFIDENTIALITY, TRE_A08) for each in label.get("coding", []))


def labels(confidentiality: Iterable[Tree], masks: Iterable[str]) -> list[Tree]:
    """The normalised list: the first confidentiality code there is (`N` by default), then the masks."""
    first = next((label for label in confidentiality if is_confidentiality(label)), NORMAL)
    wanted = set(masks)
    return [
        first,
        *(
            {"coding": [{"system": TRE_A07, "code": mask, "display": display}]}
            for mask, display in MASKS.items()
            if mask in wanted
        ),
    ]
