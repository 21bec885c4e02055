"""The invariants of the R4 base definitions that are run as FHIRPath: those that neither the structure check nor
base_rules know by hand. https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dmp_fhir.profiles.definitions import invariants, is_type
from dmp_fhir.profiles.fhirpath import Environment, Expression, compiled, satisfied

Tree = dict[str, Any]

# Checked by hand: in structure.py and narrative.py, and in base_rules.py.
STRUCTURE = frozenset({"dom-2", "dom-3", "dom-4", "dom-5", "ele-1", "ref-1", "txt-1", "txt-2"})
BY_HAND = frozenset(
    {"ext-1", "att-1", "per-1", "qty-3", "cpt-2", "lst-1", "lst-2", "lst-3", "ppc-1"}
    | {f"bdl-{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12)}
)
# dom-6 (a narrative should be there) is advice to authors of documents: a registry's metadata has none.
ADVICE = frozenset({"dom-6"})
_TEXTS = {
    "sev-1": (
        "Une entité a un nom (name) ou une requête (query), pas les deux.",
        "An entity has a name or a query, not both.",
    ),
    "org-1": ("Une organisation a un nom ou un identifiant.", "An organization has a name or an identifier."),
    "org-2": ("L'adresse d'une organisation n'est pas un domicile (home).", "An organization's address is not a home."),
    "org-3": (
        "Le moyen de contact d'une organisation n'est pas celui d'un domicile (home).",
        "An organization's contact point is not that of a home.",
    ),
    "pat-1": (
        "Un contact du patient a un nom, un moyen de contact, une adresse ou une organisation.",
        "A contact of the patient has a name, a contact point, an address or an organization.",
    ),
    "rng-2": ("low est au plus high.", "low is at most high."),
    "rat-1": (
        "numerator et denominator vont ensemble, ou une extension dit pourquoi ils manquent.",
        "numerator and denominator go together, or an extension says why they lack.",
    ),
}


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant of a type, or of one of its elements when `element` is given."""

    key: str
    severity: str
    element: str | None
    expression: Expression
    fr: str
    en: str

    def shown(self, node: Tree) -> bool:
        """Whether a glance shows that it holds, so that its expression need not be run."""
        if self.element is not None:
            return self.element not in node
        return self.key == "org-1" and type(node.get("name")) is str

    def broken(self, node: Tree, resource: Any) -> Iterator[tuple[str, int | None] | None]:
        """The places where it doesn't hold: None for the node itself, else property and index."""
        environment = Environment(resource, resource)
        if self.element is None:
            if not satisfied(self.expression, node, environment):
                yield None
            return
        value = node.get(self.element)
        for n, item in enumerate(value) if type(value) is list else ((None, value),):
            if item is not None and not satisfied(self.expression, item, environment):
                yield self.element, n


def invariants_of(type_name: str) -> tuple[Invariant, ...]:
    """Those of a type and of its elements that are no types of their own."""
    found: list[Invariant] = []
    for path, rows in invariants().items():
        owner, _, element = path.rpartition(".")
        if path != type_name and (is_type(path) or owner != type_name):
            continue
        for key, severity, text in rows:
            if key in STRUCTURE or key in BY_HAND or key in ADVICE:
                continue
            fr, en = _TEXTS.get(key, ("", ""))
            found.append(
                Invariant(
                    key,
                    severity,
                    None if path == type_name else element.removesuffix("[x]"),
                    compiled(text),
                    f"{fr} Règle {key} de FHIR R4 : {text}".lstrip(),
                    f"{en} Rule {key} of FHIR R4: {text}".lstrip(),
                )
            )
    return tuple(found)
