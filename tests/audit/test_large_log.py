"""A large log (TF-169, TF-179): verified, proven, and altered by hand at random places; `campaign` makes it a million
entries long, and writes benchmarks/campaigns.md."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from dmp_fhir.audit.answers import consistency_answer, inclusion_answer
from dmp_fhir.audit.entries import leaf_of
from dmp_fhir.audit.proofs import _ROW, consistency, inclusion
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import Transaction
from dmp_fhir.wire.json import dump_json
from tests.audit.logs import Log, disarm
from tests.audit.test_alterations import Insider, change, copy_of
from tests.support.tally import count
from tests.writing.campaigns import Figures, seed_of


def alterations(size: int, chance: random.Random) -> list[tuple[str, int, Callable[[Transaction], object]]]:
    """What an insider may do, each somewhere in the log."""
    places = [chance.randrange(size - 1) for _ in range(6)]

    def swap(tx: Transaction) -> None:
        one, two = places[3], places[3] + 1
        for sql in (f"SET position = -5 WHERE position = {one}", f"SET position = {one} WHERE position = {two}"):
            tx.execute(f"UPDATE audit_event {sql}")
        tx.execute(f"UPDATE audit_event SET position = {two} WHERE position = -5")

    def forge(tx: Transaction) -> None:
        values = tx.row(f"SELECT {', '.join(_ROW)} FROM audit_event WHERE position = {places[4]}")
        assert values is not None
        body = b'{"resourceType":"AuditEvent","id":"forged"}'
        row = dict(zip(_ROW, values, strict=True)) | {"digest": sha256(body).digest()}
        row |= {"body": pack(body), "leaf": leaf_of(row)}
        named = ("body", "digest", "leaf")
        tx.execute(
            f"UPDATE audit_event SET {', '.join(f'{each} = :{each}' for each in named)} WHERE position = {places[4]}",
            {each: row[each] for each in named},
        )

    return [
        ("changed", places[0], change(places[0], "outcome", "8")),
        ("deleted", places[1], lambda tx: tx.execute(f"DELETE FROM audit_event WHERE position = {places[1]}")),
        ("inserted", size, copy_of(places[2], position=size)),
        ("swapped", places[3], swap),
        ("forged with its hash", places[4], forge),
        ("words taken away", places[5], change(places[5], "words", None)),
    ]


@pytest.mark.parametrize("size", [1_500, pytest.param(1_000_000, marks=pytest.mark.campaign)])
def test_a_large_log(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path, size: int) -> None:
    chance = random.Random(seed := seed_of(request))
    shutil.copy(sqlite_template, tmp_path / "registry.db")
    log = Log.made(f"sqlite:///{tmp_path}/registry.db", tmp_path)
    started = time.process_time()
    log.grow(size // 2, at_once=500)
    log.seal()
    log.grow(size - size // 2, at_once=500)
    log.seal()
    added = time.process_time() - started
    started = time.process_time()
    report = log.verify()
    verified = time.process_time() - started
    assert (report.findings, report.entries, report.size) == ([], size, size)

    proofs, longest, largest = 0.0, 0.0, 0
    picked = [chance.randrange(size) for _ in range(min(size // 10, 500))]
    with log.database.snapshot() as reader:
        ids = [reader.rows(f"SELECT id FROM audit_event WHERE position = {at}")[0][0] for at in picked]
    for event_id in ids:
        started = time.perf_counter()
        with log.database.snapshot() as reader:
            found = inclusion(reader, event_id)
        took = time.perf_counter() - started
        assert found is not None
        proofs, longest = proofs + took, max(longest, took)
        largest = max(largest, len(dump_json(inclusion_answer(found, open_place=True))))
    with log.database.snapshot() as reader:
        grown = consistency(reader, size // 2, size)
    assert grown is not None
    largest = max(largest, len(dump_json(consistency_answer(grown))))

    disarm(log.database)
    insider, made = Insider(log), alterations(size, chance)
    for what, position, act in made:
        first = insider.found(lambda tx, act=act: act(tx) and None)[0]  # type: ignore[misc]
        assert first.position == position, (what, first)
    # TF-179: the sizes are what the code owes; times are those of the machine, and are only written down.
    assert largest < 4_000
    count("G", "large logs verified")
    if size > 100_000:
        counted = (
            f"{size:,} entries, {added / size * 1e6:.0f} µs each to add, verified in {verified:.0f} s of processor time"
            f" ({size / verified:,.0f} a second); {len(ids)} proofs, {proofs / len(ids) * 1e3:.1f} ms each, the longest"
            f" {longest * 1e3:.0f} ms, the largest {largest:,} bytes; {len(made)} alterations, {len(made)} found with"
            " their place, without any index on positions"
        )
        Figures().add("a log of a million entries (TF-169, TF-179), sqlite", counted, seed=seed)
    log.database.close()
