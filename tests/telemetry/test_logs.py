"""One event, one line of JSON, and nothing of a person in it (TF-150, TF-151)."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmp_fhir.telemetry import logs
from dmp_fhir.telemetry.logs import LONGEST_VALUE, Pseudonyms, event, request_id_shown
from tests.support import tally

FORGED = (
    "a\r\n{}",
    "a\nlevel=critical",
    'a"}\n{"time":"2026-01-01T00:00:00Z","level":"info"',
    "a\tb",
    "a\x00b",
    "a\x1b[2K\x1b[1A",
    "a\x85b",
    "a\u2028b\u2029c",
    "%s%s%n",
    "%(levelname)s",
    "{0.__class__}",
    "${jndi:ldap://x}",
    "<script>",
    '"',
    "\\",
    "'",
    "\u202egnp.exe",
    "é" * 5000,
    "x " * 5000,
    "\r",
    "\x7f",
)


class Capture:
    def __init__(self, key: Path, form: str) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        formatter = {"json": logs.JsonLines, "text": logs.TextLines}[form]
        handler.setFormatter(formatter(str(key)))
        self.handler = handler
        self.logger = logging.getLogger("dmp_fhir.tests")

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture(params=["json", "text"])
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Capture]:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    found = Capture(key, request.param)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(found.handler)
    root.setLevel(logging.DEBUG)
    yield found
    root.removeHandler(found.handler)
    root.setLevel(level)


@pytest.mark.parametrize("value", FORGED, ids=ascii)
def test_tf_151_one_event_is_one_line(capture: Capture, value: str) -> None:
    """In the message, in its arguments, in a field's value."""
    capture.logger.error(value.replace("%", "%%"))
    capture.logger.error("about %s", value)
    event(capture.logger, logging.ERROR, "event", field=value)
    event(capture.logger, logging.ERROR, value)
    logging.getLogger("elsewhere").error(value.replace("%", "%%"))
    lines = capture.text.split("\n")
    assert len(lines) == 6
    assert lines[-1] == ""
    tally.count("F", "forged log lines tried", 5)
    tally.count("F", "forged log lines made", 0)
    for line in lines[:-1]:
        assert not any(each in line for each in "\r\x00\x1b\x85\u2028\u2029") or line.startswith("{")
        assert len(line) < 10 * LONGEST_VALUE
        if isinstance(capture.handler.formatter, logs.JsonLines):
            assert set(json.loads(line)) <= {"time", "level", "logger", "worker", "event", "field", "place"}
        else:
            assert all(each.isprintable() for each in line)


@pytest.mark.parametrize(
    "value",
    [
        "274036912390153",
        "2 74 03 69 123 901 53",
        "urn:oid:1.2.250.1.213.1.4.8|274036912390153",
        "899700000112",
        "06 12 34 56 78",
        "1974-03-12",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI4OTk3In0.c2ln",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "6Ju0Vf1mXzJcTg8bW4Yq2sPd7Rk9LhNaEuIoAeMf",
    ],
)
def test_numbers_and_secrets_become_pseudonyms(capture: Capture, value: str) -> None:
    capture.logger.warning("ceiling reached by %s", value)
    event(capture.logger, logging.WARNING, "ceiling", account=value)
    # The whole number, as it was written: two digits of it may well be in the time of the line.
    telling = max(value.split("|"), key=len)
    assert telling not in capture.text
    assert telling.replace(" ", "") not in capture.text
    first, second = (line[line.index("~") :][:13] for line in capture.text.splitlines())
    assert first == second


def test_a_number_has_one_pseudonym_that_the_operator_can_compute(capture: Capture) -> None:
    pseudonyms = Pseudonyms(bytes(range(32)))
    capture.logger.warning("account 899700000112, 8 99700000 112")
    assert capture.text.count(pseudonyms.of("899700000112")) == 2
    assert pseudonyms.of("899700000112") != Pseudonyms(bytes(32)).of("899700000112")


def test_ids_that_name_nobody_stay(capture: Capture) -> None:
    number = str(uuid.uuid4())
    capture.logger.warning("policy alert: document %s", number)
    assert number in capture.text


def test_libraries_say_where_not_what(capture: Capture) -> None:
    logging.getLogger("urllib3.connectionpool").debug("GET /fhir/Patient?identifier=%s", "274036912390153")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("py.warnings").warning("canary-title")
    assert "message of a library" in capture.text
    assert "canary" not in capture.text
    assert "27403" not in capture.text
    assert "test_logs:" in capture.text


def test_exceptions_say_kind_and_lines_not_values(capture: Capture) -> None:
    try:
        try:
            int("canary-274036912390153")
        except ValueError as inner:
            raise LookupError("canary-title") from inner
    except LookupError:
        capture.logger.exception("fault")
        capture.logger.error("fault", exc_info=True, stack_info=True)
    assert "canary" not in capture.text
    assert capture.text.count("LookupError") == 2
    assert "test_logs.py:" in capture.text


def test_a_template_that_does_not_go_with_its_values_is_no_fault(capture: Capture) -> None:
    record = capture.logger.makeRecord("dmp_fhir.tests", logging.ERROR, "file", 1, "two %s %s", ("one",), None)
    assert "two %s %s" in capture.handler.format(record)


def test_text_that_utf_8_cannot_write_is_no_fault(capture: Capture) -> None:
    """Not through the logger: pytest hands what it captures to other processes, and cannot either."""
    record = capture.logger.makeRecord("dmp_fhir.tests", logging.ERROR, "file", 1, "about %s", ("\ud800",), None)
    assert "about ?" in capture.handler.format(record)


def test_the_uncaught_are_told_without_values(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logs.catch_the_uncaught.cache_clear()
    logs.catch_the_uncaught()
    try:
        thread = threading.Thread(target=int, args=("canary-in-a-thread",))
        thread.start()
        thread.join()
        try:
            int("canary-at-the-top")
        except ValueError as fault:
            sys.excepthook(ValueError, fault, fault.__traceback__)
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    finally:
        logging.captureWarnings(False)
        logs.catch_the_uncaught.cache_clear()
    assert "canary" not in capture.text
    assert capture.text.count("uncaught exception") == 2
    assert capture.text.count("ValueError") == 2


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("c87db860-bb0c-43de-8fd9-1b8426a43a97", True),
        ("0123456789abcdef0123456789abcdef", True),
        ("274036912390153", False),
        ("Claire-Martin", False),
        ("", False),
        ("x-0123456789abcdef0123456789abcdef", False),
    ],
)
def test_request_ids_that_may_name_somebody_are_not_shown(given: str, shown: bool) -> None:
    assert request_id_shown(given) == (given if shown else None)


@pytest.mark.parametrize("level", logs.LEVELS)
@pytest.mark.parametrize("form", logs.FORMS)
def test_the_configuration_is_one_that_logging_takes(level: str, form: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    names = ("", "dmp_fhir", "_granian", "granian.access")
    before = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in names]
    try:
        logging.config.dictConfig(logs.configuration(level, form, key))
        assert logging.getLogger("dmp_fhir.access").isEnabledFor(logging.INFO) == (level in ("debug", "info"))
    finally:
        for name, (was, handlers) in zip(names, before, strict=True):
            logging.getLogger(name).setLevel(was)
            logging.getLogger(name).handlers = handlers
