"""A registry that kills itself at a named point of a request (TF-201), and the program that runs it.

`python -m tests.writing.failpoints DATA_FOLDER DATABASE_URL` reads JSON lines {"act", "point", "count"} and answers
each with one line: what the request was answered, or that the process was killed on the way. Each request is served
by a process of its own, forked from this one, which has imported everything and opened nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmp_fhir.app import create_app
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.instants import system_clock
from dmp_fhir.profiles import active
from dmp_fhir.settings import Settings
from dmp_fhir.store.payloads import PayloadStore
from dmp_fhir.store.postgresql import PostgresqlConnection
from dmp_fhir.store.sqlite import SqliteConnection
from tests.writing.lots import AUTHOR

# In the order of a deposit. `statement` is reached after each statement of the request's transactions that writes.
POINTS = (
    "before begin",
    "before bytes are written",
    "bytes written, not in place",
    "bytes in place",
    "statement",
    "before commit",
    "committed, not answered",
)
_CONNECTIONS = (SqliteConnection, PostgresqlConnection)


class _Failpoint:
    """Kills this process when `point` is reached for the `count`-th time."""

    def __init__(self, point: str | None, count: int) -> None:
        self.wanted = (point, count)
        self.reached: Counter[str] = Counter()

    def pass_(self, point: str) -> None:
        self.reached[point] += 1
        if (point, self.reached[point]) == self.wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, before: str | None = None, after: str | None = None) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def act(*arguments: Any, **named: Any) -> Any:
            if before:
                self.pass_(before)
            answer = original(*arguments, **named)
            if after:
                self.pass_(after)
            return answer

        setattr(owner, name, act)

    def set_up(self) -> None:
        for kind in _CONNECTIONS:
            for name in ("execute", "insert", "insert_many"):
                self._statements(kind, name)
            self._writes_only(kind)
        self.around(PayloadStore, "_write", before="before bytes are written")
        self.around(Path, "rename", before="bytes written, not in place", after="bytes in place")

    def _statements(self, kind: Any, name: str) -> None:
        """Statements that write; the begin and the end of a transaction are points of their own."""
        original = getattr(kind, name)

        def act(connection: Any, what: str, *arguments: Any) -> Any:
            answer = original(connection, what, *arguments)
            if what.partition(" ")[0] not in ("BEGIN", "COMMIT"):
                self.pass_("statement")
            return answer

        setattr(kind, name, act)

    def _writes_only(self, kind: Any) -> None:
        """Begin and commit of transactions, not of snapshots."""
        begin, commit, writing = kind.begin, kind.commit, dict[int, bool]()

        def begun(connection: Any, write: bool) -> Any:
            writing[id(connection)] = write  # the keys are read through a connection of their own
            if write:
                self.pass_("before begin")
            return begin(connection, write)

        def committed(connection: Any) -> Any:
            if not writing[id(connection)]:
                return commit(connection)
            self.pass_("before commit")
            answer = commit(connection)
            self.pass_("committed, not answered")
            return answer

        kind.begin, kind.commit = begun, committed


def _serve(folder: Path, url: str, command: dict[str, Any]) -> None:
    """One request, in this process, with its failpoint; the answer on standard output."""
    app = create_app(Settings(data_folder=folder, database_url=url))
    token = Sandbox(folder / "keys").issue(AUTHOR, now_ms=system_clock())
    client = app.test_client()
    method, path, kind, content = command["act"]
    failpoint = _Failpoint(command["point"], command["count"])
    failpoint.set_up()
    headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": kind} if kind else {})
    answer = client.open("/fhir" + path, method=method, data=content.encode(), headers=headers)
    line = {"status": answer.status_code, "body": answer.get_data(as_text=True), "reached": failpoint.reached}
    print(json.dumps(line), flush=True)


def _main(folder: Path, url: str) -> None:
    active.validator()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _serve(folder, url, json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(json.dumps({"killed": os.WTERMSIG(status)}), flush=True)
        elif status:
            print(json.dumps({"failed": status}), flush=True)


class Registry:
    """The other end of the program."""

    def __init__(self, folder: Path, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.writing.failpoints", str(folder), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def ask(self, act: tuple[str, str, str, bytes], point: str | None = None, count: int = 0) -> dict[str, Any]:
        """`act` is method, path, content type and content. The answer has `status` and `body`, or `killed`."""
        method, path, kind, content = act
        command = {"act": [method, path, kind, content.decode()], "point": point, "count": count}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())  # type: ignore[no-any-return]

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait(30)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
