"""Commands of the operator and the privacy officer: scheduled jobs, review of emergency accesses, life of a record.
Every change leaves its trace, in the name of the account that runs the command."""

from __future__ import annotations

from collections.abc import Callable

import click

from dmp_fhir import jobs as scheduled
from dmp_fhir.app import policy_settings
from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.administration import operator, trace_command
from dmp_fhir.audit.events import Observer
from dmp_fhir.audit.forwarding import forward
from dmp_fhir.cli import alerts
from dmp_fhir.cli.opening import current_settings, registry_of
from dmp_fhir.cli.sending import repository_of, sender_of
from dmp_fhir.files import alone
from dmp_fhir.identity.identifiers import typed_ins
from dmp_fhir.instants import instant_text, system_clock
from dmp_fhir.notify.messages import SUSPENDED, patient_and_representatives
from dmp_fhir.policy.standing import load_standing
from dmp_fhir.registry import lifecycle
from dmp_fhir.registry.grants import close_review, to_review
from dmp_fhir.registry.notifications import post
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.query import PatientByIdentifier
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store.clock import lock_record
from dmp_fhir.store.database import Transaction
from dmp_fhir.store.payloads import PayloadStore


def _observer(settings: Settings) -> Observer:
    return Observer(address=settings.base_url)


# --- scheduled jobs -------------------------------------------------------------------------------


@click.group()
def jobs() -> None:
    """What happens by itself when its time has come."""


@jobs.command()
def run() -> None:
    """Do everything that is due now: notices at 14 days, documents that become visible, end of suspensions, erasure,
    clean-up, messages. Safe to run at any time and as often as you like; two at once would send messages twice, so the
    second one leaves it to the first."""
    settings = current_settings()
    with alone(settings.data_folder / ".jobs.lock") as first:
        if not first:
            click.echo("another run is under way")
            return
        _run(settings)


def _run(settings: Settings) -> None:
    database, payloads = registry_of(settings), PayloadStore(settings.payload_folder)
    try:
        sender, repository = sender_of(settings, database), repository_of(settings)
    except BadSetting as bad:
        raise click.ClickException(str(bad)) from bad
    now, observer = system_clock(), _observer(settings)
    done = scheduled.run(database, payloads, sender, now, policy_settings(settings), observer)
    if done.anything:
        trace_command(database, "jobs", now, observer=observer, reason=str(done))
    click.echo(done)
    if repository is not None:
        click.echo(forward(database, repository, settings.data_folder, system_clock()))


# --- review of emergency accesses -----------------------------------------------------------------


@click.command()
@click.argument("grant_id", required=False)
@click.option("--finding", default=None, help="What the review found; closes the access or alert.")
@click.option("--account", default=None, help="List the records that this account touched (national identifier).")
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1), help="How far back, with --account.")
def review(grant_id: str | None, finding: str | None, account: str | None, hours: int) -> None:
    """List the break-glass accesses and the security alerts that wait for the privacy officer; with GRANT_ID, or the
    number of an alert, and --finding, close one (AR-51).
    With --account, the records that an account touched lately, for instance one that reached its ceiling.

    The lists name who, where, when and why; nothing of what a record holds."""
    settings, now = current_settings(), system_clock()
    database, observer = registry_of(settings), _observer(settings)
    if account is not None:
        with database.snapshot() as reader:
            touched = log.records_of(reader, account, now - hours * 3_600_000)
        records = [record_id for record_id, *_ in touched]
        trace_command(database, "account-review", now, observer=observer, record_ids=records, rules=("AR-96",))
        for record_id, acts, since, until in touched:
            click.echo(f"{record_id}  {acts} acts  {instant_text(since)} to {instant_text(until)}")
        click.echo(f"{len(touched)} records")
        return
    if grant_id is None:
        with database.snapshot() as reader:
            waiting = to_review(reader)
        records = sorted({each.record_id for each in waiting})
        trace_command(database, "review-list", now, observer=observer, record_ids=records, rules=("AR-51",))
        for each in waiting:
            click.echo(
                f"{each.id}  {instant_text(each.granted)}  {each.person} {each.person_name}"
                f"  {each.structure or '-'}  {each.purpose}  {each.motive}"
            )
        click.echo(f"{len(waiting)} to review")
        alerts.list_alerts(database)
        return
    if not (finding or "").strip():
        raise click.UsageError("say what the review found: --finding TEXT")
    agent = operator()

    if grant_id.isdecimal():
        if not alerts.close(database, int(grant_id), agent, (finding or "").strip(), now):
            raise click.ClickException(f"alert {grant_id} is not in the queue")
        click.echo("reviewed")
        return

    def close(tx: Transaction) -> bool:
        record_id = close_review(tx, grant_id, agent.actor_id, (finding or "").strip(), now)
        if record_id is None:
            return False
        act = Act("update", "U", record_id=record_id, rules=("AR-51",), reason="REVUE_FAITE")
        log.append(tx, act, agent, now, observer=observer)
        return True

    if not database.write(close):
        raise click.ClickException(f"{grant_id} is not in the queue")
    click.echo("reviewed")


