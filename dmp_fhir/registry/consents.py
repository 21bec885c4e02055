"""What a Consent does beyond being stored: it gets an end, a block revokes, an opening or closing changes the record's
status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dmp_fhir.canonicals import EXT_CLOSURE, EXT_RENEWED_BY_USE
from dmp_fhir.instants import instant_text
from dmp_fhir.policy.settings import PolicySettings
from dmp_fhir.policy.standing import PARIS, Standing
from dmp_fhir.profiles.consent import closure_parts
from dmp_fhir.registry.columns import consent_columns
from dmp_fhir.registry.lifecycle import end_consents, follow_status, status_of
from dmp_fhir.registry.shelves import current, put_next
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.clock import lock_record
from dmp_fhir.store.database import Reader, Transaction
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]
_PERMITS = frozenset({"AUTORISATION", "EQUIPE"})


def with_period(tree: Tree, standing: Standing, now_ms: int, settings: PolicySettings, *, by_patient: bool) -> Tree:
    """An authorisation as stored: with a start, and an end when it states none (AR-25, AR-26, D20).

    `permit_months` to the day, in the French calendar; `outsider_hours` when a professional records it for somebody
    outside the declared care team. The end that a team gets here says that use renews it. A consent of another kind is
    left as it is.
    """
    columns = consent_columns(tree)
    if columns["kind"] not in _PERMITS or columns["status"] != "active" or columns["period_high"] is not None:
        return tree
    provision = tree["provision"]
    period = {"start": tree["dateTime"]} | provision.get("period", {})
    start = columns["period_low"] if columns["period_low"] is not None else columns["decided"]
    if not by_patient and is_outsider(standing, columns["actor_kind"], columns["actor_id"], now_ms):
        moment = datetime.fromtimestamp(start // 1000, PARIS) + timedelta(hours=settings.outsider_hours)
        period["end"] = instant_text(int(moment.timestamp()) * 1000)
    else:
        period["end"] = _months_later(start, settings.permit_months)
        if columns["kind"] == "EQUIPE":
            period["extension"] = [*_not_renewed(period), {"url": EXT_RENEWED_BY_USE, "valueBoolean": True}]
    return tree | {"provision": provision | {"period": period}}


def _not_renewed(period: Tree) -> list[Tree]:
    return [each for each in period.get("extension", []) if each.get("url") != EXT_RENEWED_BY_USE]


def renew_teams(
    tx: Transaction, record_id: str, teams: Iterable[str], now_ms: int, settings: PolicySettings
) -> list[Found]:
    """The presumption of a care team lasts `permit_months` from its latest use (AR-25): the new versions of its
    consents whose end the registry gave, at most one a month. An end that the patient stated stays."""
    names = {f"team_{n}": team for n, team in enumerate(sorted(teams))}
    rows = tx.rows(
        "SELECT id FROM consent WHERE record_id = :record_id AND kind = 'EQUIPE' AND status = 'active'"
        f" AND period_high > :now AND period_high < :soon AND actor_id IN ({', '.join(f':{name}' for name in names)})"
        " ORDER BY created, id",
        {"record_id": record_id, "now": now_ms, "soon": _start_of(_months_later(now_ms, settings.permit_months - 1))}
        | names,
    )
    if not rows:
        return []
    end = _months_later(now_ms, settings.permit_months)
    instant = lock_record(tx, record_id).tick(now_ms)
    renewed = []
    for (consent_id,) in rows:
        found = current(tx, record_id, "Consent", consent_id)
        tree = parse_json(found.body) if found else {}
        period = tree.get("provision", {}).get("period", {})
        if found is None or len(_not_renewed(period)) == len(period.get("extension", [])):
            continue
        tree["provision"]["period"] = period | {"end": end}
        renewed.append(put_next(tx, record_id, tree, found.version, instant, "PUT"))
    return renewed


def _start_of(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=PARIS).timestamp()) * 1000


def is_outsider(standing: Standing, actor_kind: str | None, actor_id: str | None, now_ms: int) -> bool:
    """Whether a care team is declared and this professional is not of it, nor treating physician (AR-26)."""
    teams = [
        permit for permit in standing.permits if permit.kind == "CareTeam" and permit.start_ms <= now_ms < permit.end_ms
    ]
    if actor_kind != "Practitioner" or not teams or actor_id in standing.treating_physicians:
        return False
    return not any(actor_id in permit.members for permit in teams)


def _months_later(start_ms: int, months: int) -> str:
    """The day of the same number so many months later; the last of the month when it has no such day."""
    day = datetime.fromtimestamp(start_ms // 1000, PARIS).date()
    month = day.month - 1 + months
    year, month, number = day.year + month // 12, month % 12 + 1, day.day
    while True:
        try:
            return day.replace(year=year, month=month, day=number).isoformat()
        except ValueError:
            number -= 1


def profiles_followed(reader: Reader, record_id: str, actor_id: str | None) -> int:
    """In how many other records somebody is a helper (AR-85)."""
    row = reader.row(
        "SELECT COUNT(DISTINCT record_id) FROM consent WHERE kind = 'DELEGATION' AND actor_id = :actor"
        " AND decision = 'permit' AND status = 'active' AND record_id <> :record_id",
        {"actor": actor_id or "", "record_id": record_id},
    )
    return int(row[0]) if row else 0


def consequences(tx: Transaction, record_id: str, consent: Tree, instant: int) -> list[Found]:
    """Everything else that changes with a consent just written; the new versions."""
    columns = consent_columns(consent)
    if columns["kind"] == "BLOCAGE":
        return _revoke(tx, record_id, columns, instant)
    if columns["kind"] == "OUVERTURE" and columns["status"] == "active":
        return _follow_opening(tx, record_id, consent, columns, instant)
    return []


def _revoke(tx: Transaction, record_id: str, columns: Mapping[str, Any], instant: int) -> list[Found]:
    """A block ends the authorisations and the treating-physician status of the same actor, in the same transaction
    (AR-43). So does its end, for what was recorded meanwhile: unblocking restores nothing."""
    which = "actor_id = :actor AND kind IN ('AUTORISATION', 'EQUIPE', 'MEDECIN_TRAITANT')"
    return end_consents(tx, record_id, instant, which, {"actor": columns["actor_id"]})


def _follow_opening(
    tx: Transaction, record_id: str, consent: Tree, columns: Mapping[str, Any], instant: int
) -> list[Found]:
    """OUVERTURE denied closes the record, OUVERTURE permitted opens it (AR-08 to AR-11); Patient.active stays in
    step, with the closing told as the draft of TD0.2 does (D22)."""
    found = current(tx, record_id, "Patient", record_id)
    if found is None:
        raise LookupError(f"record {record_id} has no Patient")
    before = status_of(tx, record_id) or ""
    is_open = columns["decision"] == "permit"
    patient = parse_json(found.body) | {"active": is_open}
    extensions = [each for each in patient.pop("extension", []) if each.get("url") != EXT_CLOSURE]
    if not is_open:
        extensions.append({"url": EXT_CLOSURE, "extension": closure_parts(consent)})
    if extensions:
        patient["extension"] = extensions
    changed = put_next(tx, record_id, patient, found.version, instant, "PUT")
    ended = follow_status(tx, record_id, before, "open" if is_open else "closed", instant)
    opposite = "deny" if is_open else "permit"
    others = end_consents(tx, record_id, instant, "kind = 'OUVERTURE' AND decision = :decision", {"decision": opposite})
    return [changed, *ended, *others]


def consents_behind(reader: Reader, record_id: str, kinds: tuple[str, ...], actor: str) -> list[tuple[str, int]]:
    """The choices in force, of these kinds, that are about nobody or about this actor: (id, version)."""
    names = {f"kind_{n}": kind for n, kind in enumerate(kinds)}
    rows = reader.rows(
        "SELECT id, version FROM consent WHERE record_id = :record_id AND status = 'active'"
        f" AND kind IN ({', '.join(f':{name}' for name in names)}) AND (actor_id IS NULL OR actor_id = :actor)"
        " ORDER BY created, id",
        {"record_id": record_id, "actor": actor} | names,
    )
    return [(consent_id, int(version)) for consent_id, version in rows]
