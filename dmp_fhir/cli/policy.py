"""Commands on the access rules: `dmp-fhir policy check` and `dmp-fhir policy explain`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from dmp_fhir.app import policy_settings
from dmp_fhir.cli.matrix import matrix
from dmp_fhir.instants import instant_text, system_clock
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.explain import sentences
from dmp_fhir.policy.scenarios import (
    CATEGORIES,
    BadScenario,
    Verdict,
    judge,
    listing,
    read_scenarios,
    scenario_of,
)
from dmp_fhir.policy.settings import PolicySettings
from dmp_fhir.settings import BadSetting, Settings

_ME, _OTHER, _PRACTICE = "me", "other", "practice"
_MODES = {"STRUCTURE": "INDIRECTE", "CPE": "CPE", "PATIENT": "PORTAIL", "REPRESENTANT": "PORTAIL", "AIDANT": "PORTAIL"}
_MODES |= {"AM_SYSTEM": "SYSTEME", "SUPPORT": "SYSTEME", "SERVICE": "SYSTEME"}
_PURPOSES = {"PATIENT": "patient", "REPRESENTANT": "patient", "AIDANT": "patient"}
_PURPOSES |= {"AM_SYSTEM": "systeme", "SUPPORT": "systeme", "SERVICE": "systeme"}


@click.group()
def policy() -> None:
    """The access rules: check scenarios, explain a decision. With the settings and the matrix in force."""


policy.add_command(matrix)


def _settings() -> PolicySettings:
    try:
        return policy_settings(Settings.from_environment())
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad


# --- check ----------------------------------------------------------------------------------------


@policy.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Decide the scenarios of FILES (docs/policy-scenarios.md); exit code 0 only if all agree, 2 for a bad file."""
    verdicts, settings = [], _settings()
    for path in files:
        try:
            verdicts += [judge(scenario, settings) for scenario in read_scenarios(path.read_bytes())]
        except BadScenario as fault:
            click.echo(f"{path}: {fault}", err=True)
            sys.exit(2)
    disagreeing = [verdict for verdict in verdicts if not verdict.agrees]
    if as_json:
        report = {"scenarios": len(verdicts), "agreeing": len(verdicts) - len(disagreeing)}
        click.echo(json.dumps(report | {"verdicts": [_tree(each) for each in verdicts]}, ensure_ascii=False, indent=2))
    else:
        for verdict in verdicts:
            _print(verdict)
        click.echo(f"{len(verdicts)} scenarios: {len(verdicts) - len(disagreeing)} agree, {len(disagreeing)} differ")
    sys.exit(1 if disagreeing else 0)


def _print(verdict: Verdict) -> None:
    scenario, decision = verdict.scenario, verdict.decision
    mark = "ok  " if verdict.agrees else "DIFF"
    reason = f" {decision.reason}" if decision.reason else ""
    word = "permit" if decision.permit else "deny  "
    click.echo(f"{mark} {scenario.id:6} {word}{reason} [{', '.join(decision.rules)}] {scenario.title}")
    for difference in verdict.differences:
        click.echo(f"            {difference}")


def _tree(verdict: Verdict) -> dict[str, Any]:
    decision = verdict.decision
    return {
        "id": verdict.scenario.id,
        "agrees": verdict.agrees,
        "decision": "permit" if decision.permit else "deny",
        "reason": decision.reason,
        "listed": verdict.listed,
        "rules": list(decision.rules),
        "obligations": sorted(decision.obligations),
        "differences": list(verdict.differences),
    }


# --- explain --------------------------------------------------------------------------------------