# --- life of a record -----------------------------------------------------------------------------


@click.group()
def record() -> None:
    """Suspend or resume a record, hold it for justice, or note that its holder asked for its erasure. INS is the
    number alone, with or without blanks, or system|number."""


@record.command()
@click.argument("ins")
def suspend(ins: str) -> None:
    """Suspend all access to an open record, after a malfunction or fraud that cannot be corrected; the holder is told
    and has six weeks to object (AR-12)."""

    def work(tx: Transaction, record_id: str, now: int) -> None:
        lifecycle.suspend(tx, record_id, now)
        standing = load_standing(tx, record_id, now)
        recipients = patient_and_representatives(standing, now, discreet=False)
        post(tx, record_id, SUSPENDED, f"{SUSPENDED}|{now}", recipients, now)

    _change(ins, "open", "AR-12", "SUSPENSION", work)


@record.command()
@click.argument("ins")
def resume(ins: str) -> None:
    """End a suspension (AR-12)."""
    _change(ins, "suspended", "AR-12", "FIN_DE_SUSPENSION", lambda tx, record_id, now: lifecycle.resume(tx, record_id))


@record.command()
@click.argument("ins")
def erase(ins: str) -> None:
    """Note that the holder of a closed record asked for its erasure: the next `dmp-fhir jobs run` destroys it (AR-10,
    within three months)."""
    _change(ins, "closed", "AR-10", "EFFACEMENT_DEMANDE", lifecycle.ask_erasure)


@record.command()
@click.argument("ins")
def hold(ins: str) -> None:
    """Keep a record from erasure, whatever its age, for a court, an inquiry or a claim (TF-245)."""
    _change(ins, None, "AR-10", "CONSERVATION_IMPOSEE", lambda tx, record_id, now: _held(tx, record_id, now))


@record.command()
@click.argument("ins")
def release(ins: str) -> None:
    """End what `hold` began: the record is erased when its time is over."""
    _change(ins, None, "AR-10", "FIN_DE_CONSERVATION_IMPOSEE", lambda tx, record_id, now: _held(tx, record_id, None))


def _held(tx: Transaction, record_id: str, instant: int | None) -> None:
    if not lifecycle.hold(tx, record_id, instant):
        raise click.ClickException("the record is not held" if instant is None else "the record is held already")


def _change(
    ins: str, expected: str | None, rule: str, reason: str, work: Callable[[Transaction, str, int], None]
) -> None:
    typed = typed_ins(ins)
    if typed is None:
        raise click.UsageError(
            "this is no INS: 15 characters whose key is right, alone or as system|number"
            " (urn:oid:1.2.250.1.213.1.4.8|…)"
        )
    settings, agent, now = current_settings(), operator(), system_clock()
    database, observer = registry_of(settings), _observer(settings)

    def change(tx: Transaction) -> str | None:
        record_id = find_record(tx, PatientByIdentifier(*typed))
        if record_id is None:
            return "there is no record of this INS" + (
                ", or there are several: name it system|number" if typed[0] is None else ""
            )
        clock = lock_record(tx, record_id)
        if expected is not None and clock.status != expected:
            return f"the record is {clock.status}, not {expected}"
        work(tx, record_id, clock.tick(now))
        entities = (("Patient", record_id, None),)
        act = Act("update", "U", record_id=record_id, entities=entities, rules=(rule,), reason=reason)
        log.append(tx, act, agent, now, observer=observer)
        return None

    refusal = database.write(change)
    if refusal:
        raise click.ClickException(refusal)
    click.echo(reason)
