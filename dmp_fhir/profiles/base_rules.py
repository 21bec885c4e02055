"""Invariants of the R4 base definitions checked with the structure, each under its HL7 key. What a rule reads may still
be malformed: the structure check says so, the rule then keeps silent.

Beside them the few rules that R4 gives in words only, named after the element (`FHIR R4 Identifier.system`).

https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/bundle.html, https://hl7.org/fhir/R4/list.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dmp_fhir.canonicals import URI
from dmp_fhir.profiles.fhir_documents import addresses, named_by, server_of, strangers
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.profiles.references import is_absolute, rest_address

Tree = dict[str, Any]


class Fault(Protocol):
    """Says that an invariant does not hold: its key, the property at fault (None: the element itself), both texts."""

    def __call__(self, key: str, name: str | None, fr: str, en: str, severity: str = "error") -> None: ...


def _extension(node: Tree, fault: Fault) -> None:
    values = [name for name in node if name[:5] == "value" or name[:6] == "_value"]
    if bool(values) == ("extension" in node):
        fr = "Une extension a soit une valeur (value[x]), soit des extensions, pas les deux ni aucune."
        fault("ext-1", None, fr, "An extension has either a value (value[x]) or extensions, not both nor neither.")


def _attachment(node: Tree, fault: Fault) -> None:
    if "data" in node and "contentType" not in node:
        fr = "Un contenu (data) a besoin de son type (contentType)."
        fault("att-1", "contentType", fr, "Content (data) needs its type (contentType).")


def _period(node: Tree, fault: Fault) -> None:
    start, end = node.get("start"), node.get("end")
    if type(start) is not str or type(end) is not str:
        return
    if len(start) == len(end) and start[19:] == end[19:] and start <= end:
        return  # of one form and zone, in order
    try:
        late = date_interval(start)[0] >= date_interval(end)[1]
    except ValueError:
        return
    if late:
        fault("per-1", None, "Le début (start) est après la fin (end).", "The start is after the end.")


def _identifier(node: Tree, fault: Fault) -> None:
    """https://hl7.org/fhir/R4/datatypes.html#Identifier: the system urn:ietf:rfc:3986 says that the value is a URI."""
    value = node.get("value")
    if node.get("system") == URI and type(value) is str and not is_absolute(value):
        fr = f"Le système {URI} annonce un URI complet (urn:oid:…, urn:uuid:…, https://…) dans value."
        en = f"The system {URI} announces a full URI (urn:oid:…, urn:uuid:…, https://…) in value."
        fault("FHIR R4 Identifier.value", "value", fr, en)


def _meta(node: Tree, fault: Fault) -> None:
    """The labels of a resource are a set, in which system and code tell one from another
    (https://hl7.org/fhir/R4/resource-operation-meta-add.html)."""
    labels = node.get("security")
    told: set[tuple[str, str]] = set()
    for n, each in enumerate(labels if type(labels) is list else ()):
        if type(each) is not dict or type(each.get("code")) is not str:
            continue
        label = str(each.get("system")), each["code"]
        if label in told:
            fr = f"Ce label est déjà là ({label[1][:64]}) : enlevez-le."
            fault(
                "FHIR R4 Meta.security",
                f"security[{n}]",
                fr,
                f"This label is there already ({label[1][:64]}): remove it.",
            )
        told.add(label)


def _quantity(node: Tree, fault: Fault) -> None:
    if "code" in node and "system" not in node:
        fault("qty-3", "system", "Un code d'unité a besoin de son système.", "A unit code needs its system.")


def _contact_point(node: Tree, fault: Fault) -> None:
    if "value" in node and "system" not in node:
        fault("cpt-2", "system", "Un moyen de contact a besoin de son système.", "A contact point needs its system.")


