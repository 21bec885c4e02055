"""The primitive types of R4: their formats, and the span of time a date stands for.

https://hl7.org/fhir/R4/datatypes.html#primitive. Patterns are ASCII and have no nested repetition, so that no text
makes them slow (TF-105, TF-106, TF-120). Dates are checked against the calendar.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from dmp_fhir.wire.json import Digits

PARIS = ZoneInfo("Europe/Paris")
_UTC = UTC
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
_DAY = 86_400_000
LONGEST_STRING = 1_048_576

_DATE = re.compile(r"([0-9]{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01]))?)?", re.ASCII)
_MOMENT = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
    r"(?:\.([0-9]{1,20}))?(Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)",
    re.ASCII,
)
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?", re.ASCII)
_CODE = re.compile(r"[^\s]+(?: [^\s]+)*")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_URI = re.compile(r"[^\s]+")
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_URN = frozenset({"urn:", "URN:", "Urn:", "uRn:", "urN:", "URn:", "UrN:", "uRN:"})
_BLANKS = re.compile(r"[ \t\r\n]+")


def date_interval(text: str) -> tuple[int, int]:
    """The half-open interval [low, high) of milliseconds since 1970 UTC that a date, dateTime or instant stands for.

    A year, a month or a day without zone is one of France (Europe/Paris): R4 leaves the choice to the server
    (https://hl7.org/fhir/R4/search.html#date) and a French patient's 3 May is that of the French calendar. A second
    without fraction is a whole second; digits beyond the millisecond are dropped. Raises ValueError, in English.
    """
    if len(text) > 10:
        return _moment(text)
    match = _DATE.fullmatch(text)
    if match is None or match[1] == "0000":
        raise ValueError("not a date: YYYY, YYYY-MM, YYYY-MM-DD")
    year = int(match[1])
    if match[3]:
        first = date(year, int(match[2]), int(match[3]))
        return _midnight(first.toordinal()), _midnight(first.toordinal() + 1)
    if match[2]:
        month = int(match[2])
        after = (year, month + 1) if month < 12 else (year + 1, 1)
        return _midnight(date(year, month, 1).toordinal()), _first_of(*after)
    return _midnight(date(year, 1, 1).toordinal()), _first_of(year + 1, 1)


def _first_of(year: int, month: int) -> int:
    last = date(year - 1, 12, 31) if month == 1 else date(year, month, 1) - timedelta(days=1)
    return _midnight(last.toordinal() + 1)


def _midnight(ordinal: int) -> int:
    """Instant of a day's beginning in France. The day after 9999-12-31 is counted without a zone."""
    if ordinal > date.max.toordinal():
        return _midnight(date.max.toordinal()) + _DAY
    local = datetime.fromordinal(ordinal)
    offset = local.replace(tzinfo=PARIS).utcoffset() or timedelta()
    return _milliseconds(local.replace(tzinfo=_UTC)) - int(offset.total_seconds()) * 1000


def _milliseconds(moment: datetime) -> int:
    span = moment - _EPOCH
    return span.days * _DAY + span.seconds * 1000 + span.microseconds // 1000


def _moment(text: str) -> tuple[int, int]:
    match = _MOMENT.fullmatch(text)
    if match is None or match[1] == "0000":
        raise ValueError("not a moment: YYYY-MM-DDThh:mm:ss+zz:zz (or Z), with or without a fraction")
    day = date(int(match[1]), int(match[2]), int(match[3])).toordinal() - _EPOCH.toordinal()
    seconds = day * 86_400 + int(match[4]) * 3600 + int(match[5]) * 60 + int(match[6])
    zone = match[8]
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds += offset if zone[0] == "-" else -offset
    if match[6] == "60" and seconds % 86_400:
        raise ValueError("a leap second falls at 23:59:60 UTC")
    fraction = match[7]
    if fraction is None:
        return seconds * 1000, seconds * 1000 + 1000
    low = seconds * 1000 + int((fraction + "00")[:3])
    return low, low + (10 ** (3 - len(fraction)) if len(fraction) < 3 else 1)


def is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None or match[1] == "0000":
        return False
    return match[3] is None or int(match[3]) <= monthrange(int(match[1]), int(match[2]))[1]


def is_datetime(text: str) -> bool:
    return is_date(text) if len(text) <= 10 else is_instant(text)


def is_instant(text: str) -> bool:
    if len(text) <= 10:
        return False
    try:
        _moment(text)
    except ValueError:
        return False
    return True


def is_string(text: str) -> bool:
    """Text with something in it: only white space says nothing."""
    return text != "" and not text.isspace() and len(text) <= LONGEST_STRING


def is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """R4 asks for no white space; oid and uuid URNs are checked in their own form wherever they stand (TF-106)."""
    if _URI.fullmatch(text) is None:
        return False
    if text[:4] not in _URN:
        return True
    if text[:8].lower() == "urn:oid:":
        return _OID.fullmatch(text) is not None
    return text[:9].lower() != "urn:uuid:" or _UUID.fullmatch(text.lower()) is not None


def is_oid(text: str) -> bool:
    return _OID.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def is_base64(text: str) -> bool:
    """RFC 4648 with its padding; R4 lets white space stand between the characters."""
    compact = _BLANKS.sub("", text) if " " in text or "\n" in text or "\r" in text or "\t" in text else text
    return text != "" and len(compact) % 4 == 0 and _BASE64.fullmatch(compact) is not None and compact != ""


def is_time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None


def _integer_of(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= 2_147_483_647


def is_decimal(value: Any) -> bool:
    return type(value) is int or isinstance(value, Digits)


# The primitive types written as JSON strings, with the test of their text; then the others, with the test of a value.
TEXTS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "base64Binary": is_base64,
        "canonical": is_uri,
        "code": is_code,
        "date": is_date,
        "dateTime": is_datetime,
        "id": is_id,
        "instant": is_instant,
        "markdown": is_string,
        "oid": is_oid,
        "string": is_string,
        "time": is_time,
        "uri": is_uri,
        "url": is_uri,
        "uuid": is_uuid,
        "xhtml": is_string,
    }
)
VALUES: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "boolean": lambda value: type(value) is bool,
        "decimal": is_decimal,
        "integer": _integer_of(-2_147_483_648),
        "positiveInt": _integer_of(1),
        "unsignedInt": _integer_of(0),
    }
)

