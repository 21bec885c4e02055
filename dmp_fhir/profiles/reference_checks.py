"""Where a Reference leads, and whether R4 allows it there (https://hl7.org/fhir/R4/references.html)."""

from __future__ import annotations

from typing import Any

from dmp_fhir.profiles.definitions import Property, resource_types
from dmp_fhir.profiles.primitive_checks import Check
from dmp_fhir.profiles.references import CONDITIONAL, REFERENCE, is_absolute
from dmp_fhir.profiles.walk import Walk, Way


def reference_check(known: Property, inner: Check) -> Check:
    """The check of a Reference; `inner` is that of its own elements."""
    targets = known.element.targets

    def check(walk: Walk, value: Any, way: Way) -> None:
        inner(walk, value, way)
        if type(value) is not dict:
            return
        reference = value.get("reference")
        target = value.get("type")
        if type(reference) is str:
            if reference[:1] == "#":
                walk.point(reference)
                if reference != "#":
                    target = walk.contained.get(reference[1:])
                    if target is None:
                        fr = f"« {reference[:64]} » ne désigne aucune ressource contenue."
                        en = f"'{reference[:64]}' names no contained resource."
                        walk.add("invariant", fr, en, (way, "reference", None), "ref-1")
                        return
                elif walk.inside is None:
                    fr = "« # » désigne, depuis une ressource contenue, celle qui la contient : ici, rien."
                    en = "'#' names, from a contained resource, the one that holds it: nothing here."
                    walk.add("invariant", fr, en, (way, "reference", None), "ref-1")
                    return
            elif reference in walk.entries:
                target = walk.entries[reference]
            elif match := REFERENCE.fullmatch(reference) or CONDITIONAL.fullmatch(reference):
                if match[1] in resource_types():
                    target = match[1]
                    if walk.settled and match.re is CONDITIONAL:
                        walk.searches.append((way, "reference", None))
                elif reference[:4] != "http":
                    fr = f"« {match[1]} » n'est pas un type de ressource de FHIR R4."
                    en = f"'{match[1]}' is no resource type of FHIR R4."
                    walk.add("value", fr, en, (way, "reference", None), "FHIR R4 Reference.reference")
                    return
            elif not is_absolute(reference):
                fr = f"« {reference[:100]} » ne désigne pas une ressource ; attendu : Type/id, un URI absolu ou #id."
                en = f"'{reference[:100]}' is no address of a resource; expected: Type/id, an absolute URI or #id."
                walk.add("value", fr, en, (way, "reference", None), "FHIR R4 Reference.reference")
                return
        if targets and type(target) is str and target not in targets and target in resource_types():
            some = ", ".join(sorted(targets))
            fr = f"Une référence à {target} n'est pas permise ici ; permis : {some}."
            en = f"A reference to {target} is not allowed here; allowed: {some}."
            walk.add("structure", fr, en, way, f"FHIR R4 {known.name}")

    return check
