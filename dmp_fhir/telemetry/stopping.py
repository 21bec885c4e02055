"""A server that is about to stop says so first: not ready, but still answering, for as long as its balancer needs to
send requests elsewhere (TF-226). The processes of one run tell each other by a file in its folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dmp_fhir.telemetry.metrics import FOLDER_VARIABLE

_FILE = "stopping"


def announce_stop(seconds: int) -> None:
    """Not ready from now on; returns after `seconds`."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and seconds:
        (Path(folder) / _FILE).touch()
        time.sleep(seconds)


def is_stopping() -> bool:
    folder = os.environ.get(FOLDER_VARIABLE)
    return folder is not None and (Path(folder) / _FILE).exists()
