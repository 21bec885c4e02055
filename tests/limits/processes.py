"""The same work in several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORKERS = 3


def together(code: str, folder: Path) -> list[str]:
    """What `code` printed in each process; it has `folder` and `number`, and waits for the others in `ready()`."""
    head = (
        "import sys, time, pathlib\n"
        "folder, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])\n"
        "def ready():\n"
        "    (folder / f'ready{number}').touch()\n"
        f"    while len(list(folder.glob('ready*'))) < {WORKERS}: time.sleep(0.001)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", head + code, str(folder), str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(WORKERS)
    ]
    outputs = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0] * WORKERS
    return outputs
