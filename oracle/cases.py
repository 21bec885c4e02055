"""The resources that both validators judge: those of the tests and of the demonstration, and made ones, from a seed.

A case is {"id", "profiles": [canonical URL], "resource": {…}}. The id says where it comes from: `valid/…` and
`mutant/…` (the mutation tests), `invariant/…` (the table of base invariants), `fixture/…` (the demonstration world),
`published/…` (examples of the guides, when the folder is there: DMP_FHIR_SHARED, or ../shared beside the checkout),
`words/…` (rules that R4 gives in words),
`generated/…` (drawn from the profiles), `damaged/…` (one of those with one thing wrong, oracle/damage.py).
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dmp_fhir.profiles.definitions import resource_types
from dmp_fhir.profiles.validator import Validator
from oracle.damage import damaged
from tests.profiles import samples, test_base_invariants
from tests.profiles.mutants_bundles import TABLE
from tests.support.conforming import Conforming

Tree = dict[str, Any]
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Case:
    id: str
    resource: Tree
    profiles: list[str] = field(default_factory=list)

    @property
    def group(self) -> str:
        return self.id.split("/", 1)[0]

    def line(self) -> bytes:
        return orjson.dumps({"id": self.id, "profiles": self.profiles, "resource": self.resource}) + b"\n"


def cases(validator: Validator, count: int, seed: int) -> list[Case]:
    """All that is written by hand, then a third generated and the rest damaged, `count` in all."""
    written = [*_mutants(), *_invariants(), *_fixtures(), *_published(), *_words()]
    sound = [each for each in written if each.group in ("valid", "fixture", "published")]
    made = list(_generated(validator, max(0, count - len(written)) // 3, seed))
    broken = list(_damaged([*sound, *made], max(0, count - len(written) - len(made)), seed))
    return [*written, *made, *broken]


def _mutants() -> Iterator[Case]:
    for url, (valid, mutants) in TABLE.items():
        name = url.rsplit("/", 1)[1]
        yield Case(f"valid/{name}", valid, [url])
        told: set[bytes] = set()
        for n, mutant in enumerate(mutants):
            tree = mutant.tree(valid)
            text = orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)
            if text not in told:  # the same mutant stands at two levels
                told.add(text)
                yield Case(f"mutant/{name}/{n}/{mutant.constraint}: {mutant.way}", tree, [url])


def _invariants() -> Iterator[Case]:
    for n, (key, holds, breaks, _) in enumerate(test_base_invariants.TABLE):
        yield Case(f"invariant/{key}/{n}/holds", holds)
        yield Case(f"invariant/{key}/{n}/breaks", breaks)


def _fixtures() -> Iterator[Case]:
    for file in sorted((ROOT / "fixtures").glob("[tw]o*/*.json")):
        tree = orjson.loads(file.read_bytes())
        if isinstance(tree, dict) and tree.get("resourceType") in resource_types():
            yield Case(f"fixture/{file.parent.name}/{file.stem}", tree)


def _published() -> Iterator[Case]:
    folder = Path(os.environ.get("DMP_FHIR_SHARED", ROOT.parent / "shared")) / "data" / "examples"
    for file in sorted(folder.glob("*/*.json")):
        tree = orjson.loads(file.read_bytes())
        if isinstance(tree, dict) and tree.get("resourceType") in resource_types():
            yield Case(f"published/{file.parent.name}/{file.stem}", tree)
            if tree["resourceType"] == "Bundle" and tree["type"] == "transaction":
                bundle = samples.PDSM + "pdsm-comprehensive-provide-document-bundle"
                yield Case(f"published/{file.parent.name}/{file.stem} as PDSm", tree, [bundle])


def _words() -> Iterator[Case]:
    """What R4 says in words, kept and broken: what a document holds, labels, codes that exist, references that are
    searches, the profile of what a reference leads to."""
    row = next(each for each in test_base_invariants.TABLE if each[0] == "bdl-10")
    head, other = row[1]["entry"][0], "urn:uuid:01234567-89ab-cdef-0123-0000000000f"
    patient, composition = {"resourceType": "Patient", "id": "a"}, {"reference": head["fullUrl"]}
    condition = {"resourceType": "Condition", "id": "b", "subject": {"reference": f"{other}a"}}
    author = {"agent": [{"who": {"display": "A"}}], "recorded": "2026-01-01T00:00:00Z"}
    sheet = {"resourceType": "Binary", "id": "c", "contentType": "text/css", "data": "YQ=="}
    held = {
        "a stranger": [patient],
        "a stranger that nothing leads to, and what it leads to": [patient, condition],
        "one that refers to it": [{"resourceType": "List", "id": "d", "status": "current", "mode": "working",
                                   "entry": [{"item": composition}]}],
        "its provenance": [{"resourceType": "Provenance", "id": "e", "target": [composition], **author}],
        "a style sheet": [sheet],
    }  # fmt: skip
    for name, resources in held.items():
        document = copy.deepcopy(row[1])
        document["entry"] += [{"fullUrl": other + "abc"[n], "resource": each} for n, each in enumerate(resources)]
        yield Case(f"words/document with {name}", document)
        if resources == [sheet]:
            document["entry"][-1]["fullUrl"] = "http://example.org/fhir/Binary/c"
            named = document | {"link": [{"relation": "stylesheet", "url": "Binary/c"}]}
            yield Case(f"words/document with {name} that it names", named)
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}
    yield Case("words/a label twice", patient | {"meta": {"security": [label, label | {"display": "normal"}]}})
    yield Case("words/two labels", patient | {"meta": {"security": [label, label | {"code": "R"}]}})
    for code in ("PI", "PIX"):
        kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}]}
        yield Case(f"words/code {code}", patient | {"identifier": [{"type": kind, "value": "1"}]})
    search = samples.comprehensive() | {"subject": {"reference": "Patient?identifier=urn:oid:1.2.250.1.213.1.4.8|1"}}
    yield Case("words/search in a resource", search)
    found = {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [{
        "fullUrl": "http://example.org/fhir/DocumentReference/d", "resource": search | {"id": "d"}}]}  # fmt: skip
    yield Case("words/search in a searchset", found)
    lot = samples.provide_bundle()
    lot["entry"][1]["resource"]["subject"] = search["subject"]
    yield Case("words/search in a transaction", lot)
    tour = orjson.loads((ROOT / "fixtures" / "tour" / "publish.json").read_bytes())
    submission = tour["entry"][0]["resource"] | {"subject": {"reference": "Patient/a"}}
    yield Case("words/people of the Annuaire", copy.deepcopy(submission))
    submission["contained"][1]["identifier"][1]["type"]["coding"][0]["system"] = "http://example.org/kinds"
    yield Case("words/people whose identifier the Annuaire does not know", submission)


def _generated(validator: Validator, count: int, seed: int) -> Iterator[Case]:
    names = sorted(url for url, plan in validator.profiles.items() if plan.type in resource_types())
    for n in range(count):
        url = names[n % len(names)]
        yield Case(f"generated/{url.rsplit('/', 1)[1]}/{n}", Conforming(validator, seed + n).resource(url), [url])


def _damaged(sound: list[Case], count: int, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)  # noqa: S311 (a draw that can be made again, no secret)
    small = [each for each in sound if len(each.line()) < 20_000]
    for n in range(count):
        origin = chance.choice(small)
        how, tree = damaged(origin.resource, chance)
        yield Case(f"damaged/{n}/{origin.id}/{how}", tree, origin.profiles)
