"""Random worlds in the real tables: a record with its consents, people and documents, and callers in front of it.

Everything is drawn from small pools, so that links, blocks, masks and authorship meet often; instants are drawn around
the instant of the decision, its very value included.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.facts import DocumentFacts, author_key
from dmp_fhir.policy.matrix import packaged
from dmp_fhir.store.database import Transaction

NOW = 1_790_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
SYSTEM = "urn:oid:1.2.250.1.213.1.4.10"
MATRICULES = ("274036912390153", "172113523890227")
PERSONS = tuple(f"8997000001{n:02}" for n in range(6))
STRUCTURES = tuple(f"19900000{n:02}" for n in range(3))
AUTHORS = {"person": PERSONS[:4], "structure": STRUCTURES[:1]}
PEOPLE = ("269085935090740", "198073306390414")
TEAMS = ("team-1", "team-2")
TYPES = (*sorted({code for _, codes in packaged().classes.values() for code in codes}), "unknown-type")
PROFESSIONS = (*sorted(packaged().professions), "99")
ROLES = (*sorted(packaged().roles), "social")
FLAGS = {
    "masked_professionals": "MASQUE_PS",
    "hidden_patient": "INVISIBLE_PATIENT",
    "hidden_representatives": "INVISIBLE_REPRESENTANTS_LEGAUX",
}
KINDS = (
    *(("AUTORISATION", "permit"),) * 6,
    *(("EQUIPE", "permit"),) * 3,
    *(("MEDECIN_TRAITANT", "permit"),) * 3,
    *(("BLOCAGE", "deny"),) * 2,
    ("AUTORISATION", "deny"),
    ("BLOCAGE", "permit"),
    ("DELEGATION", "permit"),
    ("OPPOSITION_ALIMENTATION", "deny"),
    ("URGENCE_BTG", "deny"),
    ("URGENCE_BTG", "permit"),
    ("URGENCE_SAMU", "deny"),
    ("URGENCE_MASQUES", "permit"),
    ("MASQUAGE_DEFAUT", "deny"),
)


def _period(random: Random) -> tuple[int | None, int | None]:
    """Mostly running; sometimes ended, to come, or at its very limit."""
    limits = (None, NOW - DAY, NOW - 1, NOW, NOW + 1, NOW + DAY)
    low = random.choice((None, None, NOW - 90 * DAY, *limits))
    high = random.choice((None, None, NOW + 90 * DAY, *limits))
    return low, high


def put_world(tx: Transaction, random: Random, record: str, count: int) -> dict[str, DocumentFacts]:
    """Insert a record and `count` documents; what the rules look at in each document."""
    status = random.choice(("open",) * 8 + ("closed", "suspended"))
    born = random.choice(("1974-03-12", "2012-05-20", "2008-09-21", "2008-09-22", "2008", None))
    tx.insert(
        "record",
        {
            "id": record,
            "status": status,
            "version": 1,
            "created": 1,
            "last_updated": 1,
            "clock": 1,
            "birth_date": born,
        },
    )
    matricule = f"{MATRICULES[0]}-{record}"
    tx.insert("ins", {"system": SYSTEM, "value": matricule, "record_id": record})
    _token(tx, record, "Patient", record, "identifier", SYSTEM, matricule)
    _people(tx, random, record)
    _consents(tx, random, record)
    return _documents(tx, random, record, matricule, count)


def _token(tx: Transaction, record: str, kind: str, name: str, parameter: str, system: str, code: str) -> None:
    row = {"record_id": record, "resource_type": kind, "parameter": parameter, "code": code, "system": system}
    tx.insert("search_token", row | {"resource_id": name})


def _party(tx: Transaction, random: Random, record: str, kind: str, name: str) -> None:
    low, high = _period(random)
    row = {"record_id": record, "resource_type": kind, "id": name, "version": 1, "created": 1, "last_updated": 1}
    row |= {"active": random.random() < 0.9, "deleted": random.random() < 0.1, "period_low": low, "period_high": high}
    tx.insert("party", row)


def _people(tx: Transaction, random: Random, record: str) -> None:
    for n, person in enumerate(PEOPLE):
        if random.random() < 0.5:
            name = f"{record}-related-{n}"
            _party(tx, random, record, "RelatedPerson", name)
            _token(tx, record, "RelatedPerson", name, "identifier", SYSTEM, person)
            relation = random.choice(("MTH", "FTH", "GUARD", "FRND"))
            _token(tx, record, "RelatedPerson", name, "relationship", "v3", relation)
    for team in TEAMS:
        if random.random() < 0.5:
            _party(tx, random, record, "CareTeam", f"{record}-{team}")
            _token(tx, record, "CareTeam", f"{record}-{team}", "identifier", "team", team)
            for member in random.sample(PERSONS + STRUCTURES, 3):
                tx.insert(
                    "search_reference",
                    {
                        "record_id": record,
                        "resource_type": "CareTeam",
                        "parameter": "participant",
                        "target_type": "Practitioner",
                        "target_id": "",
                        "identifier_value": member,
                        "identifier_system": "idnps",
                        "resource_id": f"{record}-{team}",
                    },
                )


def _consents(tx: Transaction, random: Random, record: str) -> None:
    rows = []
    for n in range(random.randint(0, 10)):
        kind, decision = random.choice(KINDS)
        actor_kind, actors = random.choice((("Practitioner", PERSONS), ("Organization", STRUCTURES)))
        if kind == "EQUIPE":
            actor_kind, actors = "CareTeam", TEAMS
        elif kind == "DELEGATION":
            actor_kind, actors = "RelatedPerson", PEOPLE
        elif kind == "MEDECIN_TRAITANT":
            actor_kind, actors = "Practitioner", PERSONS
        low, high = _period(random)
        rows.append(
            {
                "record_id": record,
                "id": f"{record}-c{n}",
                "version": 1,
                "created": 1,
                "last_updated": 1,
                "status": random.choice(("active",) * 8 + ("inactive", "rejected")),
                "kind": kind,
                "decision": decision,
                "actor_kind": actor_kind,
                "actor_id": random.choice(actors),
                "decided": random.randint(1, 5),
                "period_low": low,
                "period_high": high,
            }
        )
    tx.insert_many("consent", rows)


def _documents(tx: Transaction, random: Random, record: str, matricule: str, count: int) -> dict[str, DocumentFacts]:
    facts, rows, authors = {}, [], []
    for n in range(count):
        name = f"{record}-d{n}"
        flags = {flag: random.random() < 0.25 for flag in FLAGS}
        age = random.choice((HOUR, 27 * DAY, 30 * DAY, 31 * DAY, 31 * DAY - 1, 31 * DAY + 1, 32 * DAY, 400 * DAY))
        named: dict[str, set[str]] = {"person": set(), "structure": set(), "patient": set(), "system": set()}
        pools = {**AUTHORS, "patient": (matricule, *PEOPLE), "system": ("am",)}
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            kind = random.choice(("person", "person", "person", "structure", "structure", "patient", "system"))
            named[kind].add(random.choice(pools[kind]))
        status = random.choice(("current",) * 6 + ("superseded", "entered-in-error"))
        known = random.random() < 0.9
        archived = random.random() < 0.1
        document = DocumentFacts(
            type_system="http://loinc.org",
            type_code=random.choice(TYPES),
            labels=frozenset(label for flag, label in FLAGS.items() if flags[flag]),
            status=status,
            archived=archived,
            author_persons=frozenset(named["person"]),
            author_structures=frozenset(named["structure"]),
            author_patients=frozenset(named["patient"]),
            author_systems=frozenset(named["system"]),
            deposited_ms=NOW - age,
            type_unknown=not known,
        )
        facts[name] = document
        names = [(kind, each) for kind, found in named.items() for each in sorted(found)]
        rows.append(
            {
                "record_id": record,
                "id": name,
                "version": 1,
                "created": document.deposited_ms,
                "last_updated": 1,
                "status": status,
                "archived": archived,
                "type_system": document.type_system,
                "type_code": document.type_code,
                "type_unknown": document.type_unknown,
                "author_key": author_key(names),
                **flags,
            }
        )
        authors += [
            {"record_id": record, "document_id": name, "kind": kind, "identifier": each} for kind, each in names
        ]
    tx.insert_many("document", rows)
    tx.insert_many("document_author", authors)
    return facts


def callers(random: Random, record: str, count: int) -> Iterator[AccessContext]:
    """Callers of every category; professionals most often, since they have most ways in."""
    for _ in range(count):
        yield _caller(random, record)


def _caller(random: Random, record: str) -> AccessContext:
    category = random.choice(
        ("PS",) * 10
        + ("PS_ROLE", "PS_ROLE", "PATIENT", "PATIENT", "REPRESENTANT", "REPRESENTANT", "AIDANT")
        + ("STRUCTURE", "STRUCTURE", "CPE", "SUPPORT", "AM_SYSTEM", "SERVICE", "TIERS_EXCLU", "AYANT_DROIT")
    )
    matricule = f"{MATRICULES[0]}-{record}"
    more: dict[str, Any] = {}
    if category in ("PS", "PS_ROLE"):
        more["purpose"] = random.choice(("normal",) * 6 + ("bris_de_glace", "bris_de_glace", "centre_15", "recherche"))
        more["reason"] = random.choice((None, "court", "patient inconscient aux urgences"))
        more["regulation"] = random.random() < 0.5
        more["profession"] = random.choice(("10", *PROFESSIONS) if category == "PS" else ROLES)
        more["structure"] = random.choice((None, *STRUCTURES))
        more["practice_context"] = random.choice((None,) * 8 + ("MEDECINE_TRAVAIL", "PMI", "EXPERTISE"))
        more["secret"] = random.random() < 0.1
        actor, mode = random.choice(PERSONS), random.choice(("CPS",) * 5 + ("AIR", "INDIRECTE"))
    elif category in ("PATIENT", "REPRESENTANT", "AIDANT", "AYANT_DROIT"):
        actor = random.choice((matricule, matricule, *PEOPLE)) if category == "PATIENT" else random.choice(PEOPLE)
        more["purpose"], mode = random.choice(("patient",) * 5 + ("normal",)), "PORTAIL"
        more["person_id"] = random.choice((f"{SYSTEM}|{matricule}",) * 4 + (f"{SYSTEM}|{MATRICULES[1]}", None))
    elif category in ("STRUCTURE", "CPE"):
        actor = random.choice(STRUCTURES)
        more["structure"], mode = actor, "INDIRECTE" if category == "STRUCTURE" else "CPE"
    else:
        actor, mode = random.choice(("am", "exploitant")), "SYSTEME"
        more["purpose"] = "systeme"
    return AccessContext(category, actor, actor, mode, **more)
