"""Search parameters as sent -> a query. https://hl7.org/fhir/R4/search.html

Strict (D11): what is not supported is refused with the list of what is, unless the client says `Prefer:
handling=lenient`; then it is left aside, absent from the self link and reported. A modifier that a known parameter
does not have, and a value that is not of its type, are always refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import NoReturn

from dmp_fhir.outcome import Issue, error, refuse, refuse_all, warning
from dmp_fhir.registry.search.definitions import Parameter
from dmp_fhir.registry.search.parameters import (
    INCLUDES,
    RESULT_PARAMETERS,
    REVINCLUDES,
    SORTS,
    declared,
    parameter,
)
from dmp_fhir.registry.search.query import (
    Criterion,
    PatientById,
    PatientByIdentifier,
    SearchQuery,
    Value,
)
from dmp_fhir.registry.search.readers import (
    read_date,
    read_identifier,
    read_reference,
    read_text,
    read_token,
    read_uri,
    split,
)
from dmp_fhir.registry.search.sources import Selector

DEFAULT_COUNT = 20
MOST_COUNT = 200
MOST_VALUES = 100
MOST_PARAMETERS = 50
MOST_SORT_KEYS = 3
LONGEST_RAW = 16_384
LONGEST_PART = 1_024

_NAME = re.compile(r"(_?[A-Za-z][A-Za-z-]*)(?::([A-Za-z-]{1,32}))?(?:\.([A-Za-z]{1,32})(?::([A-Za-z-]{1,32}))?)?")
# What the HTTP layer reads for itself.
_ELSEWHERE = frozenset({"_format", "_pretty"})


@dataclass(slots=True)
class _Draft:
    query: SearchQuery
    lenient: bool
    base_url: str
    criteria: list[Criterion] = field(default_factory=list)
    patients: list[PatientById | PatientByIdentifier] = field(default_factory=list)
    unsupported: list[tuple[str, str]] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)

    def set(self, **values: object) -> None:
        self.query = replace(self.query, **values)  # type: ignore[arg-type]


def parse(resource_type: str, pairs: list[tuple[str, str]], *, lenient: bool, base_url: str) -> SearchQuery:
    """The query of `pairs` (names and values, decoded, in the order sent). Refused (400) when a part is not supported
    and the client is not lenient, is malformed or contradicts another part (TF-114); 413 when it costs too much
    (TF-121)."""
    if not declared(resource_type):
        refuse(
            400,
            "not-supported",
            "Ce type de ressource ne se recherche pas ici.",
            "This type of resource is not searched here.",
        )
    draft = _Draft(SearchQuery(resource_type, count=DEFAULT_COUNT), lenient, base_url)
    if len(pairs) > MOST_PARAMETERS:
        _too_costly(f"{MOST_PARAMETERS} paramètres au plus.", f"At most {MOST_PARAMETERS} parameters.")
    for name, value in pairs:
        if name in _ELSEWHERE:
            continue
        _check_size(value)
        if name.partition(":")[0] in RESULT_PARAMETERS:
            _read_result(draft, name, value)
        else:
            _read_criterion(draft, name, value)
    _check_patients(draft.patients)
    return replace(
        draft.query,
        patients=tuple(dict.fromkeys(draft.patients)),
        criteria=tuple(draft.criteria),
        remarks=_remarks(draft),
        used=tuple(draft.used),
    )


def _read_criterion(draft: _Draft, name: str, value: str) -> None:
    match = _NAME.fullmatch(name)
    known = parameter(draft.query.resource_type, match[1]) if match else None
    if match is None or known is None:
        return draft.unsupported.append((name, ""))
    modifier, chain, chain_modifier = match[2], match[3], match[4]
    if chain and chain not in known.chains:
        return draft.unsupported.append((name, ""))
    target = None
    if modifier and modifier[0].isupper():
        if known.type != "reference" or (known.targets and modifier not in known.targets):
            _refuse_modifier(known, modifier)
        target, modifier = modifier, None
    if chain and modifier:
        _refuse_modifier(known, modifier)
    if isinstance(known.source, Selector):
        _read_patient(draft, known, modifier or chain_modifier, chain, value)
    elif chain:
        draft.criteria.append(_read_chain(known, chain, chain_modifier, target, value))
    else:
        if modifier and modifier not in known.modifiers:
            _refuse_modifier(known, modifier)
        draft.criteria.append(_read_values(draft, known, modifier, target, value))
    draft.used.append((name, value))
    if draft.query.resource_type == "Patient" and known.code in ("_id", "identifier") and modifier is None:
        _select_record(draft, known, value)
    return None


def _read_values(draft: _Draft, known: Parameter, modifier: str | None, target: str | None, value: str) -> Criterion:
    if modifier == "missing":
        if value not in ("true", "false"):
            refuse(
                400,
                "value",
                f"« {known.code}:missing » vaut true ou false.",
                f"'{known.code}:missing' is true or false.",
                rule="FHIR R4 search",
            )
        return Criterion(known, (), "missing", missing=value == "true")
    values: list[Value] = []
    for part in _parts(value):
        match known.type:
            case "token":
                values.append(read_token(known, part))
            case "uri":
                values.append(read_uri(part))
            case "string":
                values.append(read_text(known, part))
            case "date":
                values.append(read_date(known, part))
            case _ if modifier == "identifier":
                values.append(read_identifier(known, part, target))
            case _:
                values.append(read_reference(known, part, target, draft.base_url))
    return Criterion(known, tuple(values), modifier, target)


def _read_chain(known: Parameter, chain: str, modifier: str | None, target: str | None, value: str) -> Criterion:
    if chain == "identifier":
        if modifier:
            _refuse_modifier(known, modifier)
        identifiers = tuple(read_identifier(known, part, target) for part in _parts(value))
        return Criterion(known, identifiers, None, target, chain)
    if modifier not in (None, "exact", "contains"):
        _refuse_modifier(known, modifier)
    return Criterion(known, tuple(read_text(known, part) for part in _parts(value)), modifier, target, chain)


# --- the patient ----------------------------------------------------------------------------------


def _read_patient(draft: _Draft, known: Parameter, modifier: str | None, chain: str | None, value: str) -> None:
    """One patient, by id or by identifier: a search never spans two records (TF-008, TF-031)."""
    if modifier not in (None, "identifier") or (chain and modifier):
        _refuse_modifier(known, modifier or "")
    if len(_parts(value)) != 1:
        _refuse_patients("Donner un seul patient.", "Give one patient only.")
    if chain or modifier:
        found = read_identifier(known, value, "Patient")
    else:
        found = read_reference(known, value, "Patient", draft.base_url)
        if not found.id and "|" not in value:
            _refuse_patients(
                "Désigner un patient de ce serveur : Patient/id, ou patient.identifier.",
                "Name a patient of this server: Patient/id, or patient.identifier.",
            )
    draft.patients.append(PatientById(found.id) if found.id else PatientByIdentifier(found.system, found.value))


def _select_record(draft: _Draft, known: Parameter, value: str) -> None:
    """`Patient?identifier=` (TD0.2) and `Patient?_id=` name the record too; they also stay criteria."""
    if len(_parts(value)) != 1:
        _refuse_patients("Donner un seul patient.", "Give one patient only.")
    token = read_token(known, value)
    if token.code is None:
        _refuse_patients("Donner l'identifiant complet.", "Give the whole identifier.")
    by_id = known.code == "_id"
    draft.patients.append(PatientById(token.code) if by_id else PatientByIdentifier(token.system, token.code))


def _check_patients(patients: list[PatientById | PatientByIdentifier]) -> None:
    """Different ids are different patients. Different identifiers may be one patient: finding the record tells."""
    if len({each.id for each in patients if isinstance(each, PatientById)}) > 1:
        _refuse_patients("Les paramètres désignent des patients différents.", "The parameters name different patients.")


def _refuse_patients(fr: str, en: str) -> NoReturn:
    refuse(400, "invalid", fr, en, rule="TF-031")


# --- result parameters ----------------------------------------------------------------------------


def _read_result(draft: _Draft, name: str, value: str) -> None:
    if name not in RESULT_PARAMETERS:
        return draft.unsupported.append((name, ""))
    if name not in ("_include", "_revinclude") and any(used == name for used, _ in draft.used):
        refuse(
            400,
            "invalid",
            f"« {name} » ne se répète pas.",
            f"'{name}' is not repeated.",
            rule="TF-114",
        )
    match name:
        case "_count":
            value = _read_count(draft, value)
        case "_sort":
            if not _read_sort(draft, value):
                return None
        case "_total":
            if value not in ("none", "accurate", "estimate"):
                return draft.unsupported.append((name, "none, accurate, estimate"))
            draft.set(with_total=value != "none")
        case "_summary":
            if value not in ("count", "false"):
                return draft.unsupported.append((name, "count, false"))
            draft.set(count_only=value == "count" or draft.query.count_only)
        case _:
            allowed = (INCLUDES if name == "_include" else REVINCLUDES).get(draft.query.resource_type, ())
            if value not in allowed:
                return draft.unsupported.append((name, ", ".join(allowed) or "-"))
            attribute = "includes" if name == "_include" else "revincludes"
            known = getattr(draft.query, attribute)
            draft.set(**{attribute: tuple(dict.fromkeys((*known, value)))})
    draft.used.append((name, value))
    return None


def _read_count(draft: _Draft, value: str) -> str:
    """More than the most is answered by the most, which the self link shows; 0 asks for the total only."""
    if not re.fullmatch(r"[0-9]{1,6}", value):
        refuse(
            400,
            "value",
            f"« _count » est un nombre entier de 0 à {MOST_COUNT}.",
            f"'_count' is a whole number from 0 to {MOST_COUNT}.",
            rule="TF-121",
        )
    count = min(int(value), MOST_COUNT)
    draft.set(count=count or DEFAULT_COUNT, count_only=draft.query.count_only or count == 0)
    return str(count)


def _read_sort(draft: _Draft, value: str) -> bool:
    known = SORTS[draft.query.resource_type]
    keys = [(key.removeprefix("-"), key.startswith("-")) for key in value.split(",")]
    if len(keys) > MOST_SORT_KEYS:
        _too_costly(f"{MOST_SORT_KEYS} clés de tri au plus.", f"At most {MOST_SORT_KEYS} sort keys.")
    if any(key not in known for key, _ in keys):
        draft.unsupported.append(("_sort", ", ".join(known)))
        return False
    first: dict[str, bool] = {}
    for key, descends in keys:
        first.setdefault(key, descends)
    draft.set(sort=tuple(first.items()))
    return True


# --- limits and refusals --------------------------------------------------------------------------


def _check_size(value: str) -> None:
    if len(value) > LONGEST_RAW:
        _too_costly("Valeur trop longue.", "The value is too long.")
    if not value.strip():
        refuse(
            400,
            "required",
            "Un paramètre de recherche est vide : lui donner une valeur ou le retirer.",
            "A search parameter is empty: give it a value or leave it out.",
            rule="TF-008",
        )
    if any(letter < " " or "\ud800" <= letter <= "\udfff" or letter == "\x7f" for letter in value):
        refuse(
            400,
            "value",
            "Une valeur contient un caractère de commande.",
            "A value holds a control character.",
            rule="TF-118",
        )


def _parts(value: str) -> list[str]:
    parts = split(value, ",")
    if len(parts) > MOST_VALUES or any(len(part) > LONGEST_PART for part in parts):
        _too_costly(
            f"{MOST_VALUES} valeurs de {LONGEST_PART} caractères au plus.",
            f"At most {MOST_VALUES} values of {LONGEST_PART} characters.",
        )
    if not all(part.strip() for part in parts):
        refuse(
            400,
            "value",
            "Une liste de valeurs contient une valeur vide.",
            "A list of values holds an empty value.",
            rule="FHIR R4 search",
        )
    return parts


def _remarks(draft: _Draft) -> tuple[Issue, ...]:
    """Refuses what is not supported, or says that it was left aside."""
    if not draft.unsupported:
        return ()
    supported = supported_names(draft.query.resource_type)
    issues = []
    for name, allowed in draft.unsupported:
        shown = re.sub(r"[^A-Za-z0-9_.:-]", "?", name)[:64]
        values = allowed or supported
        if draft.lenient:
            issues.append(
                warning(
                    "not-supported",
                    f"Le paramètre « {shown} » a été laissé de côté. Pris en charge : {values}.",
                    f"The parameter '{shown}' was left aside. Supported: {values}.",
                    rule="D11",
                )
            )
        else:
            issues.append(
                error(
                    "not-supported",
                    f"Le paramètre « {shown} », ou sa valeur, n'est pas pris en charge. Pris en charge : {values}.",
                    f"The parameter '{shown}', or its value, is not supported. Supported: {values}.",
                    rule="D11",
                )
            )
    if not draft.lenient:
        refuse_all(400, issues)
    return tuple(issues)


def supported_names(resource_type: str) -> str:
    """Every parameter of a type with its chains, for people."""
    names = []
    for each in declared(resource_type):
        names += [each.code, *(f"{each.code}.{chain}" for chain in each.chains)]
    return ", ".join([*names, *RESULT_PARAMETERS])


def _refuse_modifier(known: Parameter, modifier: str) -> NoReturn:
    shown = re.sub(r"[^A-Za-z-]", "?", modifier)[:32]
    allowed = ", ".join(f":{each}" for each in (*known.modifiers, *known.targets)) or "-"
    refuse(
        400,
        "not-supported",
        f"Le paramètre « {known.code} » n'a pas le modificateur « :{shown} ». Admis : {allowed}.",
        f"The parameter '{known.code}' does not have the modifier ':{shown}'. Allowed: {allowed}.",
        rule="FHIR R4 search",
    )


def _too_costly(fr: str, en: str) -> NoReturn:
    refuse(413, "too-costly", fr, en, rule="TF-121")
