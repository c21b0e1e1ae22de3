// A FHIR server over HTTPS: Medplum's router with its repository in memory. It answers GET /fhir/R4/Bundle/<id>, prints where
// it listens and the id of the resource as one line of JSON, and ends with its standard input.
//   node server.mjs KEY CERTIFICATE RESOURCE

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { FhirRouter, MemoryRepository } from "@medplum/fhir-router";

const [key, cert, file] = process.argv.slice(2);
const router = new FhirRouter();
const repository = new MemoryRepository();
const { id } = await repository.createResource(JSON.parse(readFileSync(file, "utf8")));
const prefix = "/fhir/R4";

const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, async (request, response) => {
  const url = request.url.replace(prefix, "");
  const asked = { method: request.method, url, headers: request.headers, params: {}, query: {}, body: undefined };
  const [outcome, resource] = await router.handleRequest(asked, repository);
  const body = Buffer.from(JSON.stringify(resource ?? outcome));
  response.writeHead(outcome.id === "ok" ? 200 : 404, { "Content-Type": "application/fhir+json", "Content-Length": body.length });
  response.end(body);
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port, path: `${prefix}/Bundle/${id}` })));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
