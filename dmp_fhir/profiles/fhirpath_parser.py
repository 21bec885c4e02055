"""FHIRPath text to a tree of tuples: a Pratt parser for the expressions that R4 and its profiles use.

A node is a tuple whose first item names it: ("literal", value), ("member", target | None, name),
("call", target | None, name, arguments), ("variable", name), ("this",), ("empty",), ("negate", operand),
("binary", operator, left, right), ("type", "is" | "as", operand, type name), ("index", target, index).
Grammar and precedence: http://hl7.org/fhirpath/N1/#operator-precedence
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

Node = tuple[Any, ...]


class FhirPathError(ValueError):
    """An expression, or a part of one, that is not understood. The text says which."""


_LEXEME = re.compile(
    r"""\s*(?:
      (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<quoted>`(?:[^`\\]|\\.)*`)
    | (?P<date>@[0-9T][0-9T:.Z+-]*)
    | (?P<variable>%(?:[A-Za-z_][A-Za-z0-9_]*|'[^']*'|`[^`]*`))
    | (?P<dollar>\$[a-z]+)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<operator><=|>=|!=|!~|[-+*/&|=~<>.,()\[\]{}])
    )""",
    re.VERBOSE,
)
# Binding power of the binary operators, strongest highest.
_POWER = {
    "*": 11, "/": 11, "div": 11, "mod": 11,
    "+": 10, "-": 10, "&": 10,
    "is": 9, "as": 9,
    "|": 8,
    "<": 7, ">": 7, "<=": 7, ">=": 7,
    "=": 6, "!=": 6, "~": 6, "!~": 6,
    "in": 5, "contains": 5,
    "and": 4,
    "xor": 3, "or": 3,
    "implies": 2,
}  # fmt: skip
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


def parse(text: str) -> Node:
    """The tree of an expression. Raises FhirPathError."""
    return _Parser(text).whole()


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    return _ESCAPE.sub(one, text)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        place = 0
        while text[place:].strip():
            match = _LEXEME.match(text, place)
            if match is None or match.lastgroup is None:
                raise FhirPathError(f"not understood at {place}: {text[place : place + 20]!r} in {text!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()

    def whole(self) -> Node:
        node = self.expression(0)
        if self.at < len(self.tokens):
            raise self.unexpected()
        return node

    def unexpected(self) -> FhirPathError:
        shown = self.tokens[self.at][1] if self.at < len(self.tokens) else "the end"
        return FhirPathError(f"unexpected {shown} in {self.text!r}")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, text: str) -> bool:
        if self.peek() == ("operator", text):
            self.at += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.take(text):
            raise self.unexpected()

    def expression(self, least: int) -> Node:
        left = self.prefix()
        while True:
            kind, text = self.peek()
            power = _POWER.get(text, 0) if kind in ("operator", "name") else 0
            if not power or power < least:
                return left
            self.at += 1
            if text in ("is", "as"):
                left = ("type", text, left, self.type_name())
            else:
                left = ("binary", text, left, self.expression(power + 1))

    def type_name(self) -> str:
        kind, text = self.peek()
        if kind not in ("name", "quoted"):
            raise self.unexpected()
        self.at += 1
        if text in ("FHIR", "System") and self.take("."):
            return self.type_name()
        return text.strip("`")

    def prefix(self) -> Node:
        if self.take("-"):
            return ("negate", self.expression(12))
        if self.take("+"):
            return self.expression(12)
        return self.chain(self.term())

    def term(self) -> Node:
        kind, text = self.peek()
        self.at += 1
        if kind == "number":
            return ("literal", Decimal(text) if "." in text else int(text))
        if kind == "string":
            return ("literal", _unescaped(text[1:-1]))
        if kind == "date":
            return ("literal", text[1:])
        if kind == "variable":
            return ("variable", text[1:].strip("'`"))
        if text == "$this":
            return ("this",)
        if kind in ("name", "quoted"):
            if text in ("true", "false") and self.peek() != ("operator", "("):
                return ("literal", text == "true")
            return self.invocation(None, kind, text)
        if text == "(":
            inner = self.expression(0)
            self.need(")")
            return inner
        if text == "{":
            self.need("}")
            return ("empty",)
        self.at -= 1
        raise self.unexpected()

    def chain(self, node: Node) -> Node:
        while True:
            if self.take("."):
                kind, text = self.peek()
                if kind not in ("name", "quoted"):
                    raise self.unexpected()
                self.at += 1
                node = self.invocation(node, kind, text)
            elif self.take("["):
                node = ("index", node, self.expression(0))
                self.need("]")
            else:
                return node

    def invocation(self, target: Node | None, kind: str, text: str) -> Node:
        if kind == "quoted":
            return ("member", target, _unescaped(text[1:-1]))
        if not self.take("("):
            return ("member", target, text)
        arguments: list[Node] = []
        if not self.take(")"):
            arguments.append(self.expression(0))
            while self.take(","):
                arguments.append(self.expression(0))
            self.need(")")
        return ("call", target, text, tuple(arguments))
