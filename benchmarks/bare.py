"""The ceiling of HTTP: a WSGI function that reads the request and answers bytes of the same size, on the same Granian.

`python -m benchmarks.bare PORT WORKERS`, with the answers in the file that BENCH_ANSWERS names (operations.Answers).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.operations import Answers, kind_of


def create_app() -> Callable[..., Iterable[bytes]]:
    answers = Answers.read(Path(os.environ["BENCH_ANSWERS"])).by_kind

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        kind = kind_of(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
        status, headers, body = answers.get(kind, ("200 OK", [("Content-Length", "0")], b""))
        start_response(status, headers)
        return [body]

    return app


if __name__ == "__main__":
    from granian import Granian
    from granian.constants import Interfaces

    Granian(
        "benchmarks.bare:create_app",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.WSGI,
        workers=int(sys.argv[2]),
        blocking_threads=1,
        backlog=1024,
        factory=True,
        websockets=False,
    ).serve()
