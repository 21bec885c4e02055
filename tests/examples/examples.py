"""Documents to publish: bodies of our own, and the published examples of the guides when their folder is there
(environment variable DMP_FHIR_SHARED, or ../shared beside the checkout). Adapted is only what must be: the patient, the
wrong size of one example, and addresses that become those of a lot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rest import bodies
from tests.rest.bodies import CLAIRE, bundle, document, post, simple, submission_set, urn

Tree = dict[str, Any]
FOLDER = Path(os.environ.get("DMP_FHIR_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "examples"
GUIDE_INS = "urn:oid:1.2.250.1.213.1.4.8|123456789012345"
CDA = b'<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"><id/></ClinicalDocument>'


@dataclass(frozen=True)
class Example:
    """`body` is what is sent: an ITI-65 bundle, or a DocumentReference by ITI-105; `level` the profile level (D1)."""

    name: str
    body: Tree
    level: str = "released"

    def of_type(self, resource_type: str) -> Tree:
        (found,) = [
            each["resource"] for each in self.body["entry"] if each["resource"]["resourceType"] == resource_type
        ]
        return found

    @property
    def document(self) -> Tree:
        return self.body if self.body["resourceType"] == "DocumentReference" else self.of_type("DocumentReference")

    @property
    def content(self) -> bytes | None:
        """The document's bytes; None for a FHIR document."""
        if self.body["resourceType"] == "DocumentReference":
            return base64.b64decode(self.body["content"][0]["attachment"]["data"])
        kinds = {each["resource"]["resourceType"] for each in self.body["entry"]}
        return base64.b64decode(self.of_type("Binary")["data"]) if "Binary" in kinds else None

    def __str__(self) -> str:
        return self.name


def guides_are_there() -> bool:
    return FOLDER.is_dir()


def guide(path: str) -> Tree:
    """An example of the guides, its patient replaced by Claire Martin."""
    text = (FOLDER / path).read_text()
    (old_system, old_value), (system, value) = GUIDE_INS.split("|"), CLAIRE.split("|")
    # The literal form first: it holds both parts.
    text = text.replace(GUIDE_INS, CLAIRE).replace(f'"{old_value}"', f'"{value}"')
    tree: Tree = json.loads(text)
    return _with_system(tree, old_system, system, value)


def _with_system(tree: Any, old: str, new: str, value: str) -> Any:
    """The system of the INS, only where the matricule is."""
    if isinstance(tree, dict):
        changed = {name: _with_system(each, old, new, value) for name, each in tree.items()}
        return changed | {"system": new} if (changed.get("system"), changed.get("value")) == (old, value) else changed
    return [_with_system(each, old, new, value) for each in tree] if isinstance(tree, list) else tree


def in_a_lot(tree: Tree, content: Tree) -> Tree:
    """A DocumentReference and its Binary or document Bundle, as ITI-65 wants them."""
    first = tree["content"][0]
    url = urn("the document")
    described = tree | {"content": [first | {"attachment": first["attachment"] | {"url": url}}]}
    described.pop("id", None)
    return bundle(
        post(submission_set(tree["masterIdentifier"]["value"], urn("fiche")), urn("set")),
        post(described, urn("fiche")),
        post(content, url),
    )


def with_size(tree: Tree, size: int) -> Tree:
    first = tree["content"][0]
    return tree | {"content": [first | {"attachment": first["attachment"] | {"size": size}}]}


# --- of our own -----------------------------------------------------------------------------------


def own_cda() -> Tree:
    tree = document("exemple cda", content=CDA)
    tree["content"][0]["attachment"]["contentType"] = "application/xml"
    tree["context"]["event"] = [bodies.concept("http://loinc.org", "11488-4")]
    tree["context"]["period"]["end"] = "2026-11-20T10:20:00+01:00"
    tree["context"]["related"] = [{"identifier": {"system": "urn:oid:2.16.840.1.113883.19.5", "value": "RDV-7"}}]
    return tree


def own_fhir_document() -> Tree:
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": bodies.concept("http://loinc.org", "60591-5"),
        "date": "2026-11-20",
        "author": [{"display": "Dr Moreau"}],
        "title": "Synthèse",
    }
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": bodies.URI, "value": bodies.oid("exemple fhir bundle")},
        "timestamp": "2026-11-20T11:00:00+01:00",
        "entry": [{"fullUrl": urn("composition"), "resource": composition}],
    }


