"""One search value, from its text.  https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NoReturn
from zoneinfo import ZoneInfo

from dmp_fhir.canonicals import MHD_LIST_TYPES, URI
from dmp_fhir.outcome import refuse
from dmp_fhir.profiles.primitives import date_interval
from dmp_fhir.registry.search.definitions import PREFIXES, Parameter
from dmp_fhir.registry.search.query import DateValue, ReferenceValue, TextValue, TokenValue
from dmp_fhir.registry.search.sources import Flag
from dmp_fhir.registry.search.values import LONGEST_TEXT, bounded, fold, literal

PARIS = ZoneInfo("Europe/Paris")

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_DATE = re.compile(
    r"(?P<day>[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?)"
    r"(?:T(?P<minute>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2}(?:\.[0-9]{1,9})?)?(?P<zone>Z|[ +-][0-9]{2}:[0-9]{2})?)?"
)
# The PDSm examples write the system of MHD with http.
_SYSTEMS = {MHD_LIST_TYPES.replace("https:", "http:"): MHD_LIST_TYPES}


def split(text: str, separator: str) -> list[str]:
    """Parts between unescaped separators; escapes stay (`\\,` `\\|` `\\$` `\\\\`)."""
    parts, part, escaped = [], "", False
    for letter in text:
        if letter == separator and not escaped:
            parts.append(part)
            part = ""
        else:
            part += letter
        escaped = letter == "\\" and not escaped
    return [*parts, part]


def unescape(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping; a backslash before another letter is a letter."""
    return re.sub(r"\\([\\,|$])", r"\1", text)


def read_token(parameter: Parameter, text: str) -> TokenValue:
    parts = split(text, "|")
    if len(parts) > 2:
        _refuse_value(parameter, "système|code, avec \\| pour une barre", "system|code, with \\| for a bar")
    system = unescape(parts[0]) if len(parts) == 2 else None
    code = unescape(parts[-1]) or None
    if not system and code is None:
        _refuse_value(parameter, "un code", "a code")
    if isinstance(parameter.source, Flag):
        if code not in ("true", "false") or system:
            _refuse_value(parameter, "true ou false", "true or false")
        return TokenValue(None, code)
    if system is not None:
        system = bounded(_SYSTEMS.get(system, system))
    return TokenValue(system, bounded(code) if code else None)


def read_uri(text: str) -> TokenValue:
    """Compared as it is. https://hl7.org/fhir/R4/search.html#uri"""
    return TokenValue(None, bounded(unescape(text)))


def read_text(parameter: Parameter, text: str) -> TextValue:
    text = unescape(text)
    if len(text) >= LONGEST_TEXT:
        _refuse_value(parameter, f"un texte de moins de {LONGEST_TEXT} caractères", f"under {LONGEST_TEXT} characters")
    if not fold(text):
        _refuse_value(parameter, "au moins une lettre ou un chiffre", "at least one letter or digit")
    return TextValue(text)


def read_reference(parameter: Parameter, text: str, target: str | None, base_url: str) -> ReferenceValue:
    """`id`, `Type/id`, an address of this server, an address elsewhere, or `system|value`."""
    text = unescape(text)
    address = text.removeprefix(base_url.rstrip("/") + "/")
    found = literal(address)
    if found is None and _ID.fullmatch(text):
        only = parameter.targets[0] if len(parameter.targets) == 1 else ""
        return ReferenceValue(target or only, text)
    if found:
        if parameter.targets and found[0] not in parameter.targets:
            names = ", ".join(parameter.targets)
            _refuse_value(parameter, f"une référence vers {names}", f"a reference to {names}")
        if target and found[0] != target:
            _refuse_value(parameter, f"une référence vers {target}", f"a reference to {target}")
        return ReferenceValue(*found)
    system, bar, value = text.partition("|")
    if bar and value:
        return ReferenceValue(target or "", "", bounded(system), bounded(value))
    if ":" in text and not bar:
        return ReferenceValue(target or "", "", URI, bounded(text))
    _refuse_value(parameter, "id, Type/id, une adresse ou système|valeur", "id, Type/id, an address or system|value")


def read_identifier(parameter: Parameter, text: str, target: str | None) -> ReferenceValue:
    token = read_token(parameter, text)
    if token.code is None:
        _refuse_value(parameter, "système|valeur", "system|value")
    return ReferenceValue(target or "", "", token.system, token.code)


def read_date(parameter: Parameter, text: str) -> DateValue:
    """Prefix and date of any precision; minutes without seconds and a missing zone (Paris time) are understood."""
    prefix, date = (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)
    match = _DATE.fullmatch(date)
    if match is None or (match["minute"] and len(match["day"]) != 10):
        _refuse_date(parameter)
    try:
        if not match["minute"]:
            return DateValue(prefix, *date_interval(date))
        local = f"{match['day']}T{match['minute']}{match['second'] or ':00'}"
        # A `+` that was not percent-encoded arrives as a blank.
        zone = (match["zone"] or _paris_offset(local)).replace(" ", "+")
        low, high = date_interval(local + zone)
        return DateValue(prefix, low, high if match["second"] else low + 60_000)
    except (ValueError, OverflowError):
        _refuse_date(parameter)


def _paris_offset(local: str) -> str:
    offset = datetime.fromisoformat(local[:19]).replace(tzinfo=PARIS).strftime("%z")
    return f"{offset[:3]}:{offset[3:]}"


def _refuse_date(parameter: Parameter) -> NoReturn:
    _refuse_value(
        parameter,
        "une date AAAA, AAAA-MM, AAAA-MM-JJ ou AAAA-MM-JJThh:mm:ss+hh:mm, précédée au besoin de " + ", ".join(PREFIXES),
        "a date YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+hh:mm, preceded if need be by " + ", ".join(PREFIXES),
    )


def _refuse_value(parameter: Parameter, fr: str, en: str) -> NoReturn:
    """400; the value itself is not repeated: it may be health data or an identity (TF-152)."""
    refuse(
        400,
        "value",
        f"Valeur du paramètre « {parameter.code} » : donner {fr}.",
        f"Value of the parameter '{parameter.code}': give {en}.",
        rule="FHIR R4 search",
    )
