// Publish a document (ITI-105), find it (ITI-67), read it (ITI-68).  node publish_and_read.mjs BASE TOKEN  (Node 18+)
import { readFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";

const PATIENT = "urn:oid:1.2.250.1.213.1.4.10|274036912390153";
const [base, token] = process.argv.slice(2);
const dmp = (path, options = {}) =>
  fetch(path.startsWith("http") ? path : `${base}/${path}`, {
    ...options,
    headers: { Authorization: `Bearer ${token}`, Accept: "application/fhir+json", ...options.headers },
  });

const document = JSON.parse(await readFile("fixtures/tour/publish-simple.json", "utf8"));
const uniqueId = `urn:oid:2.25.${BigInt("0x" + randomUUID().replaceAll("-", ""))}`;
document.masterIdentifier.value = uniqueId;
const published = await dmp("DocumentReference", {
  method: "POST",
  headers: { "Content-Type": "application/fhir+json" },
  body: JSON.stringify(document),
});
if (published.status !== 201) {
  console.error(published.status, (await published.json()).issue[0].diagnostics);
  process.exit(1);
}
console.log("published");

const search = new URLSearchParams({ "patient.identifier": PATIENT, identifier: `urn:ietf:rfc:3986|${uniqueId}` });
const found = await (await dmp("DocumentReference/_search", { method: "POST", body: search })).json();
const attachment = found.entry[0].resource.content[0].attachment;
console.log("found", found.total);

const content = await dmp(attachment.url, { headers: { Accept: "*/*" } });
console.log("read", (await content.arrayBuffer()).byteLength, content.headers.get("Content-Type").split(";")[0]);
