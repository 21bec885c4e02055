"""The data: patients with test INS numbers, and lots made from the consultation report of the README tour.

Each patient has one treating physician, one authorised professional and one authorised structure. Every document has
its own identifiers, bytes, hash, type and dates, and one in ten is masked from professionals.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any

from dmp_fhir.canonicals import CONSENT_KIND_SYSTEM

Tree = dict[str, Any]

FIXTURES = Path(__file__).parents[1] / "fixtures"
INS = "urn:oid:1.2.250.1.213.1.4.10"
TREATING, AUTHORISED, STRUCTURE = "dr-moreau", "dr-petit", "1990000010"
PROFESSIONAL_IDS = {"dr-moreau": "899700000112", "dr-petit": "899700000146"}
DOCUMENTS_PER_PATIENT = 20
MASKED_EVERY = 10

_TYPES = (
    ("11488-4", "CR ou fiche de consultation ou de visite", "10", "Compte rendu"),
    ("11502-2", "CR d'examens biologiques", "11", "Document encyclopédique"),
    ("18748-4", "CR d'imagerie médicale", "10", "Compte rendu"),
    ("34112-3", "CR hospitalier", "10", "Compte rendu"),
    ("57833-6", "Prescription de produits de santé", "42", "Prescription"),
    ("60591-5", "Synthèse médicale", "31", "Synthèse"),
)
_FIRST_DAY = date(2023, 11, 20)
_WORDS = ("Compte rendu de consultation", "Bilan", "Contrôle", "Courrier", "Suivi", "Examen")


def ins_of(number: int) -> str:
    """A test NIR with its key, never of a living person: department 99."""
    body = f"2{number // 1_000_000 % 100:02}0199{number % 1_000_000:06}"
    body = body[:13].ljust(13, "0")
    return body + f"{97 - int(body) % 97:02}"


@dataclass(frozen=True, slots=True)
class Patient:
    ins: str
    family: str
    given: str

    @property
    def reference(self) -> str:
        return f"Patient?identifier={INS}|{self.ins}"


def patient(number: int) -> Patient:
    return Patient(ins_of(number), f"Essai{number}", ("Anne", "Karim", "Inès", "Paul", "Lucie", "Yves")[number % 6])


def opening(who: Patient) -> Tree:
    """The transaction of the operator that opens a record."""
    source = json.loads((FIXTURES / "world" / "01-record-claire-martin.json").read_text("utf-8"))
    (entry,) = source["entry"]
    resource = entry["resource"]
    resource["identifier"][0]["value"] = who.ins
    official = next(each for each in resource["name"] if each["use"] == "official")
    # fr-core-patient-ins: the list of given names of birth stands in an extension.
    listed = [each | {"valueString": who.given} for each in official["extension"]]
    resource["name"] = [{"use": "official", "family": who.family, "given": [who.given], "extension": listed}]
    entry["request"]["ifNoneExist"] = f"identifier={INS}|{who.ins}"
    return source


def choices(who: Patient) -> Tree:
    """The transaction of the patient who names a treating physician and authorises a professional and a structure."""
    source = next((FIXTURES / "world").glob("*-claire-martin-medecin-traitant-*.json"))
    # Authorisations last twelve months (D20): these are given the day before.
    yesterday = str(date.today() - timedelta(days=1))
    bundle = json.loads(source.read_text("utf-8").replace("274036912390153", who.ins).replace("2023-11-06", yesterday))
    (entry,) = bundle["entry"]
    actors = (
        ("MEDECIN_TRAITANT", "Practitioner", "urn:oid:1.2.250.1.71.4.2.1", PROFESSIONAL_IDS[TREATING]),
        ("AUTORISATION", "Practitioner", "urn:oid:1.2.250.1.71.4.2.1", PROFESSIONAL_IDS[AUTHORISED]),
        ("AUTORISATION", "Organization", "urn:oid:1.2.250.1.71.4.2.2", STRUCTURE),
    )
    bundle["entry"] = []
    for kind, actor_type, system, value in actors:
        one = json.loads(json.dumps(entry))
        one.pop("fullUrl")
        for category in one["resource"]["category"]:
            for coding in category["coding"]:
                if coding["system"] == CONSENT_KIND_SYSTEM:
                    coding["code"] = kind
        one["resource"]["provision"]["actor"][0]["reference"] = {
            "type": actor_type,
            "identifier": {"system": system, "value": value},
        }
        bundle["entry"].append(one)
    return bundle


class Lots:
    """ITI-65 and ITI-105 bodies: the tour's own, cut at what changes from one document to the next."""

    @cached_property
    def _lot(self) -> list[str]:
        return _cut(_without_layout("publish.json"))

    @cached_property
    def _simple(self) -> list[str]:
        return _cut(_without_layout("publish-simple.json"))

    @cached_property
    def _report(self) -> list[str]:
        """The CDA document of the tour, cut where it has to agree with the metadata."""
        bundle = json.loads((FIXTURES / "tour" / "publish.json").read_text("utf-8"))
        text = b64decode(next(e["resource"]["data"] for e in bundle["entry"] if "data" in e["resource"])).decode()
        described = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference")
        own = described["masterIdentifier"]["value"].removeprefix("urn:oid:")
        kind, attachment = described["type"]["coding"][0], described["content"][0]["attachment"]
        for value, name in (
            (f'"{own}"', f'"{own}.«number»"'),
            ("274036912390153", "«ins»"),
            (f'"{kind["code"]}"', '"«type»"'),
            (kind["display"], "«type_name»"),
            (f"<title>{attachment['title']}<", "<title>«title»<"),
            (attachment["creation"][:10].replace("-", ""), "«compact_day»"),
        ):
            if value not in text:
                raise LookupError(f"the report of the tour does not contain {value}")
            text = text.replace(value, name)
        return _MARK.split(text)

    def lot(self, who: Patient, number: int) -> bytes:
        """Body of ITI-65: submission set, DocumentReference and a CDA document of 7 kB that agrees with it."""
        return _joined(self._lot, who, number, _filled(self._report, _values(who, number)).encode())

    def simple(self, who: Patient, number: int) -> bytes:
        """Body of ITI-105: a DocumentReference that carries a short note."""
        return _joined(self._simple, who, number, f"Note de suivi numéro {number}.\n".encode() * 8)

    def sizes(self) -> dict[str, int]:
        who = patient(1)
        report = len("".join(self._report))
        return {"lot": len(self.lot(who, 1)), "simple": len(self.simple(who, 1)), "report": report}