@policy.command()
@click.option("--category", type=click.Choice(sorted(CATEGORIES)), default="PS", show_default=True, help="Who asks.")
@click.option("--profession", default=None, help="TRE_G15 code or role; 10 (physician) for PS when not told.")
@click.option("--auth-mode", default=None, help="CPS, AIR, INDIRECTE, CPE, PORTAIL or SYSTEME.")
@click.option("--context", default=None, help="Practice context, such as MEDECINE_TRAVAIL.")
@click.option("--regulation", is_flag=True, help="On regulation duty (centre 15).")
@click.option("--action", type=click.Choice([each.value for each in Action]), required=True, help="What is asked.")
@click.option("--purpose", default=None, help="normal, bris_de_glace, centre_15, patient or systeme.")
@click.option("--reason", default=None, help="Motive of an emergency access.")
@click.option("--at", default=None, help="Instant of the decision, ISO 8601; now when not told.")
@click.option("--secret", is_flag=True, help="Secret connection of a minor.")
@click.option("--patient-agreement", is_flag=True, help="The patient's agreement is attested.")
@click.option("--patient-request", is_flag=True, help="The patient's request is attested.")
@click.option("--record", type=click.Choice(["OUVERT", "FERME", "SUSPENDU", "ABSENT"]), default="OUVERT")
@click.option("--age", default=40, show_default=True, help="Age of the patient.")
@click.option("--ins-status", default="QUALIFIEE", show_default=True, help="Status of the INS in the token.")
@click.option("--treating", is_flag=True, help="The caller is treating physician.")
@click.option(
    "--authorised", type=click.Choice(["PS", "STRUCTURE", "EQUIPE", "EXPIRED"]), help="What names the caller."
)
@click.option("--blocked", type=click.Choice(["PS", "STRUCTURE"]), help="Whom the patient blocked.")
@click.option("--no-break-glass", is_flag=True, help="The patient opposed break-glass.")
@click.option("--no-centre-15", is_flag=True, help="The patient opposed consultation by the regulation centre.")
@click.option("--masked-in-emergency", is_flag=True, help="Emergencies read masked documents.")
@click.option("--feeding-opposed", is_flag=True, help="The patient opposed deposits of the caller.")
@click.option("--type", "type_code", default=None, help="Type of the document (LOINC or DMP code); none: no document.")
@click.option("--label", "labels", multiple=True, help="MASQUE_PS, INVISIBLE_PATIENT, INVISIBLE_REPRESENTANTS_LEGAUX.")
@click.option("--status", default="current", show_default=True, help="current, superseded, archived or deleted.")
@click.option("--author", type=click.Choice([_ME, _OTHER, "patient"]), default=_OTHER, show_default=True)
@click.option("--deposited", default=None, help="Instant of the deposit; that of the decision when not told.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def explain(as_json: bool, **given: Any) -> None:
    """Decide one case given by options, and tell the rules in French and English. Exit code 0, permitted or not."""
    try:
        scenario = scenario_of(_scenario(given), "options")
    except BadScenario as fault:
        raise click.UsageError(str(fault)) from fault
    decision = scenario.decide(_settings())
    rules = [(rule, *sentences(rule, decision.permit)) for rule in decision.rules]
    if as_json:
        answer = {
            "decision": "permit" if decision.permit else "deny",
            "reason": decision.reason,
            "listed": listing(scenario, decision),
            "relation": decision.relation,
            "obligations": sorted(decision.obligations),
            "rules": [{"id": rule, "fr": fr, "en": en} for rule, fr, en in rules],
        }
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    click.echo(f"{'permit' if decision.permit else 'deny'}{f' {decision.reason}' if decision.reason else ''}")
    for rule, fr, en in rules:
        click.echo(f"  {rule:6} {fr}\n         {en}")
    click.echo(f"  with   {', '.join(sorted(decision.obligations))}")


def _scenario(given: dict[str, Any]) -> dict[str, Any]:
    """The options as a scenario: the caller is `me`, practising in `practice`."""
    category = given["category"]
    at = given["at"] or instant_text(system_clock())
    person = category in ("PS", "PS_ROLE")
    return {
        "id": "options",
        "actor": {
            "category": category,
            "id": _PRACTICE if category in ("STRUCTURE", "CPE") else _ME,
            "profession": given["profession"] or ("10" if category == "PS" else None),
            "structure": _PRACTICE if person or category in ("STRUCTURE", "CPE") else None,
            "authMode": given["auth_mode"] or _MODES.get(category, "CPS"),
            "context": given["context"],
            "regulation": given["regulation"],
        },
        "request": {
            "action": given["action"],
            "purpose": given["purpose"] or _PURPOSES.get(category, "normal"),
            "at": at,
            "reason": given["reason"],
            "secret": given["secret"],
            "patientAgreement": given["patient_agreement"],
            "patientRequest": given["patient_request"],
        },
        "dmp": {"status": given["record"], "patientAge": given["age"], "insStatus": given["ins_status"]},
        "consents": {
            "mt": [_ME] if given["treating"] else [],
            "permits": _permits(given["authorised"], at),
            "blocks": [{"who": {"PS": _ME}.get(given["blocked"], _PRACTICE), "kind": given["blocked"]}]
            if given["blocked"]
            else [],
            "btg": "deny" if given["no_break_glass"] else "permit",
            "samu": "deny" if given["no_centre_15"] else "permit",
            "maskedInEmergency": "permit" if given["masked_in_emergency"] else "deny",
            "feedOpposition": [_ME, _PRACTICE] if given["feeding_opposed"] else [],
        },
        "document": _document(given, at) if given["type_code"] else None,
    }


def _permits(authorised: str | None, at: str) -> list[dict[str, Any]]:
    match authorised:
        case None:
            return []
        case "STRUCTURE":
            return [{"who": _PRACTICE, "kind": "STRUCTURE"}]
        case "EQUIPE":
            return [{"who": "team", "kind": "EQUIPE", "members": [_ME]}]
        case "EXPIRED":
            return [{"who": _ME, "kind": "PS", "end": at}]
    return [{"who": _ME, "kind": "PS"}]


def _document(given: dict[str, Any], at: str) -> dict[str, Any]:
    author: dict[str, Any] = {"category": "PATIENT"}
    if given["author"] != "patient":
        author = {"category": "PS", "id": given["author"]}
        if given["author"] == _ME and given["category"] in ("STRUCTURE", "CPE"):
            author = {"category": "STRUCTURE", "structure": _PRACTICE}
    return {
        "typeCode": given["type_code"],
        "author": author,
        "labels": ["N", *given["labels"]],
        "status": given["status"],
        "depositedOn": given["deposited"] or at,
    }
