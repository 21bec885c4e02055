"""Bodies and texts of requests: placeholders, templates and changes; docs/conformance.md tells the language.

A `Scope` is one run of one scenario: its fresh identifiers, and what its answers gave. Names that the shared setup of a
group made (`given`) are found in the scope above.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from dmp_fhir.conformance.files import read_yaml

_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_PART = re.compile(r"([A-Za-z_]+)(?:\[([0-9]+|\+)\])?")
# Elements in the order of R4, for what a change adds: XML needs it.
_ORDER = {
    "DocumentReference": "resourceType id meta implicitRules language text contained extension masterIdentifier"
    " identifier status docStatus type category subject date author authenticator custodian relatesTo description"
    " securityLabel content context",
    "List": "resourceType id meta contained extension identifier status mode title code subject encounter date source"
    " orderedBy note entry",
    "Consent": "resourceType id meta contained extension identifier status scope category patient dateTime performer"
    " organization sourceAttachment policy policyRule verification provision",
}


_NOTHING = object()


class BadTemplate(ValueError):
    """A placeholder, template or change that means nothing; the text says which."""


class Scope:
    """Fresh identifiers of one run of one scenario, and its variables."""

    def __init__(self, run: str, key: str, above: Scope | None = None, variables: Mapping[str, Any] = {}) -> None:
        self.run, self.key, self.above = run, key, above
        self.variables: dict[str, Any] = dict(variables)
        self.names: set[str] = set()

    def owner(self, name: str) -> Scope:
        """The scope that made the document `name`."""
        root = name.partition(".")[0]
        return self.above if self.above is not None and root in self.above.names else self

    def local(self, **variables: Any) -> Scope:
        """The same identifiers, with some more variables."""
        inner = copy.copy(self)
        inner.variables = self.variables | variables
        return inner

    def put(self, name: str, value: Any) -> None:
        """Set a variable; `a.b` is `b` of `a`."""
        *parts, last = name.split(".")
        holder = self.variables
        for part in parts:
            holder = holder.setdefault(part, {})
        holder[last] = value

    def fresh(self, name: str) -> uuid.UUID:
        owner = self.owner(name)
        owner.names.add(name.partition(".")[0])
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{self.run}/{owner.key}/{name}")

    def uid(self, name: str) -> str:
        """A uniqueId (ITU-T X.667): `urn:oid:2.25.…`."""
        return f"urn:oid:2.25.{self.fresh(name).int}"

    def content(self, name: str) -> bytes:
        """The bytes of the document `name`."""
        return f"Compte rendu {name} {self.run}, {self.fresh(name)} : tension 12/8, température 37,5 °C.\n".encode()

    def value(self, expression: str) -> Any:
        """What a placeholder stands for."""
        kind, colon, name = expression.partition(":")
        if colon and kind in _FRESH:
            return _FRESH[kind](self, name)
        if expression == "run":
            return self.run
        scope: Scope | None = self
        while scope is not None:
            value: Any = scope.variables
            for part in expression.split("."):
                value = value.get(part, _NOTHING) if isinstance(value, Mapping) else _NOTHING
            if value is not _NOTHING:
                return value
            scope = scope.above
        raise BadTemplate(f"${{{expression}}} means nothing here")

    def fill(self, value: Any) -> Any:
        """The same tree with its placeholders replaced; a text that is one placeholder takes its value as it is."""
        if isinstance(value, str):
            whole = _PLACEHOLDER.fullmatch(value)
            if whole:
                return self.value(whole[1])
            return _PLACEHOLDER.sub(lambda match: str(self.value(match[1])), value)
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        if isinstance(value, dict):
            if "$template" in value:
                return self._template(value)
            return {self.fill(name): self.fill(each) for name, each in value.items()}
        return value

    def _template(self, value: Mapping[str, Any]) -> Any:
        if unknown := set(value) - {"$template", "$name", "$as", "$patient", "$with", "$change"}:
            raise BadTemplate(f"$template: unknown {', '.join(sorted(unknown))}")
        more = {name: self.fill(each) for name, each in value.get("$with", {}).items()}
        if "$name" in value:
            more["@"] = self.fill(value["$name"])
            self.owner(more["@"]).names.add(more["@"])
        if "$as" in value:
            more["me"] = self.value(f"persona.{self.fill(value['$as'])}")
        if "$patient" in value:
            more["subject"] = self.value(f"patient.{self.fill(value['$patient'])}")
        scope = self.local(**more)
        tree = scope.fill(_named(template(str(self.fill(value["$template"]))), str(scope.variables.get("@", ""))))
        name = str(scope.variables.get("@", ""))
        for path, changed in scope.fill(_named(value.get("$change", {}), name)).items():
            change(tree, path, changed)
        return tree


def _named(value: Any, name: str) -> Any:
    """The tree with `@` replaced by the name of the document."""
    if isinstance(value, str):
        return value.replace("@", name) if name else value
    if isinstance(value, list):
        return [_named(each, name) for each in value]
    if isinstance(value, dict):
        return {key: _named(each, name) for key, each in value.items()}
    return value


def _sha1(content: bytes) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()


_FRESH: dict[str, Callable[[Scope, str], Any]] = {
    "uid": lambda scope, name: scope.uid(name),
    "token": lambda scope, name: f"urn:ietf:rfc:3986|{scope.uid(name)}",
    "uuid": lambda scope, name: f"urn:uuid:{scope.fresh(name)}",
    "id": lambda scope, name: str(scope.fresh(name)),
    "content": lambda scope, name: scope.content(name).decode(),
    "base64": lambda scope, name: base64.b64encode(scope.content(name)).decode(),
    "size": lambda scope, name: len(scope.content(name)),
    "sha1": lambda scope, name: base64.b64encode(_sha1(scope.content(name))).decode(),
    "sha1-hex": lambda scope, name: base64.b64encode(_sha1(scope.content(name)).hex().encode()).decode(),
}


@cache
def _templates() -> dict[str, Any]:
    folder = files("dmp_fhir.conformance").joinpath("bodies")
    return {
        each.name.removesuffix(".yaml"): read_yaml(each.read_text("utf-8"))
        for each in folder.iterdir()
        if each.name.endswith(".yaml")
    }


def template(name: str) -> Any:
    """A body of `bodies/`; BadTemplate when there is none of this name."""
    if name not in _templates():
        raise BadTemplate(f"there is no body {name!r}; there are {', '.join(sorted(_templates()))}")
    return copy.deepcopy(_templates()[name])


def change(tree: Any, path: str, value: Any) -> None:
    """Put a value at a path: `type.coding[0].code`; `[+]` appends; null takes the element away."""
    parts = path.split(".")
    holder = tree
    for n, part in enumerate(parts):
        match = _PART.fullmatch(part)
        if match is None or not isinstance(holder, dict):
            raise BadTemplate(f"{path}: {part!r} leads nowhere")
        name, index = match.groups()
        last = n == len(parts) - 1
        if index is None:
            if last:
                _put(holder, name, value)
            else:
                holder = holder.setdefault(name, {})
            continue
        items = holder.setdefault(name, [])
        if holder.get("resourceType") in _ORDER:
            _sort(holder)
        if index == "+":
            items.append({})
        number = len(items) - 1 if index == "+" else int(index)
        if number >= len(items):
            raise BadTemplate(f"{path}: there is no {part}")
        if not last:
            holder = items[number]
        elif value is None:
            del items[number]
        else:
            items[number] = value


def _put(holder: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        holder.pop(name, None)
        return
    holder[name] = value
    _sort(holder)


def _sort(tree: dict[str, Any]) -> None:
    order = _ORDER.get(tree.get("resourceType", ""), "").split()
    if not order:
        return
    known = {name: tree[name] for name in order if name in tree}
    rest = {name: value for name, value in tree.items() if name not in known}
    tree.clear()
    tree.update(known | rest)
