"""Reading YAML with the parser in C where there is one: ten times as fast, the same trees."""

from __future__ import annotations

from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str) -> Any:
    """The tree of a document, of plain values only. yaml.YAMLError when it is none."""
    return yaml.load(text, Loader=LOADER)  # noqa: S506 (a safe loader, either way)
