"""Logs: one event, one line of JSON on standard error; no health data, identity, query or token (TF-149 to TF-151).

What our code logs is written as it is, cut, with every number or secret of a client replaced by a pseudonym that is
the same wherever it occurs. What a library logs is reduced to its place in the code, and an exception to its kind and
the lines it went through: their texts may quote values. https://messervices.cyber.gouv.fr/guides (PA-012, logging)
"""

from __future__ import annotations

import hmac
import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from dmp_fhir.instants import instant_text

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMS = ("json", "text")
LONGEST_VALUE = 400
# Numbers of persons and structures, tokens, keys and hashes: any long run of what they are made of.
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TELLING = re.compile(
    rf"(?P<kept>\b{_UUID}\b)|eyJ[A-Za-z0-9_.=-]{{8,}}|[A-Za-z0-9+/_=-]{{32,}}|\d[\d .|/-]{{6,}}\d", re.ASCII
)
_REQUEST_ID = re.compile(rf"{_UUID}|[0-9a-f]{{32}}", re.ASCII)
# Made by our code alone.
_PLAIN = frozenset({"place", "kind", "number"})


class Pseudonyms:
    """`~` and 12 hexadecimal digits for a value, the same as long as the key is: `dmp-fhir pseudonym VALUE`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, value: str) -> str:
        return "~" + hmac.digest(self._key, value.encode("utf-8", "replace"), "sha256").hex()[:12]

    def clean(self, text: str) -> str:
        """The text without what could name somebody or open something, not longer than a line may be."""
        return cut(_TELLING.sub(self._replaced, text[: 4 * LONGEST_VALUE]))

    def _replaced(self, match: re.Match[str]) -> str:
        # A number has one pseudonym however it is spaced.
        return match["kept"] or self.of(re.sub(r"[ .|/-]", "", match[0]) if match[0][0].isdigit() else match[0])


def cut(text: str) -> str:
    """Not longer than a line may be, and text that UTF-8 can write."""
    text = text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
    return text.encode("utf-8", "replace").decode()


def request_id_shown(request_id: str) -> str | None:
    """A request id that is none of a person: a UUID, or 32 hexadecimal digits as a proxy makes them. Clients may send
    anything harmless in form, an INS too: that is not logged."""
    return request_id if _REQUEST_ID.fullmatch(request_id) else None


def place(fault: BaseException) -> str:
    """The lines of code that an exception went through, innermost first; no values."""
    frames = reversed(traceback.extract_tb(fault.__traceback__))
    return " < ".join(f"{each.filename}:{each.lineno}" for each in frames)


class _Lines(logging.Formatter):
    """`key` is the file of the pseudonyms' key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._pseudonyms = Pseudonyms(Path(key).read_bytes())

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        line: dict[str, Any] = {
            "time": instant_text(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "worker": record.process,
        }
        if record.name == "dmp_fhir.access":
            # Made by us of known words and numbers (http/observing.py): nothing to clean, and it is every request.
            return line | {"event": "request"} | record.__dict__["fields"]
        if record.name in ("_granian", "_granian.serve"):
            line["event"] = cut(_message(record))  # about its processes and the address it listens on
        elif record.name.partition(".")[0] == "dmp_fhir":
            clean = self._pseudonyms.clean
            line["event"] = clean(_message(record))
            for name, value in record.__dict__.get("fields", {}).items():
                line[name] = clean(value) if isinstance(value, str) and name not in _PLAIN else value
        else:
            line["event"] = "message of a library"
            line["place"] = f"{record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[1] is not None:
            fault = record.exc_info[1]
            line["kind"], line["place"] = type(fault).__name__, place(fault)
        return line


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)  # a template that does not go with its values


class JsonLines(_Lines):
    """For machines."""

    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(self.fields(record), default=lambda value: type(value).__name__).decode()


class TextLines(_Lines):
    """For a developer's terminal: the same, without names and braces."""

    def format(self, record: logging.LogRecord) -> str:
        line = self.fields(record)
        head = f"{line.pop('time')} {line.pop('level'):8} {line.pop('logger')} {line.pop('event')}"
        tail = " ".join(f"{name}={value}" for name, value in line.items())
        return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in f"{head} {tail}")


_FORMATTERS = {"json": "dmp_fhir.telemetry.logs.JsonLines", "text": "dmp_fhir.telemetry.logs.TextLines"}


def configuration(level: str, form: str, key: Path) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes; Granian gives it to every process of the server."""
    quiet = {"level": level.upper(), "propagate": True, "handlers": []}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": _FORMATTERS[form], "key": str(key)}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {name: dict(quiet) for name in ("dmp_fhir", "_granian", "granian.access")},
    }


@lru_cache(maxsize=1)
def catch_the_uncaught() -> None:
    """Exceptions that nobody catches, and warnings, become log lines: Python would print their texts, with values."""
    logger = logging.getLogger("dmp_fhir")

    def tell(kind: type[BaseException], fault: BaseException | None, trace: TracebackType | None) -> None:
        if fault is not None and not isinstance(fault, KeyboardInterrupt | SystemExit):
            logger.critical("uncaught exception", exc_info=(kind, fault, trace))

    sys.excepthook = tell
    threading.excepthook = lambda its: tell(its.exc_type, its.exc_value, its.exc_traceback)
    sys.unraisablehook = lambda its: tell(its.exc_type, its.exc_value, its.exc_traceback)
    logging.captureWarnings(True)
    # A handler that fails (standard error is gone) says nothing rather than the values of the record.
    logging.raiseExceptions = False
    # What no line of ours says is not looked up for each.
    logging.logThreads = logging.logMultiprocessing = False


def event(logger: logging.Logger, level: int, name: str, **fields: Any) -> None:
    """Log an event of ours; `fields` are words of ours, numbers and pseudonymous ids."""
    if logger.isEnabledFor(level):
        extra: Mapping[str, Any] = {"fields": fields}
        logger.log(level, name, extra=extra)