# Of some types, tests that only right texts pass, and most of them: one pattern, no calendar, no address inside the
# resource. What does not pass is asked the whole test.
_DAY_OF_ANY_YEAR = (
    "(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    "|(?:0[13578]|1[02])-(?:29|3[01])|(?:0[469]|11)-(?:29|30))"
)
_MOMENT_OF_ANY_DAY = (
    _DAY_OF_ANY_YEAR + r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,20})?"
    "(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])"
)
_ADDRESS = re.compile(rf"https?://\S+|urn:oid:[0-2](?:\.[1-9][0-9]*+)++|{_UUID.pattern}|urn:(?:ietf|ihe):\S+").fullmatch
AT_ONCE: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {
        "canonical": _ADDRESS,
        "code": re.compile(r"\S+").fullmatch,
        "date": re.compile(_DAY_OF_ANY_YEAR).fullmatch,
        "dateTime": re.compile(_MOMENT_OF_ANY_DAY).fullmatch,
        "id": _ID.fullmatch,
        "instant": re.compile(_MOMENT_OF_ANY_DAY).fullmatch,
        "markdown": re.compile(r"\S.{0,2000}", re.DOTALL).fullmatch,
        "oid": _OID.fullmatch,
        "string": re.compile(r"\S.{0,2000}", re.DOTALL).fullmatch,
        "uri": _ADDRESS,
        "url": _ADDRESS,
        "uuid": _UUID.fullmatch,
    }
)


def is_primitive_value(type_name: str, value: Any) -> bool:
    """Whether a value of a tree is one of this R4 primitive type. Raises KeyError for no primitive type."""
    if type_name in VALUES:
        return VALUES[type_name](value)
    return type(value) is str and TEXTS[type_name](value)


# What each expects, to say in a refusal: French, English.
EXPECTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "base64Binary": ("du base64 complet, avec ses « = »", "complete base64, with its '='"),
        "boolean": ("true ou false, sans guillemets", "true or false, without quotes"),
        "canonical": ("une adresse sans blanc", "an address without blanks"),
        "code": ("un code, sans blanc au début ni à la fin", "a code, without blanks at either end"),
        "date": ("une date réelle : AAAA, AAAA-MM ou AAAA-MM-JJ", "a real date: YYYY, YYYY-MM or YYYY-MM-DD"),
        "dateTime": (
            "une date réelle : AAAA, AAAA-MM, AAAA-MM-JJ ou AAAA-MM-JJThh:mm:ss+zz:zz",
            "a real date: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz",
        ),
        "decimal": ("un nombre, sans guillemets", "a number, without quotes"),
        "id": ("1 à 64 lettres ASCII, chiffres, « - » ou « . »", "1 to 64 ASCII letters, digits, '-' or '.'"),
        "instant": ("un moment complet : AAAA-MM-JJThh:mm:ss+zz:zz", "a complete moment: YYYY-MM-DDThh:mm:ss+zz:zz"),
        "integer": ("un entier de 32 bits, sans guillemets", "a 32-bit integer, without quotes"),
        "markdown": ("un texte non vide", "a text that is not blank"),
        "oid": ("urn:oid: suivi d'un OID", "urn:oid: followed by an OID"),
        "positiveInt": ("un entier de 1 à 2147483647", "an integer from 1 to 2147483647"),
        "string": ("un texte non vide", "a text that is not blank"),
        "time": ("une heure : hh:mm:ss", "a time: hh:mm:ss"),
        "unsignedInt": ("un entier de 0 à 2147483647", "an integer from 0 to 2147483647"),
        "uri": (
            "une adresse (URI) sans blanc, bien formée si urn:oid ou urn:uuid",
            "a URI without blanks, well-formed if urn:oid or urn:uuid",
        ),
        "url": ("une adresse (URL) sans blanc", "a URL without blanks"),
        "uuid": ("urn:uuid: suivi d'un UUID en minuscules", "urn:uuid: followed by a UUID in lower case"),
        "xhtml": ("un élément div XHTML", "an XHTML div element"),
    }
)
