"""Write docs/validation.md: every rule a resource may break, from the code and the profiles.

python tools/describe_validation.py [--check]
"""

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from pathlib import Path

from dmp_fhir.profiles import (
    active,
    base_rules,
    cda_rules,
    consent,
    content,
    document,
    identifiers,
    noted,
    reference_checks,
    structure,
    submission,
)
from dmp_fhir.profiles.base_invariants import ADVICE
from dmp_fhir.profiles.definitions import invariants
from dmp_fhir.profiles.rules import LEVELS, Rule
from dmp_fhir.profiles.validator import Validator

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "validation.md"
MAKERS = {
    "error": "error",
    "warning": "warning",
    "information": "information",
    "make": "error (information at mhd)",
    "advise": "warning (information at mhd)",
}

REST = "fhir.resources: same verdict | HAPI's time / ours"
HEAD = """# Validation

*Made by `python tools/describe_validation.py`; a test compares it with the code.*

A resource is checked in three steps, and one mistake gives one issue: R4 (structure, types, invariants), the profiles
(those declared in `meta.profile`, and those of the transaction), the rules that no StructureDefinition can carry.
An issue names the rule, the element (FHIRPath), what was found and what is expected, in French and in English.

- on every deposit (ITI-65, ITI-105, folders): errors refuse with 422, the rest comes back as `outcome`;
- `POST [type]/$validate`, `GET|POST [type]/[id]/$validate`, with `mode`, `profile`: answered 200 with line and column;
- `dmp-fhir validate FILE... [--profile URL] [--level released|main|mhd] [--json]`: exit code 1 when there is an error;
- `dmp-fhir profiles list` says what is in force; `dmp-fhir profiles load PACKAGE.tgz` puts a FHIR package over ours.

The level is the setting `DMP_FHIR_PROFILE_LEVEL` (D1): `released` is PDSm 3.1.1, `main` its main branch, `mhd` IHE MHD
alone. What one edition asks and the other does not, or forbids and the other allows, is a warning at `released`.
"""


CDA_HEAD = """## CDA documents and their metadata

When `attachment.contentType` is XML, the document is parsed (no DTD, no entity, nothing fetched), and the header of a
CDA R2 document is compared with its DocumentReference (`profiles/cda_comparison.py`). An issue names the element of
the metadata (FHIRPath), the one of the CDA (XPath and line), and what both say. What the metadata leave out is not
compared.

`DMP_FHIR_CDA_CHECK` says which differences refuse: `standard` as below, `strict` all, a list of rules those alone,
`off` only CDA-01. Absent id, patient or type refuse a document that says it is a CDA (format code, or typeId), and are
told under CDA-03 otherwise. CDA-23 and CDA-24 are judged when the document is stored.
"""


def page(validator: Validator) -> str:
    parts = [HEAD, _own(), _cda(), _profiles(validator), _text(validator), _words(validator), _r4(), _oracle()]
    return "\n".join(parts)


def _own() -> str:
    """The rules written as code: the calls that make issues, read from the source."""
    rows = []
    for rule, (fr, en) in identifiers.RULES.items():
        lenient = rule in identifiers.LENIENT
        severity = "error (a warning inside a document at released" if lenient else "error ("
        severity = severity + ("; " if lenient else "") + "information at mhd)"
        rows.append(f"| {rule} | {severity} | {_cell(fr)} | {_cell(en)} | `identifiers.py` |")
    for module in (submission, content, document, consent):
        name = module.__name__.rsplit(".", 1)[1]
        for rule, severity, fr, en in sorted(set(_issues(Path(str(module.__file__))))):
            if rule == "…":
                continue  # a helper that passes a rule on
            rows.append(f"| {rule} | {severity} | {fr} | {en} | `{name}.py` |")
    head = "| rule | severity | français | English | where |\n| --- | --- | --- | --- | --- |"
    return f"## Rules of the registry\n\nA value that changes is shown as `…`.\n\n{head}\n" + "\n".join(rows) + "\n"


