"""Make the compact French code lists the server loads from a folder of FHIR ValueSet and CodeSystem files.

    python tools/compile_terminology.py FOLDER [OUTPUT_FILE]

Output: {short name: {"url", "version", "codes": {system: {code: French display}}}}; retired codes of a code system are
under "retired" instead, in the same form: they are read, never proposed. A concept map has {code: target code} under
"map" instead of "codes".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LISTS = {
    "JDV_J07": "ValueSet-JDV-J07-XdsTypeCode-CISIS.json",
    "JDV_J66": "ValueSet-JDV-J66-TypeCode-DMP.json",
    "TRE_A07": "CodeSystem-TRE-A07-StatutVisibiliteDocument.json",
    "TRE_A08": "CodeSystem-TRE-A08-HL7Confidentiality.json",
    "TRE_G15": "CodeSystem-TRE-G15-ProfessionSante.json",
}


# An unstructured CDA has the template of XDS-SD whatever its body: the media type tells its format, not the template.
XDS_SD = "1.3.6.1.4.1.19376.1.2.20"
MAPS = {"ASS_A11": "ConceptMap-ASS-A11-CorresModeleCDA-XdsFormatCode-CISIS.json"}


def compact_map(resource: dict[str, Any]) -> dict[str, Any]:
    elements = [each for group in resource["group"] for each in group["element"]]
    mapped = {each["code"]: each["target"][0]["code"] for each in elements}
    if len(mapped) != len(elements) or any(len(each["target"]) != 1 for each in elements):
        raise ValueError(f"{resource['url']}: a code with several targets")
    mapped.pop(XDS_SD, None)
    return {"url": resource["url"], "version": resource["version"], "map": mapped}


def compact(resource: dict[str, Any]) -> dict[str, Any]:
    codes: dict[str, dict[str, str]] = {}
    retired: dict[str, dict[str, str]] = {}
    includes = resource.get("compose", {}).get("include", [])
    for include in includes or [{"system": resource["url"], "concept": resource["concept"]}]:
        for concept in include["concept"]:
            gone = any(p.get("valueCode") == "deprecated" for p in concept.get("property", []))
            (retired if gone else codes).setdefault(include["system"], {})[concept["code"]] = concept["display"]
    made = {"url": resource["url"], "version": resource["version"], "codes": codes}
    return made | {"retired": retired} if retired else made


def main(folder: Path, output: Path) -> None:
    lists = {name: compact(json.loads((folder / file).read_text("utf-8"))) for name, file in LISTS.items()}
    lists |= {name: compact_map(json.loads((folder / file).read_text("utf-8"))) for name, file in MAPS.items()}
    rows = [f"{json.dumps(k)}:{json.dumps(v, ensure_ascii=False, separators=(',', ':'))}" for k, v in lists.items()]
    output.write_text("{" + ",\n".join(rows) + "}\n", "utf-8")


if __name__ == "__main__":
    default = Path(__file__).parent.parent / "dmp_fhir/profiles/data/terminology.json"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else default)
