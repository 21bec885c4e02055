"""No pattern of the program can be made slow: TF-120. Every one is found, read and attacked."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import re._constants as sre  # the parse tree of a pattern: the only way to see a nested repetition
import re._parser as parser
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import dmp_fhir
from dmp_fhir.conformance.files import LOADER

# The conformance suite matches with patterns of its own data, in a process of its own: no client reaches them.
_SUITE = Path(dmp_fhir.__file__).parent / "conformance"
LENGTH = 50_000
MOST_SECONDS = 0.1
MOST_LETTERS = 12
_ROOT = Path(dmp_fhir.__file__).parent
_SEARCHES = ("search", "sub", "subn", "findall", "finditer", "split")
_MATCHES = ("match", "fullmatch")
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)


def modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(dmp_fhir.__path__, "dmp_fhir."):
        if ".migrations" not in info.name and ".conformance" not in info.name:
            yield importlib.import_module(info.name)


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict) and depth < 3:
        for each in value.values():
            yield from patterns_in(each, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset) and depth < 3:
        for each in value:
            yield from patterns_in(each, depth + 1)


def inline_patterns() -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    """Those written in a call, `re.sub(r"…", …)`; an assertion stops the run at one that is not a constant."""
    for path in sorted(_ROOT.rglob("*.py")):
        if _SUITE in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                f"re.{each}" for each in (*_SEARCHES, *_MATCHES)
            }:
                assert isinstance(node.args[0], ast.Constant), (path, node.lineno)
                searched = ast.unparse(node.func).removeprefix("re.") in _SEARCHES
                yield f"{path.relative_to(_ROOT)}:{node.lineno}", re.compile(node.args[0].value), searched


def all_patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Every pattern by name, and whether it is searched for (anywhere in a text) rather than matched from its start."""
    sources = "\n".join(path.read_text() for path in sorted(_ROOT.rglob("*.py")))
    found = {name: (pattern, searched) for name, pattern, searched in inline_patterns()}
    for module in modules():
        for name, value in vars(module).items():
            for n, pattern in enumerate(patterns_in(value)):
                searched = re.search(rf"\b{name}\.({'|'.join(_SEARCHES)})\(", sources) is not None
                found[f"{module.__name__}.{name}{f'[{n}]' if n else ''}"] = (pattern, searched)
    return found


PATTERNS = all_patterns()


def letters(tree: Any) -> set[str]:
    """Characters that a pattern names: what an attack is made of."""
    found: set[str] = set()
    for op, argument in tree:
        if op in (sre.LITERAL, sre.NOT_LITERAL):
            found.add(chr(argument))
        elif op is sre.RANGE:
            found |= {chr(argument[0]), chr(argument[1])}
        elif op is sre.IN:
            found |= letters(argument)
        elif op is sre.BRANCH:
            found |= set().union(*(letters(each) for each in argument[1]))
        elif op is sre.SUBPATTERN:
            found |= letters(argument[3])
        elif op in (*_REPEATS, sre.POSSESSIVE_REPEAT):
            found |= letters(argument[2])
        elif op in (sre.ASSERT, sre.ASSERT_NOT):
            found |= letters(argument[1])
        elif op is sre.ATOMIC_GROUP:
            found |= letters(argument)
    return found


def attacks(pattern: re.Pattern[Any]) -> Iterator[str]:
    tree = parser.parse(pattern.pattern, pattern.flags)
    alphabet = sorted(letters(tree) | set("a0. -\n"))
    if len(alphabet) > MOST_LETTERS:
        alphabet = alphabet[:: len(alphabet) // MOST_LETTERS + 1]
    for letter in alphabet:
        for end in ("", "\0", "!"):
            yield letter * LENGTH + end
    for pair in itertools.islice(itertools.permutations(alphabet, 2), 20):
        yield "".join(pair) * (LENGTH // 2) + "\0"
    for beginning in ('{"', "<?xml ", "2024-", "urn:oid:1", "http://a/", 'W/"', "Bearer ", "/extension[url:'"):
        for letter in alphabet[::4]:
            yield beginning + letter * LENGTH + "\0"


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_no_text_makes_it_slow(name: str) -> None:
    pattern, searched = PATTERNS[name]
    for text in attacks(pattern):
        subject = text.encode() if isinstance(pattern.pattern, bytes) else text
        started = time.process_time()
        (pattern.search if searched else pattern.fullmatch)(subject)
        if not searched:
            pattern.match(subject)
        elapsed = time.process_time() - started
        assert elapsed < MOST_SECONDS, (pattern.pattern[:200], text[:20], elapsed)


def unbounded(tree: Any, *, inside: bool = False) -> bool:
    """Whether a repetition without end stands inside another one."""
    for op, argument in tree:
        if op in _REPEATS:
            endless = argument[1] is sre.MAXREPEAT
            if (endless and inside) or unbounded(argument[2], inside=inside or endless):
                return True
        elif op is sre.BRANCH:
            if any(unbounded(each, inside=inside) for each in argument[1]):
                return True
        elif op is sre.SUBPATTERN and unbounded(argument[3], inside=inside):
            return True
    return False


# Repetitions that can't overlap, each attacked above: the inner one begins with a letter the outer one needs.
DISJOINT = {
    "dmp_fhir.wire.json._TOKEN",
    "dmp_fhir.wire.positions._STRING",
    "dmp_fhir.profiles.primitives._OID",
    "dmp_fhir.profiles.primitives._CODE",
    "dmp_fhir.profiles.fhirpath_parser._LEXEME",
}


def test_no_repetition_inside_a_repetition() -> None:
    nested = {
        name for name, (pattern, _) in PATTERNS.items() if unbounded(parser.parse(pattern.pattern, pattern.flags))
    }
    assert nested <= DISJOINT


def test_nothing_is_unpickled_or_evaluated() -> None:
    """TF-122, TF-125, TF-126: no loader of objects, no evaluator, no template made of text."""
    modules_refused = {"pickle", "marshal", "shelve", "yaml", "dill", "jsonpickle", "xml", "jinja2"}
    calls_refused = {"eval", "exec", "compile", "__import__", "render_template_string", "etree.XSLT", "os.system"}
    calls_refused |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    # Lines and columns, of bytes that were parsed safely before.
    allowed = {"wire/positions.py: xml"}
    # One page, from a template of the package: what it shows are numbers and months.
    allowed |= {"http/barometer.py: jinja2"}
    # The scenarios of the suite, read in one place with a safe loader (the others name its error); its reports, from
    # templates of the package that escape.
    suite = {
        "yaml": ("config", "scenarios", "files", "clients/expectations"),
        "yaml.load": ("files",),
        "jinja2": ("reports/html", "clients/report"),
    }
    allowed |= {f"conformance/{name}.py: {module}" for module, names in suite.items() for name in names}
    assert LOADER in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", None))
    found = set()
    for path in sorted(_ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names} & modules_refused
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = {(node.module or "").partition(".")[0]} & modules_refused
            elif isinstance(node, ast.Call):
                names = {ast.unparse(node.func)} & calls_refused
            found |= {f"{path.relative_to(_ROOT)}: {name}" for name in names}
    assert found == allowed