def _cda() -> str:
    rows = [
        f"| {rule.id} | {'error' if rule.refuses else 'warning'} | {_cell(rule.fr)} | {_cell(rule.en)} |"
        for rule in cda_rules.RULES.values()
    ]
    return (
        f"{CDA_HEAD}\n| rule | `standard` | français | English |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def _issues(file: Path) -> list[tuple[str, str, str, str]]:
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        arguments = [*node.args, *(each.value for each in node.keywords if each.arg == "rule")]
        if name in MAKERS and len(arguments) >= 4:
            found.append((_text_of(arguments[-1]), MAKERS[name], _text_of(arguments[1]), _text_of(arguments[2])))
        elif name == "_error" and len(node.args) == 3:  # consent.py: the rule is PCF unless it is named
            named = next((each.value for each in node.keywords if each.arg == "rule"), ast.Constant("PCF"))
            found.append((_text_of(named), "error", _text_of(node.args[0]), _text_of(node.args[1])))
        elif name == "refuse" and len(arguments) >= 5:
            found.append((_text_of(arguments[4]), "error", _text_of(arguments[1]), _text_of(arguments[2])))
    return found


def _text_of(node: ast.expr) -> str:
    """A literal, with what is computed in it as `…`; the two branches of a condition."""
    if isinstance(node, ast.Constant):
        return str(node.value).replace("|", "\\|")
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(each) if isinstance(each, ast.Constant) else "…" for each in node.values)
    if isinstance(node, ast.IfExp):
        return f"{_text_of(node.body)} / {_text_of(node.orelse)}"
    if isinstance(node, ast.BinOp):
        return _text_of(node.left)
    return "…"


