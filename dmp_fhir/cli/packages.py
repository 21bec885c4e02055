"""Reading FHIR packages: an npm archive whose `package/*.json` are resources.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmp_fhir.profiles import active
from dmp_fhir.profiles.definitions import is_type
from dmp_fhir.profiles.validator import Validator

Tree = dict[str, Any]
KINDS = frozenset({"StructureDefinition", "ValueSet", "CodeSystem"})
MOST_FILES, MOST_BYTES, LARGEST_FILE = 20_000, 1_000_000_000, 50_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", re.ASCII)
_STRENGTHS = frozenset({"required", "extensible"})


class BadPackage(ValueError):
    """An archive that is not a FHIR package for R4."""


@dataclass
class Loaded:
    """What a package gave: its name and version, how many definitions, and what was left out or left unchecked."""

    name: str
    count: int = 0
    left_out: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


def load_package(archive: Path, folder: Path, *, open_value_sets: bool = False) -> Loaded:
    """Put the definitions of a package in a folder of its own under `folder`, once they compile with those in force.
    Raises BadPackage, ProfileError; then nothing is changed."""
    manifest, resources = _read(archive)
    name = f"{manifest.get('name')}-{manifest.get('version')}"
    if not _NAME.fullmatch(name):
        raise BadPackage("package.json gives no proper name and version")
    if not any(str(each).startswith("4.0") for each in manifest.get("fhirVersions", ["4.0.1"])):
        raise BadPackage(f"made for FHIR {', '.join(map(str, manifest['fhirVersions']))}, this server is R4 (4.0.1)")
    loaded = Loaded(name)
    folder.mkdir(parents=True, exist_ok=True)
    others = [active.SHIPPED, *(each for each in sorted(folder.iterdir()) if each.is_dir() and each.name != name)]
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / name
        made.mkdir()
        kept = [tree for tree in resources if _is_kept(tree, loaded)]
        for n, tree in enumerate(kept):
            (made / f"{n:05}-{tree['resourceType']}.json").write_text(json.dumps(tree, ensure_ascii=False), "utf-8")
        if open_value_sets:
            loaded.opened = sorted(_bound(kept) - _known(others, kept))
            (made / "levels.json").write_text(json.dumps({"open": loaded.opened}), "utf-8")
        loaded.count = len(kept)
        Validator.load(*others, made)
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.move(made, folder / name)
    return loaded


def _read(archive: Path) -> tuple[Tree, list[Tree]]:
    """The manifest, and the resources of kinds that matter here; nothing is written from the archive's own names."""
    manifest: Tree | None = None
    resources: list[Tree] = []
    try:
        with tarfile.open(archive, "r:*") as tar:
            for path, data in _files(tar):
                tree = json.loads(data)
                if path == "package/package.json":
                    manifest = tree
                elif isinstance(tree, dict) and tree.get("resourceType") in KINDS and "url" in tree:
                    resources.append(tree)
    except (tarfile.TarError, OSError, EOFError, ValueError) as fault:
        raise BadPackage(f"can't be read: {fault}") from fault
    if not isinstance(manifest, dict):
        raise BadPackage("no package/package.json in it")
    return manifest, resources


def _files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    total = 0
    for count, member in enumerate(tar):
        total += member.size
        if count > MOST_FILES or total > MOST_BYTES or member.size > LARGEST_FILE:
            raise BadPackage("too large")
        if member.isfile() and re.fullmatch(r"package/[^/]+\.json", member.name) and ".index" not in member.name:
            content = tar.extractfile(member)
            if content is not None:
                yield member.name, content.read()


def _is_kept(tree: Tree, loaded: Loaded) -> bool:
    if tree["resourceType"] != "StructureDefinition":
        return True
    if tree.get("derivation") == "constraint" and is_type(str(tree.get("type"))):
        return True
    loaded.left_out.append(str(tree["url"]))
    return False


def _bound(trees: list[Tree]) -> set[str]:
    """The value sets that differentials bind to and that a validation would need."""
    found = set()
    for tree in trees:
        for element in tree.get("differential", {}).get("element", ()):
            binding = element.get("binding", {})
            if binding.get("strength") in _STRENGTHS and "valueSet" in binding:
                found.add(binding["valueSet"].split("|")[0])
    return found


def _known(folders: list[Path], trees: list[Tree]) -> set[str]:
    terminology = Validator.load(*folders).terminology
    own = {tree["url"] for tree in trees if tree["resourceType"] == "ValueSet"}
    return own | {url for url in _bound(trees) if terminology.find(url) is not None}