def _list(node: Tree, fault: Fault) -> None:
    entries = node.get("entry")
    entries = [e for e in entries if type(e) is dict] if type(entries) is list else []
    if entries and "emptyReason" in node:
        fault("lst-1", "emptyReason", "emptyReason ne va qu'à une liste vide.", "emptyReason goes with an empty list.")
    mode = node.get("mode")
    if mode != "changes" and any("deleted" in entry for entry in entries):
        fr = "« deleted » ne va que dans une liste de mode changes."
        fault("lst-2", "entry", fr, "'deleted' goes only in a list of mode changes.")
    if mode != "working" and any("date" in entry for entry in entries):
        fr = "La date d'une entrée ne va que dans une liste de mode working."
        fault("lst-3", "entry", fr, "The date of an entry goes only in a list of mode working.")


def _consent(node: Tree, fault: Fault) -> None:
    if "policy" not in node and "policyRule" not in node:
        fr = "Un consentement nomme sa politique : policy ou policyRule."
        fault("ppc-1", None, fr, "A consent names its policy: policy or policyRule.")


# A fullUrl may lack where nothing has an identity yet, or only answers.
_UNNAMED = frozenset({"batch", "transaction", "batch-response", "transaction-response"})
_REQUEST = frozenset({"batch", "transaction", "history"})
_RESPONSE = frozenset({"batch-response", "transaction-response", "history"})


def _bundle(node: Tree, fault: Fault) -> None:
    kind = node.get("type")
    if type(kind) is not str:
        return  # refused already
    if "total" in node and kind not in ("searchset", "history"):
        fault("bdl-1", "total", "total ne va qu'avec searchset ou history.", "total goes with searchset or history.")
    entries = node.get("entry")
    entries = [e for e in entries if type(e) is dict] if type(entries) is list else []
    _bundle_entries(kind, entries, fault)
    if kind == "document":
        identifier = node.get("identifier")
        if type(identifier) is not dict or "system" not in identifier or "value" not in identifier:
            fr = "Un document a un identifiant avec système et valeur."
            fault("bdl-9", "identifier", fr, "A document has an identifier with a system and a value.")
        if "timestamp" not in node:
            fault("bdl-10", "timestamp", "Un document a une date (timestamp).", "A document has a date (timestamp).")
        if _first_type(entries) != "Composition":
            fr = "La première ressource d'un document est une Composition."
            fault("bdl-11", "entry", fr, "The first resource of a document is a Composition.")
        else:
            _document(node, entries, fault)
    elif kind == "message" and _first_type(entries) != "MessageHeader":
        fr = "La première ressource d'un message est un MessageHeader."
        fault("bdl-12", "entry", fr, "The first resource of a message is a MessageHeader.")


def _document(node: Tree, entries: list[Tree], fault: Fault) -> None:
    """What a composition names is in its document, and the document holds only what that leads to
    (https://hl7.org/fhir/R4/documents.html#content)."""
    here = addresses(entries)
    base = server_of(entries[0].get("fullUrl"))
    for way, reference in named_by(entries[0]["resource"]):
        if reference[:1] != "#" and reference not in here and base + reference not in here:
            fr = f"Le document ne contient pas {reference[:100]}, que sa composition désigne : ajoutez-le."
            en = f"The document doesn't hold {reference[:100]}, which its composition names: add it."
            fault("FHIR R4 document", f"entry[0].resource.{way}", fr, en)
    for n, refers in strangers(node, entries):
        if refers:
            fr = "Rien dans le document ne mène à cette ressource, qui y renvoie : R4 ne le permet qu'à une Provenance."
            en = "Nothing in the document leads to this resource, which refers to it: R4 lets only a Provenance do so."
            fault("FHIR R4 document", f"entry[{n}]", fr, en, "warning")
        else:
            fr = "Rien dans le document ne mène à cette ressource : citez-la dans la composition, ou retirez-la."
            en = "Nothing in the document leads to this resource: name it in the composition, or remove it."
            fault("FHIR R4 document", f"entry[{n}]", fr, en)


def _first_type(entries: list[Tree]) -> Any:
    resource = entries[0].get("resource") if entries else None
    return resource.get("resourceType") if type(resource) is dict else None