def _profiles(validator: Validator) -> str:
    by_source: dict[str, list[Rule]] = defaultdict(list)
    for rule in validator.rules.values():
        if rule not in noted.RULES:
            by_source[rule.source].append(rule)
    count = sum(map(len, by_source.values()))
    lines = [f"## Rules of the profiles\n\n{count} rules of {len(by_source)} profiles. Severity at each"]
    lines[0] += f" level: {', '.join(LEVELS)}; one word when it is the same at all.\n"
    for source in sorted(by_source):
        structure = validator.library.structures[source]
        lines.append(f"### {structure['title']}\n\n<{source}>, version {structure.get('version', '-')}\n")
        lines.append("| rule | severity | français | English |\n| --- | --- | --- | --- |")
        for rule in sorted(by_source[source], key=lambda each: each.id):
            levels = [validator.levels.severity(rule, level) for level in LEVELS]
            severity = levels[0] if len(set(levels)) == 1 else " / ".join(levels)
            lines.append(f"| `{rule.id.rsplit('#', 1)[1]}` | {severity} | {_cell(rule.fr)} | {_cell(rule.en)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _text(validator: Validator) -> str:
    rows = [f"| `{key}` | {where} |" for key, where in sorted(validator.levels.text.items())]
    head = "## Rules that the guides give without expression\n\n| rule | enforced |\n| --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def _words(validator: Validator) -> str:
    """The rules that R4 gives in words: those on what the walk notes, and the calls that say the others, read from the
    source."""
    rows = []
    for rule in noted.RULES:
        levels = [validator.levels.severity(rule, level) for level in LEVELS]
        severity = levels[0] if len(set(levels)) == 1 else " / ".join(levels)
        name = f"{rule.element}/{rule.aspect}"
        rows.append(f"| `{name}` | {severity} | {_cell(rule.fr)} | {_cell(rule.en)} | {_paragraph(name)} |")
    for module in (base_rules, reference_checks, structure):
        for rule_id, severity, fr, en in _said(Path(str(module.__file__))):
            rows.append(f"| {rule_id} | {severity} | {fr} | {en} | {_paragraph(rule_id)} |")
    head = "## Rules that FHIR R4 gives in words\n\nSeverity at each level, as above.\n"
    table = "| rule | severity | français | English | source |\n| --- | --- | --- | --- | --- |"
    return f"{head}\n{table}\n" + "\n".join(dict.fromkeys(rows)) + "\n"


def _paragraph(rule: str) -> str:
    page = _PARAGRAPHS[rule]
    return f"[{page}](https://hl7.org/fhir/R4/{page})"


_PARAGRAPHS = {
    "Coding.code/system": "codesystem-definitions.html#CodeSystem.content",
    "Reference.reference/search": "http.html#trules",
    "FHIR R4 Bundle.entry.fullUrl": "bundle-definitions.html#Bundle.entry.fullUrl",
    "FHIR R4 Extension.url": "extensibility.html#Extension",
    "FHIR R4 Identifier.value": "datatypes.html#Identifier",
    "FHIR R4 JSON": "json.html#primitive",
    "FHIR R4 Meta.security": "resource-operation-meta-add.html",
    "FHIR R4 Reference.reference": "references.html#literal",
    "FHIR R4 document": "documents.html#content",
    "TF-107": "extensibility.html#modifierExtension",
    "TF-108": "json.html#resources",
    "TF-109": "references.html#contained",
}


def _said(file: Path) -> list[tuple[str, str, str, str]]:
    """Rule, severity and texts of `fault(rule, place, fr, en)` and `walk.add(code, fr, en, way, rule)`; a text may be a
    variable, set just before."""
    tree = ast.parse(file.read_text("utf-8"))
    texts: list[tuple[int, str, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            pairs = zip(names, values, strict=False)
            texts += [(node.lineno, name.id, value) for name, value in pairs if isinstance(name, ast.Name)]
    found = []
    for node in ast.walk(tree):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or name not in ("fault", "add") or len(node.args) < 4:
            continue
        rule, fr, en = (0, 2, 3) if name == "fault" else (4, 1, 2)
        severity = last if (last := _text_of(node.args[-1])) in ("warning", "information") else "error"
        text = _text_of(node.args[rule]) if len(node.args) > rule else ""
        if text.startswith(("FHIR R4 ", "TF-")) and "…" not in text:
            said = [_text_of(_set_before(texts, node.args[n], node.lineno)) for n in (fr, en)]
            found.append((text, severity, said[0], said[1]))
    return sorted(found)


def _set_before(texts: list[tuple[int, str, ast.expr]], node: ast.expr, line: int) -> ast.expr:
    if not isinstance(node, ast.Name):
        return node
    return max((each for each in texts if each[1] == node.id and each[0] <= line), key=lambda each: each[0])[2]


def _r4() -> str:
    keys: dict[str, tuple[str, str]] = {}
    for path, rows in sorted(invariants().items()):
        for key, severity, expression in rows:
            keys.setdefault(key, (severity if key not in ADVICE else "not asked", f"{path}: `{_cell(expression)}`"))
    rows_of = [f"| {key} | {severity} | {text} |" for key, (severity, text) in sorted(keys.items())]
    head = (
        "## Invariants of FHIR R4\n\nhttps://hl7.org/fhir/R4/. Types and cardinalities of R4 are named `FHIR R4 …`.\n"
    )
    return head + "\n| key | severity | rule |\n| --- | --- | --- |\n" + "\n".join(rows_of) + "\n"


def _oracle() -> str:
    """Beside the Java reference validator: the figures of the last recorded run of `make oracle`."""
    figures = json.loads((ROOT / "oracle" / "results.json").read_text("utf-8"))
    known = {each["cause"]: each for each in json.loads((ROOT / "oracle" / "explained.json").read_text("utf-8"))}
    groups = figures["groups"]
    total = {name: sum(group[name] for group in groups.values()) for name in next(iter(groups.values()))}

    def share(name: str) -> str:
        return f"{total[name] / total['cases']:.1%}"

    times = figures["times"]["all"]
    head = f"""## Beside the Java reference validator

`make oracle`: HAPI {figures["HAPI"]} with our profiles, {figures["cases"]} resources (seed {figures["seed"]}), our
severities as the profiles state them. HAPI itself failed on {figures["crashes of HAPI"]}, which are left out. The same
verdict (refused or not) on {share("same verdict")}, and errors on the same elements, all of them, on
{share("same elements")}; fhir.resources, which knows no profiles, gives HAPI's verdict on
{share("models: same verdict")}.

| resources | number | refused by both | by HAPI alone | by us alone | same verdict | same elements | {REST} |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
    columns = [
        "cases",
        "refused by both",
        "refused by HAPI alone",
        "refused by us alone",
        "same verdict",
        "same elements",
    ]
    rows = [
        f"| {name} | {' | '.join(str(group[each]) for each in [*columns, 'models: same verdict'])}"
        f" | {figures['times'][name]['ratio']} |"
        for name, group in [*groups.items(), ("all", total)]
    ]
    middle = f"""

Processor time for one resource, from text to issues, median: {times["ours"]} ms ours, {times["HAPI"]} ms HAPI (warm),
{times["models"]} ms fhir.resources; HAPI takes {times["ratio"]} times ours (median of the ratios).

Every difference is explained by a paragraph of the specification that proves us right.

| difference | who says it | cases | of them verdicts | why |
| --- | --- | --- | --- | --- |
"""
    causes = [
        f"| {name} | {row['side']} | {row['cases']} | {row['verdict']} |"
        f" [{_cell(known[name]['why'])}]({known[name]['source']}) |"
        for name, row in figures["causes"].items()
    ]
    return head + "\n".join(rows) + middle + "\n".join(causes) + "\n"


def main() -> None:
    made = page(active.validator())
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text("utf-8") != made)
    PAGE.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
