"""Asking the services of an issuer: its keys, whether a token is still good, who a professional is.

Only addresses of the settings are asked, never one that a token names (TF-061). Every call is bounded in time as a
whole, in size, and in number at once; a redirection is a failure (TF-070).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Any

import requests

from dmp_fhir.identity.strict import json_object

Waiting = Callable[[], AbstractContextManager[None]]

_JSON = frozenset({"application/json", "application/jwk-set+json"})
_log = logging.getLogger(__name__)


class Unreachable(Exception):
    """A service gave no answer that can be used; the text says why and repeats nothing of what it said. `status` is
    that of its HTTP answer, when it gave one."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is and how this server speaks to it.

    `authority` is a PEM file of certificate authorities, None for those of the public web; `certificate` and `key`
    are PEM files of this server's own client certificate; `user` is a client id and its secret (HTTP Basic).
    `timeout_s` bounds the whole exchange, `most_bytes` the answer.
    """

    url: str
    timeout_s: float = 3.0
    most_bytes: int = 65_536
    authority: str | None = None
    certificate: tuple[str, str] | None = None
    user: tuple[str, str] | None = None


class Outbound:
    """Calls to one address. `waiting` lets other requests work meanwhile (store/turns.py)."""

    def __init__(self, address: Address, *, waiting: Waiting = nullcontext, at_once: int = 4) -> None:
        self.address = address
        self.waiting = waiting
        # Held until a call has really ended: a service that stalls keeps this many threads, never more.
        self._places = BoundedSemaphore(at_once)

    def get(self, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at the address. Raises Unreachable."""
        return self._ask("GET", headers or {}, None)

    def post(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object answered to a form. Raises Unreachable."""
        return self._ask("POST", {}, form)

    def _ask(self, method: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> dict[str, Any]:
        if not self._places.acquire(blocking=False):
            raise Unreachable("too many calls under way")
        answered: SimpleQueue[dict[str, Any] | Unreachable] = SimpleQueue()

        def carry_out() -> None:
            try:
                answered.put(self._exchange(method, headers, form))
            except Unreachable as fault:
                answered.put(fault)
            except (requests.RequestException, OSError, ValueError) as fault:
                answered.put(Unreachable(type(fault).__name__))
            finally:
                self._places.release()

        # A thread, since a service that sends one byte a second never lets a read of its own time out.
        Thread(target=carry_out, name="outbound", daemon=True).start()
        with self.waiting():
            try:
                result = answered.get(timeout=self.address.timeout_s)
            except Empty:
                result = Unreachable("no answer in time")
        if isinstance(result, Unreachable):
            _log.warning("%s: %s", self.address.url, result)
            raise result
        return result

    def _exchange(self, method: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> dict[str, Any]:
        address = self.address
        with requests.Session() as session:
            session.trust_env = False  # no proxy, password file or authorities of the environment
            with session.request(
                method,
                address.url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
                data=form,
                auth=address.user,
                verify=address.authority or True,
                cert=address.certificate,
                timeout=address.timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code != 200:
                    raise Unreachable(f"status {response.status_code}", response.status_code)
                if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() not in _JSON:
                    raise Unreachable("not JSON")
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise Unreachable("compressed")
                body = response.raw.read(address.most_bytes + 1, decode_content=False)
                if len(body) > address.most_bytes:
                    raise Unreachable("too large")
        return json_object(body)
