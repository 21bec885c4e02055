"""ITI-20 as FHIR feed: batches of AuditEvents.  https://profiles.ihe.net/ITI/TF/Volume2/ITI-20.html

After a lost answer the same events go again, by the same fullUrl.
"""

from __future__ import annotations

import orjson
import requests

from dmp_fhir.audit.repository import Repository

TIMEOUT_S = 10


class FhirFeed:
    def __init__(self, repository: Repository) -> None:
        self._address = repository.address
        self._session = requests.Session()
        self._session.verify = str(repository.authorities) if repository.authorities else True
        self._session.cert = str(repository.certificate) if repository.certificate else None
        self._session.trust_env = False
        self._session.headers.update({"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"})
        if repository.token:
            self._session.headers["Authorization"] = f"Bearer {repository.token}"

    def hand_over(self, bodies: list[bytes]) -> int:
        entries = [
            b'{"fullUrl":"urn:uuid:%s","resource":%s,"request":{"method":"POST","url":"AuditEvent"}}'
            % (orjson.loads(body)["id"].encode(), body)
            for body in bodies
        ]
        bundle = b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join(entries) + b"]}"
        answer = self._session.post(self._address, data=bundle, timeout=TIMEOUT_S, allow_redirects=False)
        if answer.status_code != 200:
            raise requests.HTTPError(f"status {answer.status_code}")
        try:
            statuses = [str(each["response"]["status"])[:3] for each in answer.json()["entry"]]
        except (ValueError, KeyError, TypeError) as fault:
            raise requests.HTTPError("no batch-response") from fault
        taken = 0
        for status in statuses[: len(bodies)]:
            if status not in ("200", "201"):
                break
            taken += 1
        return taken

    def close(self) -> None:
        self._session.close()
