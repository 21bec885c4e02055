"""What a patient gets to check the trace with, over the API and with the script of docs/audit.md."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from dmp_fhir.audit.answers import inclusion_answer
from dmp_fhir.audit.entries import place_digest
from dmp_fhir.audit.heads import head_text
from dmp_fhir.audit.proofs import inclusion, stored_nodes
from dmp_fhir.audit.tree import (
    consistency_path,
    consistency_steps,
    extends,
    includes,
    inclusion_path,
    leaf_hash,
    node_hash,
    nodes_of,
    root_of,
    sides,
)
from tests.audit.logs import Log
from tests.readme.tour import ROOT
from tests.support.server import MakeToken, TickingClock
from tests.support.tally import count

SCRIPT = ROOT / "fixtures" / "tour" / "check_proof.py"
MONTH_S = 32 * 86_400
KEYS = "/fhir/.well-known/audit-keys"


def check(folder: Path, *files: bytes) -> tuple[int, str]:
    """Run the script over files; its exit code and its last line."""
    paths = []
    for number, content in enumerate(files):
        paths.append(folder / f"file{number}")
        paths[-1].write_bytes(content)
    done = subprocess.run([sys.executable, SCRIPT, *paths], capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip().rpartition("\n")[2]


def sent(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def refused(folder: Path, keys: bytes, tree: Any) -> int:
    """Each step of a proof is taken out, doubled, changed, put on the other side, or moved: all refused. How many."""
    given, tried = tree["parameter"], 0
    (place,) = [n for n, each in enumerate(given) if each["name"] == "path"]
    steps = given[place]["part"]
    other = {"left": "right", "right": "left"}
    ways = [list(reversed(steps))] if len(steps) > 1 else []
    for at, step in enumerate(steps):
        if at in (0, len(steps) // 2, len(steps) - 1):
            changed = {**step, "valueBase64Binary": b64encode(bytes(32)).decode()}
            for there in ([], [step, step], [{**step, "name": other[step["name"]]}], [changed]):
                ways.append([*steps[:at], *there, *steps[at + 1 :]])
    for way in ways:
        forged = {**tree, "parameter": [*given[:place], {"name": "path", "part": way}, *given[place + 1 :]]}
        assert check(folder, keys, sent(forged)) == (1, "NOT PROVEN"), way
        tried += 1
    count("G", "altered proofs refused", tried)
    return tried


class Caller:
    def __init__(self, client: FlaskClient, token: MakeToken, persona: str) -> None:
        self.client, self.headers = client, {"Authorization": f"Bearer {token(persona, lifetime_s=3600)}"}

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.client.get(f"/fhir/{path}", headers=self.headers)
        assert answer.status_code == status, answer.data
        return answer

    def events(self) -> list[str]:
        return [each["resource"]["id"] for each in self.get("AuditEvent?_count=20").json["entry"]]


def named(answer: Any) -> dict[str, Any]:
    return {each["name"]: each for each in answer.json["parameter"]}


def test_the_patient_proves_an_entry(client: FlaskClient, token: MakeToken, tmp_path: Path) -> None:
    patient = Caller(client, token, "patient-claire-martin")
    event = patient.events()[0]
    served = patient.get(f"AuditEvent/{event}").data
    proof = patient.get(f"AuditEvent/{event}/$inclusion-proof")
    keys = client.get(KEYS).data
    assert len(proof.data) < 4_000
    assert check(tmp_path, keys, proof.data, served) == (0, "proven")
    assert check(tmp_path, keys, proof.data, served + b" ") == (1, "NOT PROVEN")
    tree = proof.json
    assert refused(tmp_path, keys, tree) > 8
    entry = tree["parameter"][0]
    other = entry | {"valueString": entry["valueString"].replace(event, event[::-1])}
    assert check(tmp_path, keys, sent({"parameter": [other, *tree["parameter"][1:]]})) == (1, "NOT PROVEN")
    # A head of another size, or signed by nobody.
    head = next(each for each in tree["parameter"] if each["name"] == "head")
    head["part"][0]["valueString"] = head["part"][0]["valueString"].replace("\n", "\n1", 1)
    code, said = check(tmp_path, keys, sent(tree))
    assert (code, "InvalidSignature" in said) == (1, True)


def test_the_log_only_grew(client: FlaskClient, token: MakeToken, tmp_path: Path) -> None:
    patient = Caller(client, token, "patient-claire-martin")
    patient.get(f"AuditEvent/{patient.events()[0]}/$inclusion-proof")
    sizes = []
    for _ in range(3):
        text = named(patient.get("AuditEvent/$tree-head"))["head"]["part"][0]["valueString"]
        sizes.append(int(text.split("\n")[1]))
        patient.get(f"AuditEvent/{patient.events()[0]}/$inclusion-proof")
    assert sizes == sorted(set(sizes))
    keys = client.get(KEYS).data
    for first in sizes:
        proof = patient.get(f"AuditEvent/$consistency-proof?first={first}")
        assert check(tmp_path, keys, proof.data) == (0, "proven")
        same = patient.get(f"AuditEvent/$consistency-proof?first={first}&second={first}")
        assert check(tmp_path, keys, same.data) == (0, "proven")
    proof = json.loads(patient.get(f"AuditEvent/$consistency-proof?first={sizes[0]}&second={sizes[2]}").data)
    assert refused(tmp_path, keys, proof) > 8
    # Neither head alone, nor the two the other way round.
    *way, first, second = proof["parameter"]
    for heads in ([first], [second], [second, first], []):
        assert check(tmp_path, keys, sent({"parameter": [*way, *heads]})) == (1, "NOT PROVEN")


@pytest.mark.parametrize(
    "query", ["", "?first=x", "?first=0", "?first=1&first=2", "?first=999999", "?second=1", "?first=1&other=1"]
)
def test_a_consistency_proof_of_other_sizes(client: FlaskClient, token: MakeToken, query: str) -> None:
    patient = Caller(client, token, "patient-claire-martin")
    patient.get(f"AuditEvent/$consistency-proof{query}", 400)


def test_the_keys_are_open_and_nothing_else(client: FlaskClient, token: MakeToken) -> None:
    (key,) = client.get(KEYS).json["keys"]
    assert (key["kty"], key["crv"], "d" in key) == ("OKP", "Ed25519", False)
    assert client.post(KEYS).status_code == 405
    for path in ("AuditEvent/$tree-head", "AuditEvent/x/$inclusion-proof", "AuditEvent/$consistency-proof?first=1"):
        assert client.get(f"/fhir/{path}").status_code == 401
    patient = Caller(client, token, "patient-claire-martin")
    for path in ("Patient/$tree-head", "AuditEvent/$inclusion-proof", "AuditEvent/x/$tree-head"):
        patient.get(path, 404)
    assert client.post("/fhir/AuditEvent/$tree-head", headers=patient.headers).status_code == 405


def test_only_for_whom_the_entry_is(client: FlaskClient, token: MakeToken) -> None:
    event = Caller(client, token, "patient-claire-martin").events()[0]
    for persona in ("patient-julien-martin", "dr-petit"):
        Caller(client, token, persona).get(f"AuditEvent/{event}/$inclusion-proof", 404)
    Caller(client, token, "dr-moreau").get(f"AuditEvent/{event}/$inclusion-proof")


def test_the_number_in_the_record_is_for_the_holder_once_nothing_is_kept_from_them(
    client: FlaskClient, token: MakeToken, clock: TickingClock
) -> None:
    """A hole in the numbers would tell of what is hidden (AR-64, AR-99)."""
    patient = Caller(client, token, "patient-claire-martin")
    event = patient.events()[0]
    assert "sequence" not in named(patient.get(f"AuditEvent/{event}/$inclusion-proof"))
    clock.advance(seconds=MONTH_S)
    later = Caller(client, token, "patient-claire-martin")
    given = named(later.get(f"AuditEvent/{event}/$inclusion-proof"))
    line = json.loads(given["entry"]["valueString"])
    nonce = b64decode(given["nonce"]["valueBase64Binary"])
    assert line[7] == place_digest(nonce, int(given["sequence"]["valueDecimal"]))
    doctor = Caller(client, token, "dr-moreau")
    assert "sequence" not in named(doctor.get(f"AuditEvent/{event}/$inclusion-proof"))


def test_the_script_is_short() -> None:
    """Issue 5: a script of twenty lines of code; blank lines, comments and the docstring are none."""
    source = SCRIPT.read_text(encoding="utf-8")
    (docstring, *_) = ast.parse(source).body
    assert docstring.end_lineno == 1
    code = [line for line in source.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    assert 10 < len(code) <= 20
    assert max(map(len, code)) <= 120
    assert not any(";" in line for line in code)


def test_proofs_of_all_shapes_go_up_by_their_sides() -> None:
    """The sides of the answers, over every pair of sizes up to 40, lead where RFC 9162 says."""
    leaves = [leaf_hash(str(n).encode()) for n in range(40)]
    roots = [root_of(leaves[:size]) for size in range(41)]
    nodes = nodes_of(leaves)
    for second in range(1, 41):
        for index in range(second):
            path = inclusion_path(index, second, nodes_of(leaves[:second]))
            new = leaves[index]
            for side, each in zip(sides(index, second), path, strict=True):
                new = node_hash(each, new) if side == "left" else node_hash(new, each)
            assert new == roots[second]
        for first in range(1, second + 1):
            path = consistency_path(first, second, nodes)
            start, steps = consistency_steps(first, second, path, roots[first])
            old = new = start
            for side, each in steps:
                old = node_hash(each, old) if side == "left" else old
                new = node_hash(each, new) if side == "left" else node_hash(new, each)
            assert (old, new) == (roots[first], roots[second])


def test_the_page_shows_the_script_that_is_shipped() -> None:
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert f"```python\n{SCRIPT.read_text(encoding='utf-8')}```" in page


def test_proofs_from_the_stored_tree(database_url: str, tmp_path: Path) -> None:
    """Tiles of two levels would need 65,536 entries: one level, an open tile, and all borders between them."""
    log = Log.made(database_url, tmp_path)
    log.grow(600)
    leaves = [row[0] for row in log.rows("SELECT leaf FROM audit_event ORDER BY position")]
    sizes = (1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 600)
    with log.database.snapshot() as reader:
        nodes = stored_nodes(reader)
        for size in sizes:
            root = root_of(leaves[:size])
            for index in {0, size // 2, size - 1}:
                assert includes(leaves[index], index, size, inclusion_path(index, size, nodes), root)
            for first in (each for each in sizes if each <= size):
                assert extends(first, size, consistency_path(first, size, nodes), root_of(leaves[:first]), root)
    log.seal()
    with log.database.snapshot() as reader:
        (event, body), *_ = reader.rows("SELECT id, digest FROM audit_event WHERE position = 10")
        found = inclusion(reader, event)
    assert found is not None
    assert json.loads(found.line)[5] == body.hex()
    assert includes(leaf_hash(found.line), found.index, found.head.size, found.path, found.head.root)
    assert found.head.text == head_text(600, root_of(leaves), found.head.time)
    assert len(json.dumps(inclusion_answer(found, open_place=True))) < 4_000
    assert sha256(b"").digest() not in found.path
    count("G", "proofs from the stored tree", len(sizes) * 8)
    log.database.close()
