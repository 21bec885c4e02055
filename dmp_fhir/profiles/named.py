"""Whom a DocumentReference names: the identifiers of its authors, authenticator, custodian and patient.

A key is `system|value`, or the value alone when the system says that it is a URI. Professionals and structures are
brought to the identifiers of the ANS (PS_IdNat, Struct_IdNat), so that an RPPS number and its prefixed form are one.
"""

from __future__ import annotations

from typing import Any

from dmp_fhir.canonicals import IDNPS, IDNST, INS_SYSTEMS, URI
from dmp_fhir.identity.identifiers import professional_id, structure_id

Tree = dict[str, Any]


def identifier_key(identifier: Tree) -> str | None:
    system, value = identifier.get("system", ""), str(identifier.get("value", "")).strip()
    if not value:
        return None
    if person := professional_id(system, value):
        return f"{IDNPS}|{person}"
    if structure := structure_id(system, value):
        return f"{IDNST}|{structure}"
    return value if system in ("", URI) else f"{system}|{value}"


class Named:
    """The people and organizations of one DocumentReference, contained or by identifier. What is neither can't be
    known from the resource alone: None."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.contained: dict[str, Tree] = {f"#{each.get('id')}": each for each in tree.get("contained", [])}

    def resource(self, reference: Tree) -> Tree:
        """The contained resource of a reference, or an empty one."""
        return self.contained.get(reference.get("reference", ""), {})

    def persons(self, reference: Tree) -> set[str] | None:
        """Keys of the person, patient or software that a reference names; empty for an organization."""
        resource = self.resource(reference)
        if not resource:
            named = identifier_key(reference.get("identifier", {}))
            if named is None:
                return None
            return set() if _is_organization(reference, named) else {named}
        if resource["resourceType"] == "Organization":
            return set()
        return self._keys(resource) | self._linked(resource, "practitioner")

    def structures(self, reference: Tree) -> set[str] | None:
        """Keys of the organization that a reference names, or that its person or software acts for."""
        resource = self.resource(reference)
        if not resource:
            named = identifier_key(reference.get("identifier", {}))
            return {named} if named and _is_organization(reference, named) else None
        if resource["resourceType"] == "Organization":
            return self._keys(resource)
        found = self._linked(resource, "organization") | self._linked(resource, "owner")
        return found or None

    def patient(self) -> tuple[str, Tree] | None:
        """The patient as the document's producer described it: place below the resource, and tree."""
        for path, reference in (
            ("context.sourcePatientInfo", self.tree.get("context", {}).get("sourcePatientInfo", {})),
            ("subject", self.tree.get("subject", {})),
        ):
            resource = self.resource(reference)
            if resource.get("resourceType") == "Patient":
                place = self.tree["contained"].index(resource)
                return f"contained[{place}]", resource
            if path == "subject":
                break
        return None

    def matricules(self) -> set[str]:
        """Keys of the INS numbers that the DocumentReference gives for its patient."""
        subject: Tree = self.tree.get("subject", {})
        found = {identifier_key(subject.get("identifier", {}))}
        _, asked, criterion = subject.get("reference", "").partition("Patient?identifier=")
        if asked:
            found.add(criterion.replace("%7C", "|"))
        for each in self.contained.values():
            if each.get("resourceType") == "Patient":
                found |= self._keys(each)
        return {each for each in found if each and each.partition("|")[0] in INS_SYSTEMS}

    def _keys(self, resource: Tree) -> set[str]:
        return {found for each in resource.get("identifier", []) if (found := identifier_key(each))}

    def _linked(self, resource: Tree, element: str) -> set[str]:
        reference = resource.get(element, {})
        found = self._keys(self.resource(reference))
        own = identifier_key(reference.get("identifier", {}))
        return found | {own} if own else found


def _is_organization(reference: Tree, named: str) -> bool:
    return reference.get("type") == "Organization" or named.startswith(f"{IDNST}|")