_MARK = re.compile(r"«(\w+)»")


def _without_layout(name: str) -> Tree:
    return json.loads((FIXTURES / "tour" / name).read_text("utf-8"))


def _cut(tree: Tree) -> list[str]:
    """The text of a body, cut into fixed parts (even places) and the names of what changes (odd places)."""
    for resource in [tree, *(entry["resource"] for entry in tree.get("entry", []))]:
        if resource["resourceType"] == "DocumentReference":
            resource["masterIdentifier"]["value"] += ".«number»"
            resource["type"]["coding"] = [{"system": "http://loinc.org", "code": "«type»", "display": "«type_name»"}]
            resource["category"][0]["coding"][0] |= {"code": "«class»", "display": "«class_name»"}
            resource["date"] = "«day»T09:30:00+01:00"
            resource["context"]["period"] = {"start": "«day»T09:00:00+01:00", "end": "«day»T09:25:00+01:00"}
            resource["securityLabel"] = "«labels»"
            attachment = resource["content"][0]["attachment"]
            attachment |= {"size": "«size»", "hash": "«hash»", "title": "«title»", "creation": "«day»T09:30:00+01:00"}
            if "data" in attachment:
                attachment["data"] = "«data»"
        elif resource["resourceType"] == "List":
            resource["identifier"][0]["value"] += ".«number»"
            resource["title"] = "«title»"
        elif resource["resourceType"] == "Binary":
            resource["data"] = "«data»"
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).replace("274036912390153", "«ins»")
    text = text.replace('"«size»"', "«size»").replace('"«labels»"', "«labels»")
    return _MARK.split(text)


def _label(system: str, code: str) -> Tree:
    return {"coding": [{"system": system, "code": code}]}


_TRE = "https://mos.esante.gouv.fr/NOS"
_NORMAL = _label(f"{_TRE}/TRE_A08-HL7Confidentiality/FHIR/TRE-A08-HL7Confidentiality", "N")
_MASK = _label(f"{_TRE}/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument", "MASQUE_PS")
_LABELS = (json.dumps([_NORMAL, _MASK]), json.dumps([_NORMAL]))


def _values(who: Patient, number: int) -> dict[str, str]:
    code, name, class_code, class_name = _TYPES[number % len(_TYPES)]
    day = _FIRST_DAY + timedelta(days=number * 7 % 1000)
    return {
        "ins": who.ins,
        "number": str(number),
        "type": code,
        "type_name": name,
        "class": class_code,
        "class_name": class_name,
        "day": str(day),
        "compact_day": f"{day:%Y%m%d}",
        "labels": _LABELS[0 if number % MASKED_EVERY == 0 else 1],
        "title": f"{_WORDS[number % len(_WORDS)]} {number}",
    }


def _filled(parts: list[str], values: dict[str, str]) -> str:
    return "".join(values[part] if n % 2 else part for n, part in enumerate(parts))


def _joined(parts: list[str], who: Patient, number: int, content: bytes) -> bytes:
    values = _values(who, number) | {
        "size": str(len(content)),
        "hash": b64encode(sha1(content).digest()).decode(),
        "data": b64encode(content).decode(),
    }
    return _filled(parts, values).encode()


def numbered_lots(first: int, last: int) -> Iterator[tuple[Patient, int]]:
    """Documents `first` to `last - 1` and their patients: DOCUMENTS_PER_PATIENT each, arriving in mixed order."""
    patients = range(first // DOCUMENTS_PER_PATIENT, last // DOCUMENTS_PER_PATIENT)
    for turn in range(DOCUMENTS_PER_PATIENT):
        for number in patients:
            yield patient(number), number * DOCUMENTS_PER_PATIENT + turn