def own_fhir() -> Tree:
    """A summary as a FHIR document, with the size and hash that PDSm asks for, which nobody can compute beforehand."""
    tree = document("exemple fhir", type=bodies.concept("http://loinc.org", "60591-5"))
    tree["content"][0]["attachment"] |= {"contentType": "application/fhir+json", "size": 4096}
    return tree


def own_simplified() -> Tree:
    """As little as ITI-105 asks for."""
    tree = simple("exemple simple")
    for name in ("category", "securityLabel", "context", "authenticator", "custodian", "extension"):
        del tree[name]
    first = tree["content"][0]
    attachment = {name: first["attachment"][name] for name in ("contentType", "data", "title")}
    tree["contained"] = [each for each in tree["contained"] if each["id"] == "author-person"]
    return tree | {"author": [{"reference": "#author-person"}], "content": [{"attachment": attachment}]}


def own_mhd(name: str, *more: Tree, **changes: Any) -> Tree:
    """An IHE lot without what only France asks for, its hash in hexadecimal as in the examples of MHD 4.2.3."""
    tree = bodies.lot(name, *more, **changes)
    submitted, described = tree["entry"][0]["resource"], tree["entry"][1]["resource"]
    for element in ("source", "contained", "title"):
        del submitted[element]
    for element in ("author", "authenticator", "custodian", "extension"):
        del described[element]
    del described["context"]["period"]
    described["contained"] = described["contained"][:1]
    attachment = described["content"][0]["attachment"]
    digest = hashlib.sha1(bodies.text_of(name), usedforsecurity=False).hexdigest()
    attachment["hash"] = base64.b64encode(digest.encode()).decode()
    return tree


# --- what is meant to be stored -------------------------------------------------------------------


def wrong_sizes() -> Iterator[Example]:
    """A DocumentReference whose size is wrong."""
    tree = own_cda()
    binary = bodies.binary(CDA, "application/xml")
    yield Example("own CDA, wrong size", in_a_lot(with_size(tree, len(CDA) + 48), binary))
    if guides_are_there():
        tree = guide("pdsm4dmp/DocumentReference-example-annexe-docref-cda.json")
        yield Example(
            "PDSm4DMP CDA as published", in_a_lot(tree, guide("pdsm4dmp/Binary-example-annexe-binary-cda.json"))
        )


def stored_examples() -> Iterator[Example]:
    yield Example("own CDA", in_a_lot(own_cda(), bodies.binary(CDA, "application/xml")))
    yield Example("own FHIR document", in_a_lot(own_fhir(), own_fhir_document()))
    yield Example("own ITI-105", own_simplified())
    yield Example("own MHD", own_mhd("exemple mhd"), "mhd")
    if guides_are_there():
        binary = guide("pdsm4dmp/Binary-example-annexe-binary-cda.json")
        size = len(base64.b64decode(binary["data"]))
        tree = with_size(guide("pdsm4dmp/DocumentReference-example-annexe-docref-cda.json"), size)
        yield Example("PDSm4DMP CDA", in_a_lot(tree, binary))
        tree = guide("pdsm4dmp/DocumentReference-example-annexe-docref-fhir.json")
        inner = guide("pdsm4dmp/Bundle-example-annexe-fhir-document.json")
        yield Example("PDSm4DMP FHIR document", in_a_lot(tree, inner))
        yield Example(
            "PDSm4DMP ITI-105", guide("pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json")
        )
        yield Example("MHD Simple", for_claire(mhd("Simple")), "mhd")


def mhd(name: str) -> Tree:
    tree: Tree = json.loads((FOLDER / f"ihe-mhd/Bundle-ex-comprehensiveProvideDocumentBundle{name}.json").read_text())
    return tree


def for_claire(tree: Tree) -> Tree:
    """A lot of MHD for her record: its patient is `Patient/ex-patient`."""
    text = json.dumps(tree).replace('"Patient/ex-patient"', f'"Patient?identifier={CLAIRE}"')
    moved: Tree = json.loads(text)
    return moved
