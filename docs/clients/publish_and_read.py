"""Publish a document (ITI-105), find it (ITI-67), read it (ITI-68).  python publish_and_read.py BASE TOKEN"""

import json
import sys
import uuid
from pathlib import Path

import requests

PATIENT = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
base, token = sys.argv[1:]
dmp = requests.Session()
dmp.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"})

document = json.loads(Path("fixtures/tour/publish-simple.json").read_bytes())
unique_id = f"urn:oid:2.25.{uuid.uuid4().int}"
document["masterIdentifier"]["value"] = unique_id
published = dmp.post(
    f"{base}/DocumentReference",
    data=json.dumps(document),
    headers={"Content-Type": "application/fhir+json"},
    timeout=30,
)
if published.status_code != 201:
    sys.exit(f"{published.status_code} {published.json()['issue'][0]['diagnostics']}")
print("published")

search = {"patient.identifier": PATIENT, "identifier": f"urn:ietf:rfc:3986|{unique_id}"}
found = dmp.post(f"{base}/DocumentReference/_search", data=search, timeout=30).json()
attachment = found["entry"][0]["resource"]["content"][0]["attachment"]
print("found", found["total"])

content = dmp.get(attachment["url"], headers={"Accept": "*/*"}, timeout=30)
print("read", len(content.content), content.headers["Content-Type"].split(";")[0])
