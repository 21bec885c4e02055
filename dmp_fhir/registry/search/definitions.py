"""What a search parameter is, and those that every type or many types have."""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.registry.search.sources import (
    Agents,
    Column,
    Entities,
    FewTexts,
    Flag,
    Items,
    Moment,
    References,
    Selector,
    Source,
    Tokens,
    Words,
    WordStart,
)

HL7 = "http://hl7.org/fhir/SearchParameter"

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
# `:text` is refused everywhere: displays are not indexed.
MODIFIERS = {
    "token": ("not", "missing"),
    "string": ("exact", "contains", "missing"),
    "date": ("missing",),
    "reference": ("identifier", "missing"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter: `type` is its FHIR type, `definition` the canonical address of its SearchParameter,
    `chains` the parameters of the target that may follow a dot."""

    code: str
    type: str
    definition: str
    source: Source
    fr: str
    en: str
    chains: tuple[str, ...] = ()

    @property
    def modifiers(self) -> tuple[str, ...]:
        """Those of its type that mean something here: what is always present is never `:missing`."""
        match self.source:
            case Selector() | Agents() | Entities():
                return ("identifier",)
            case Words() if self.type == "uri":
                return ()
            case Flag() | Column() | Words():
                return ("not",)
            case FewTexts():
                return ("exact", "contains")
            case WordStart():
                return ("exact",)
            case Items() | Moment():
                return ()
        return MODIFIERS[self.type]

    @property
    def targets(self) -> tuple[str, ...]:
        match self.source:
            case Selector():
                return ("Patient",)
            case References(targets) | Items(targets) | Agents(_, targets):
                return targets
        return ()


PEOPLE = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Organization", "Device")
PERSON_CHAINS = ("given", "family", "name", "identifier")


def common(alias: str, changed: str = "last_updated") -> tuple[Parameter, ...]:
    return (
        Parameter(
            "_id", "token", f"{HL7}/Resource-id", Column(f"{alias}.id"), "Identifiant de la ressource", "Resource id"
        ),
        Parameter(
            "_lastUpdated",
            "date",
            f"{HL7}/Resource-lastUpdated",
            Moment(f"{alias}.{changed}"),
            "Instant de la dernière modification",
            "Instant of the latest change",
        ),
    )


def patient(definition: str, code: str = "patient") -> Parameter:
    return Parameter(
        code, "reference", f"{HL7}/{definition}", Selector(), "Patient concerné", "Patient concerned", ("identifier",)
    )


def token(code: str, definition: str, fr: str, en: str) -> Parameter:
    return Parameter(code, "token", definition, Tokens(), fr, en)


def identifier(resource_type: str, definition: str | None = None) -> Parameter:
    return token(
        "identifier",
        f"{HL7}/{definition or resource_type + '-identifier'}",
        "Identifiant national ou local",
        "National or local identifier",
    )