def _bundle_entries(kind: Any, entries: list[Tree], fault: Fault) -> None:
    seen: set[tuple[str, str]] = set()
    for n, entry in enumerate(entries):
        where = f"entry[{n}]"
        if "search" in entry and kind != "searchset":
            fault("bdl-2", where, "search ne va que dans un searchset.", "search goes in a searchset only.")
        if ("request" in entry) != (kind in _REQUEST) and type(kind) is str:
            fr = "request est obligatoire dans batch, transaction et history, interdit ailleurs."
            fault("bdl-3", where, fr, "request is mandatory in batch, transaction and history, forbidden elsewhere.")
        if ("response" in entry) != (kind in _RESPONSE) and type(kind) is str:
            fr = "response est obligatoire dans les réponses et history, interdit ailleurs."
            fault("bdl-4", where, fr, "response is mandatory in responses and history, forbidden elsewhere.")
        if not entry.keys() & {"resource", "request", "response"}:
            fr = "Une entrée a une ressource, une requête ou une réponse."
            fault("bdl-5", where, fr, "An entry has a resource, a request or a response.")
        _full_url(kind, entry, where, seen, fault)


def _full_url(kind: Any, entry: Tree, where: str, seen: set[tuple[str, str]], fault: Fault) -> None:
    url = entry.get("fullUrl")
    if type(url) is not str:
        if "fullUrl" not in entry and kind not in _UNNAMED:
            fr = "Hors lots (batch, transaction), chaque entrée a une fullUrl, l'identité de sa ressource."
            en = "Except in transactions and batches, each entry has a fullUrl, the identity of its resource."
            fault("FHIR R4 Bundle.entry.fullUrl", f"{where}.fullUrl", fr, en)
        return
    _identity(kind, entry, url, where, fault)
    if "/_history/" in url:
        fault("bdl-8", where, "fullUrl ne nomme pas une version.", "fullUrl doesn't name a version.")
    resource = entry.get("resource")
    meta = resource.get("meta") if type(resource) is dict else None
    version = str(meta.get("versionId")) if type(meta) is dict else "None"
    if (url, version) in seen and kind != "history":
        fr = f"Deux entrées ont la même fullUrl ({url[:100]})."
        fault("bdl-7", where, fr, f"Two entries have the same fullUrl ({url[:100]}).")
    seen.add((url, version))


def _identity(kind: Any, entry: Tree, url: str, where: str, fault: Fault) -> None:
    """It is absolute and doesn't disagree with the id (https://hl7.org/fhir/R4/bundle-definitions.html)."""
    if not is_absolute(url):
        fr = f"fullUrl est un URI absolu (urn:uuid:…, https://…) ; trouvé : {url[:100]}."
        en = f"fullUrl is an absolute URI (urn:uuid:…, https://…); found: {url[:100]}."
        fault("FHIR R4 Bundle.entry.fullUrl", f"{where}.fullUrl", fr, en)
        return
    resource, named = entry.get("resource"), rest_address(url)
    if type(resource) is not dict or named is None or (kind in _UNNAMED and "id" not in resource):
        return
    if named != (resource.get("resourceType"), resource.get("id")):
        fr = f"fullUrl ({url[:100]}) et le type ou l'id de la ressource se contredisent."
        en = f"fullUrl ({url[:100]}) and the type or id of the resource disagree."
        fault("FHIR R4 Bundle.entry.fullUrl", f"{where}.fullUrl", fr, en)


RULES: Mapping[str, Callable[[Tree, Fault], None]] = {
    "Extension": _extension,
    "Attachment": _attachment,
    "Meta": _meta,
    "Identifier": _identifier,
    "Period": _period,
    "Quantity": _quantity,
    "Age": _quantity,
    "Count": _quantity,
    "Distance": _quantity,
    "Duration": _quantity,
    "ContactPoint": _contact_point,
    "List": _list,
    "Consent": _consent,
    "Bundle": _bundle,
}
# The property without which a rule has nothing to say.
NEEDED: Mapping[str, str] = {
    "Attachment": "data",
    "Meta": "security",
    "Identifier": "system",
    "Period": "end",
    "Quantity": "code",
    "Age": "code",
    "Count": "code",
    "Distance": "code",
    "Duration": "code",
    "ContactPoint": "value",
}
