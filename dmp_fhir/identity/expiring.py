"""What ends soon: this server's certificate, authorities, certificates of callers, revocation lists (TF-249).

Each is told once a day in the log, from 30 days before its end, and by `dmp-fhir callers`. A revocation list lives for
days: it is told when three quarters of its life are over, since whoever publishes it has long made the next one.
"""

from __future__ import annotations

import json
import logging
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from dmp_fhir.files import make_once
from dmp_fhir.identity.certificates import ClientCertificate, read_certificates, read_revocations
from dmp_fhir.instants import Clock
from dmp_fhir.settings import Settings

DAY_MS = 86_400_000
DAYS_BEFORE = 30
MOST_SEEN = 10_000
_LOOK_EVERY_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that ends at `ends_ms`. A certificate of a caller is named by its SHA-256 fingerprint, as in the file
    of clients: its `subject` may be a person, whom the log does not name."""

    kind: str
    name: str
    ends_ms: int
    subject: str = ""

    def told(self, now_ms: int) -> str:
        days = (self.ends_ms - now_ms) // DAY_MS
        when = "ended" if days < 0 else "ends today" if days == 0 else f"ends in {days} days"
        return f"{self.kind} {self.name}: {when}; put the next one in its place"


class Seen:
    """The certificates that callers were let in with, one small file each: they are not in any file of the settings,
    which names fingerprints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()

    def note(self, certificate: ClientCertificate) -> None:
        """Remember a certificate that a caller was let in with."""
        if certificate.thumbprint in self._known or len(self._known) >= MOST_SEEN:
            return
        self._known.add(certificate.thumbprint)
        content = {"subject": certificate.subject.rfc4514_string(), "ends": certificate.ends_ms}
        try:
            make_once(self._folder / certificate.thumbprint, json.dumps(content).encode())
        except OSError as fault:
            _log.error("a certificate can't be noted: %s", fault.strerror)

    def all(self) -> list[Ending]:
        """The last one of each subject: whoever has renewed is not told about."""
        latest: dict[str, Ending] = {}
        for path in sorted(self._folder.glob("[!.]*")) if self._folder.is_dir() else []:
            content = json.loads(path.read_bytes())
            name = urlsafe_b64decode(path.name + "=").hex()
            found = Ending("the client certificate", name, content["ends"], content["subject"])
            if found.subject not in latest or latest[found.subject].ends_ms < found.ends_ms:
                latest[found.subject] = found
        return list(latest.values())


def endings(settings: Settings, now_ms: int) -> list[Ending]:
    """What ends soon or has ended, the first to end first. A file that can't be read is told by whoever needs it."""
    found: list[Ending] = []
    for source in (_own, _authorities, _lists, _seen):
        try:
            found += source(settings, now_ms)
        except (OSError, ValueError, KeyError) as fault:
            _log.error("what ends soon can't be told: %s", fault)
    return sorted(found, key=lambda each: each.ends_ms)


def _soon(found: Ending, now_ms: int) -> bool:
    return found.ends_ms - now_ms <= DAYS_BEFORE * DAY_MS


def _own(settings: Settings, now_ms: int) -> Iterator[Ending]:
    if settings.tls_certificate:
        # The first of the file is the server's, those after it its chain.
        found = _certificate("this server's certificate", read_certificates(Path(settings.tls_certificate))[0])
        if _soon(found, now_ms):
            yield found


def _authorities(settings: Settings, now_ms: int) -> Iterator[Ending]:
    for each in read_certificates(Path(settings.client_ca)) if settings.client_ca else ():
        found = _certificate("the authority", each)
        if _soon(found, now_ms):
            yield found


def _seen(settings: Settings, now_ms: int) -> Iterator[Ending]:
    for found in Seen(settings.seen_folder).all():
        # A client that has not come back with another one for as long has left.
        if _soon(found, now_ms) and now_ms - found.ends_ms < DAYS_BEFORE * DAY_MS:
            yield found


def _lists(settings: Settings, now_ms: int) -> Iterator[Ending]:
    latest: dict[str, x509.CertificateRevocationList] = {}
    for each in read_revocations(Path(settings.client_crl)) if settings.client_crl else ():
        known = latest.get(name := each.issuer.rfc4514_string())
        if each.next_update_utc and (known is None or known.last_update_utc < each.last_update_utc):
            latest[name] = each
    for name, each in latest.items():
        first, last = _ms(each.last_update_utc), _ms(each.next_update_utc)
        if last - now_ms <= (last - first) // 4:
            yield Ending("the revocation list of", name, last)


def _certificate(kind: str, found: x509.Certificate) -> Ending:
    return Ending(kind, found.subject.rfc4514_string(), _ms(found.not_valid_after_utc))


def _ms(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1000) if moment else 0


class ExpiryWatch(threading.Thread):
    """Tells once a day what ends soon; one in each worker, of which `first_of_the_day` lets one speak. Ends with the
    process."""

    def __init__(self, settings: Settings, clock: Clock, first_of_the_day: Callable[[str, int], bool]) -> None:
        super().__init__(name="expiry", daemon=True)
        self._settings, self._clock, self._first = settings, clock, first_of_the_day
        self._day = -1
        self._stopped = threading.Event()

    def run(self) -> None:
        while True:
            self.look()
            if self._stopped.wait(_LOOK_EVERY_S):
                return

    def look(self) -> None:
        """Tell, unless this was done today (UTC)."""
        now_ms = self._clock()
        if now_ms // DAY_MS == self._day:
            return
        self._day = now_ms // DAY_MS
        for each in endings(self._settings, now_ms):
            if self._first(f"{each.kind}|{each.name}|{each.ends_ms}", now_ms):
                _log.critical("%s (dmp-fhir callers)", each.told(now_ms))

    def stop(self) -> None:
        self._stopped.set()
