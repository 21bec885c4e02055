"""The decision scenarios of the reference folder, when it is there."""

from __future__ import annotations

import os
from pathlib import Path

from dmp_fhir.policy.scenarios import Scenario, read_scenarios

OUR_OWN = Path(__file__).resolve().parents[2] / "fixtures" / "policy-scenarios.json"


def shared_folder() -> Path | None:
    """The reference folder beside the checkout, or named by DMP_FHIR_SHARED."""
    named = os.environ.get("DMP_FHIR_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    return folder if (folder / "data" / "policy-scenarios.json").exists() else None


def every_scenario() -> list[Scenario]:
    """Ours, and those of the reference folder."""
    folder = shared_folder()
    files = [OUR_OWN, *([folder / "data" / "policy-scenarios.json"] if folder else [])]
    return [scenario for path in files for scenario in read_scenarios(path.read_bytes())]
