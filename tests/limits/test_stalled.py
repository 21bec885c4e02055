"""Connections that no longer move are ended, those that move or rest by our doing are not (TF-224, TF-225)."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from dmp_fhir.limits.stalled import Moved, Watch, moved_of
from dmp_fhir.limits.underway import Room, Underway
from tests.support import tally
from tests.support.server import LiveServer, world_server

SECONDS = 14
LOOPBACK = "127.0.0.1"


@dataclass
class Line:
    """A connection, both ends of it in this process, and the watch over it."""

    server: socket.socket
    client: socket.socket
    watch: Watch
    underway: Underway

    def settled(self, **expected: int) -> Moved:
        """What the kernel says of our end, once it says so: acknowledgements take their time."""
        while True:
            moved = moved_of(self.server)
            assert moved is not None
            if all(getattr(moved, name) == value for name, value in expected.items()):
                return moved
            time.sleep(0.001)

    @property
    def ended(self) -> bool:
        return moved_of(self.server) is None


@pytest.fixture
def line() -> Iterator[Line]:
    underway = Underway()
    with socket.create_server((LOOPBACK, 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
        yield Line(server, client, Watch(SECONDS, underway), underway)
        server.close()
        client.close()


def test_a_client_that_sends_byte_by_byte(line: Line) -> None:
    for second in range(SECONDS):
        line.client.sendall(b"x")
        line.settled(received=second + 1)
        line.server.recv(1)
        line.watch.look(float(second))
        assert not line.ended
    line.watch.look(float(SECONDS))
    assert line.ended


def test_a_client_that_sends_fast_enough_may_take_all_day(line: Line) -> None:
    for second in range(0, 20 * SECONDS, SECONDS):
        line.watch.look(float(second))
        line.client.sendall(b"x" * 500 * SECONDS)
        left = 500 * SECONDS
        while left:
            left -= len(line.server.recv(left))
    assert not line.ended


def test_a_client_that_asks_a_little_now_and_then(line: Line) -> None:
    for second in range(0, 20 * SECONDS, SECONDS):
        line.client.sendall(b"ask")
        assert line.server.recv(3) == b"ask"
        line.server.sendall(b"told")
        assert line.client.recv(4) == b"told"
        line.settled(unsent=0)
        line.watch.look(float(second))
    assert not line.ended


def test_what_lies_unread_here_is_not_the_clients_delay(line: Line) -> None:
    line.client.sendall(b"x")
    line.settled(unread=1)
    for second in (0.0, 20.0, 40.0):
        line.watch.look(second)
    assert not line.ended


def test_a_client_that_waits_for_its_answer(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    with line.underway.request(LOOPBACK):
        for second in (0.0, 20.0, 40.0):
            line.watch.look(second)
        assert not line.ended
        with line.underway.awaiting_the_client():
            line.watch.look(60.0)
    assert line.ended


def test_a_client_that_does_not_take_its_answer(line: Line) -> None:
    line.server.setblocking(False)
    try:
        while True:
            line.server.send(b"x" * 65_536)
    except BlockingIOError:
        pass
    with line.underway.request(LOOPBACK):  # another request from there excuses nobody
        for second in (0.0, 20.0, 40.0):
            line.watch.look(second)
    assert line.ended


def test_a_client_that_takes_its_answer(line: Line) -> None:
    line.server.setblocking(False)
    for second in range(0, 20 * SECONDS, SECONDS):
        try:
            while True:
                line.server.send(b"x" * 65_536)
        except BlockingIOError:
            pass
        line.watch.look(float(second))
        before = moved_of(line.server)
        assert before is not None
        while (moved_of(line.server) or before).taken - before.taken < 500 * SECONDS:
            line.client.recv(65_536)
    assert not line.ended


def test_room_for_large_bodies_has_an_end() -> None:
    """TF-222."""
    room = Room(10)
    assert room.take(6)
    assert not room.take(5)
    assert room.take(4)
    room.give(10)
    assert room.take(10)


# --- a server -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("stalled")
    with world_server(request, "sqlite", folder, workers=2, DMP_FHIR_STALL_SECONDS="2") as server:
        yield server


def stalled(server: LiveServer, number: int) -> list[socket.socket]:
    """Connections of somebody who may publish, each with a body that has begun."""
    head = (
        "POST /fhir HTTP/1.1\r\nHost: registry\r\nContent-Type: application/fhir+json\r\nContent-Length: 100000\r\n"
        f"Authorization: Bearer {server.token('dr-moreau')}\r\n\r\n{{"
    )
    port = int(server.base_url.split(":")[2].partition("/")[0])
    opened = [socket.create_connection((LOOPBACK, port)) for _ in range(number)]
    for each in opened:
        each.sendall(head.encode())
    return opened


def reads_while(server: LiveServer, connections: list[socket.socket]) -> tuple[int, list[float]]:
    """Read until all connections are ended, each of which sends a byte now and then: how many were, and what each
    read took."""
    selector = selectors.DefaultSelector()
    for each in connections:
        each.setblocking(False)
        selector.register(each, selectors.EVENT_READ)
    took: list[float] = []
    with requests.Session() as session:
        while selector.get_map():
            begun = time.monotonic()
            answer = session.get(
                f"{server.base_url}/DocumentReference/none", headers=server.headers("dr-moreau"), timeout=60
            )
            assert answer.status_code == 404
            took.append(time.monotonic() - begun)
            for key, _ in selector.select(0):
                selector.unregister(key.fileobj)
            for each in [key.fileobj for key in selector.get_map().values()][len(took) % 20 :: 20]:
                try:
                    each.send(b" ")  # type: ignore[union-attr]
                except OSError:
                    pass
    for each in connections:
        each.close()
    return len(connections), took


def test_slow_bodies_are_ended_and_hold_up_nobody(server: LiveServer) -> None:
    """More of them than requests that the workers have in hand; every one is ended, and reads go on meanwhile."""
    ended, took = reads_while(server, stalled(server, 60))
    assert len(took) > 5
    assert (server.data_folder / "server.log").read_text().count("stalled connections ended") >= 1
    tally.count("J", "slow connections", ended)
    tally.count("J", "ended", ended)


def test_slow_bodies_of_strangers_are_ended_at_once(server: LiveServer) -> None:
    """No body is read of whoever has no good token."""
    port = int(server.base_url.split(":")[2].partition("/")[0])
    with socket.create_connection((LOOPBACK, port), timeout=20) as connection:
        connection.sendall(b"POST /fhir HTTP/1.1\r\nHost: registry\r\nContent-Length: 100000\r\n\r\n{")
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 401")
    tally.count("J", "slow connections")
    tally.count("J", "ended")


def test_a_body_that_ends_early_is_not_taken_for_whole(server: LiveServer) -> None:
    """A form that is cut is another search: what was announced has to come."""
    port = int(server.base_url.split(":")[2].partition("/")[0])
    form = b"identifier=urn:oid:1.2.250.1.213.1.4.10%7C274036912390153"
    with socket.create_connection((LOOPBACK, port), timeout=20) as connection:
        connection.sendall(
            b"POST /fhir/Patient/_search HTTP/1.1\r\nHost: registry\r\nContent-Type: application/x-www-form-urlencoded"
            b"\r\nContent-Length: 100\r\nAuthorization: Bearer "
            + server.token("dr-moreau").encode()
            + b"\r\n\r\n"
            + form
        )
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass
    assert b"200 OK" not in answer


@pytest.mark.campaign
def test_five_hundred_slow_clients(server: LiveServer) -> None:
    """TF-224 at its full count; the figures are printed, no test depends on time."""
    alone = sorted(reads_while(server, stalled(server, 1))[1])
    ended, took = reads_while(server, stalled(server, 500))
    took.sort()
    p95 = [each[int(len(each) * 0.95)] * 1000 for each in (alone, took)]
    print(f"500 slow bodies, {ended} ended; reads beside them: p95 {p95[1]:.0f} ms ({p95[0]:.0f} beside one)")
    assert ended == 500
