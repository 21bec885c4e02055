"""What the walk notes on its way and the judgement decides: codes of code systems that are here as a whole, references
that are searches. R4 says both in words, so that no invariant carries them."""

from __future__ import annotations

from dmp_fhir.profiles.bindings import System, Terminology
from dmp_fhir.profiles.nearest import nearest_codes
from dmp_fhir.profiles.rules import Rule
from dmp_fhir.profiles.visit import Visit
from dmp_fhir.profiles.walk import Walk

_R4 = "http://hl7.org/fhir/StructureDefinition/"
# https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.content
CODE = Rule(
    f"{_R4}Coding",
    "Coding.code",
    "system",
    "error",
    "Ce code n'existe pas dans cette nomenclature, qui est ici au complet.",
    "This code does not exist in this code system, which is here as a whole.",
)
# https://hl7.org/fhir/R4/http.html#trules
SEARCH = Rule(
    f"{_R4}Reference",
    "Reference.reference",
    "search",
    "error",
    "Une référence conditionnelle (Type?critères) ne va, dans un lot, que s'il s'agit d'une transaction : Type/id.",
    "A conditional reference (Type?criteria) goes in no bundle but a transaction: Type/id.",
)
RULES = (CODE, SEARCH)


def judge_noted(visit: Visit, walk: Walk, terminology: Terminology) -> None:
    for way in walk.searches:
        visit.fault(SEARCH, way)
    for value, way in walk.codings:
        url, code = value.get("system"), value.get("code")
        if type(url) is not str or type(code) is not str:
            continue
        system = terminology.system(url)
        if system is not None and code not in system.codes and not _elsewhere(system, code, value.get("version")):
            fr, en = _found(system, code)
            visit.fault(CODE, (way, "code", None), fr, en)


def _elsewhere(system: System, code: str, version: object) -> bool:
    """Whether it is one of ours written otherwise, or of another version, which is not here."""
    return system.has(code) or (type(version) is str and version != system.version)


def _found(system: System, code: str) -> tuple[str, str]:
    some = "; ".join(nearest_codes(system.codes.items(), code))
    edition = f" {system.version}" if system.version else ""
    fr = f"Trouvé : {code[:64]}, dans {system.url}{edition} ; les plus proches : {some}."
    en = f"Found: {code[:64]}, in {system.url}{edition}; nearest: {some}."
    if system.version:
        fr += " Un code d'une autre version indique celle-ci dans Coding.version."
        en += " A code of another version states that version in Coding.version."
    return fr, en
