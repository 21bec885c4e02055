"""docs/settings.md is what the program reads, and no setting is without effect."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from dmp_fhir.settings import Settings, describe
from tests.readme.tour import ROOT
from tests.support.server import MakeApp, MakeToken

PAGE = ROOT / "docs" / "settings.md"
# The settings that are read through a property.
_PROPERTIES = {
    "database_url": "database",
    "audit_heads": "heads_folder",
    "test_identities": "ins_systems",
    "bound_tokens": "binds_software",
    "key_database": "key_store",
    "limits_folder": "counters_folder",
}


def test_the_page_is_fresh() -> None:
    """`dmp-fhir settings` prints the table."""
    assert PAGE.read_text(encoding="utf-8").endswith(describe())


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_is_documented_and_used(setting: Any) -> None:
    assert f"`{setting.metadata['variable']}`" in PAGE.read_text(encoding="utf-8")
    sources = [path for path in (ROOT / "dmp_fhir").rglob("*.py") if path.name != "settings.py"]
    used = re.compile(rf"settings(\(\))?\.{_PROPERTIES.get(setting.name, setting.name)}\b")
    assert any(used.search(path.read_text(encoding="utf-8")) for path in sources)


@pytest.mark.parametrize("name", ["publish.json", "publish-simple.json"])
def test_a_document_over_the_limit_is_refused(name: str, make_app: MakeApp, seeded_url: str, token: MakeToken) -> None:
    body = (ROOT / "fixtures" / "tour" / name).read_bytes()
    headers = {"Authorization": f"Bearer {token('dr-moreau')}", "Content-Type": "application/fhir+json"}
    address = "/fhir" if name == "publish.json" else "/fhir/DocumentReference"
    size = _size(json.loads(body))
    refused = make_app(seeded_url, max_document=size - 1).test_client().post(address, data=body, headers=headers)
    assert refused.status_code == 413
    issue = refused.json["issue"][0]
    assert (issue["code"], issue["expression"][0].rpartition(".")[2]) == ("too-long", "attachment")
    stored = make_app(seeded_url, max_document=size).test_client().post(address, data=body, headers=headers)
    assert stored.status_code in (200, 201)


def _size(tree: dict[str, Any]) -> int:
    resources = [entry["resource"] for entry in tree.get("entry", [])] or [tree]
    return next(each["content"][0]["attachment"]["size"] for each in resources if "content" in each)
