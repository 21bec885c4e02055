"""The profiles in force: those shipped (the folder `guides` beside), and over them those the operator loaded
(`dmp-fhir profiles load`, kept in the data folder)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dmp_fhir.profiles.validator import Validator

SHIPPED = Path(__file__).parent / "guides"


def loaded_folder(data_folder: Path) -> Path:
    """Where the packages that the operator loaded are kept, one folder each."""
    return data_folder / "profiles"


def validator(data_folder: Path | None = None) -> Validator:
    """The compiled profiles in force. Raises ProfileError, naming the profile, when one is not understood."""
    folders = [SHIPPED]
    if data_folder is not None and loaded_folder(data_folder).is_dir():
        folders += sorted(each for each in loaded_folder(data_folder).iterdir() if each.is_dir())
    return _compiled(tuple(folders))


@cache
def _compiled(folders: tuple[Path, ...]) -> Validator:
    return Validator.load(*folders)
