/** What a server refuses with, as gRPC tells it, and what is done about it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { passes, refusalOf, repeated, transportTo } from "../src/client/calls.js";
import { RelayService } from "../src/gen/federation/v1/consultation_pb.js";
import { GetDirectoryResponseSchema } from "../src/gen/federation/v1/directory_pb.js";
import type { TrustedBundle } from "../src/protocol/bundle.js";
import { fromHex } from "../src/protocol/bytes.js";
import { check, checkOuter } from "../src/protocol/rules.js";
import * as x509 from "../src/protocol/x509.js";
import { cast, cloud, signed } from "./cast.js";
import { listening } from "./servers.js";

const HOUR = 3_600_000;
const reason = "TOKEN_LOST";
const readable = errorInfo(reason);

function errorInfo(word: string): Uint8Array {
  return new Uint8Array([0x0a, word.length, ...new TextEncoder().encode(word)]);
}

function failure(code: Code, value: Uint8Array): ConnectError {
  const failure = new ConnectError("no", code);
  failure.details = [{ type: "google.rpc.ErrorInfo", value }];
  return failure;
}

test("a refusal's reason is that of its details", () => {
  assert.equal(refusalOf(failure(Code.Unavailable, readable)).reason, reason);
});

test("details that can't be read leave the code", () => {
  assert.equal(refusalOf(failure(Code.Unavailable, readable.slice(0, 5))).reason, "UNAVAILABLE");
});

test("a peer's words are one line of text, and its reason has a reason's form", () => {
  const rude = new ConnectError("gone\u001b[2J\n\u202e" + "x".repeat(1_000), Code.Internal);
  rude.details = [{ type: "google.rpc.ErrorInfo", value: errorInfo("\u001b[31m") }];
  const refusal = refusalOf(rude);
  assert.equal(refusal.reason, "INTERNAL");
  assert.match(refusal.message, /^gone \[2J {2}x{490}$/);
});

test("nobody is made to wait for longer than a minute", () => {
  const busy = failure(Code.Unavailable, errorInfo("TOKEN_BUSY"));
  busy.details.push({ type: "google.rpc.RetryInfo", value: fromHex("0a040880d11b") }); // 450,688 s
  assert.equal(refusalOf(busy).retryAfterMs, 60_000);
});

test("whether a refusal passes is its code's to say, whatever the reason", () => {
  for (const word of ["STORE_UNAVAILABLE", "TOKEN_BUSY", "CALL_OVERDUE"]) {
    assert.ok(passes(refusalOf(failure(Code.Unavailable, errorInfo(word)))), word);
  }
  assert.ok(passes(refusalOf(failure(Code.ResourceExhausted, errorInfo("READER_STALLED")))));
  assert.ok(!passes(refusalOf(failure(Code.PermissionDenied, errorInfo("UNAVAILABLE")))));
  assert.ok(!passes(refusalOf(failure(Code.Aborted, errorInfo("MESSAGE_REPLAYED")))));
  assert.ok(!passes(refusalOf(new ConnectError("a fault of ours", Code.Internal))));
});

test("every errno of a socket passes, whatever connect-node makes of it", () => {
  for (const code of ["ENETUNREACH", "EHOSTUNREACH", "EPIPE"]) {
    const errno = Object.assign(new Error(code), { code, syscall: "connect" });
    const connect = (cause: Error) => Object.assign(new ConnectError("internal", Code.Internal), { cause });
    assert.equal(refusalOf(connect(errno)).reason, "UNAVAILABLE");
    assert.ok(passes(refusalOf(connect(new AggregateError([errno])))));
  }
});

test("a call is made again after as long as the server asks, while that passes", async () => {
  const began = performance.now();
  let calls = 0;
  const answer = await repeated(() => {
    if (++calls > 1) return Promise.resolve("done");
    const busy = failure(Code.Unavailable, errorInfo("STORE_UNAVAILABLE"));
    busy.details.push({ type: "google.rpc.RetryInfo", value: fromHex("0a0510c0a8a504") }); // 9.0 ms in nanoseconds
    return Promise.reject(busy);
  });
  assert.deepEqual([answer, calls], ["done", 2]);
  assert.ok(performance.now() - began < 200);
});

test("an RPC's own message may gain fields, at every depth; others may not", () => {
  const gained = [{ no: 1000, wireType: 0, data: new Uint8Array([1]) }];
  const directory = create(GetDirectoryResponseSchema, {
    trustBundle: signed(cast.trust_bundles.at(-1)),
    revocationList: signed(cast.revocation_list),
    certificateRevocationLists: [fromHex(cast.authority.crl)],
    cloudEncryptionKeyStatement: cloud.statement,
  });
  checkOuter(GetDirectoryResponseSchema, directory);
  directory.$unknown = gained;
  directory.trustBundle!.$unknown = gained;
  checkOuter(GetDirectoryResponseSchema, directory);
  assert.throws(() => check(GetDirectoryResponseSchema, directory), { reason: "UNKNOWN_FIELD" });
  directory.trustBundle = undefined;
  assert.throws(() => checkOuter(GetDirectoryResponseSchema, directory), { reason: "MISSING_FIELD" });
});

test("a connection with a stream is kept alive by PINGs, no oftener than servers allow", async (context) => {
  const { key, cert, der } = await certified("alpha.hospital.medunion.internal");
  const routes = connectNodeAdapter({
    routes: ({ service }) =>
      service(RelayService, {
        async *followFrames(_, { signal }) {
          await once(signal, "abort");
          yield* [];
        },
      }),
  });
  const server = createSecureServer({ key, cert }, routes);
  const port = await listening(context, server as unknown as Http2Server);
  const bundle = { content: { tlsCaCertificates: [der] } } as unknown as TrustedBundle;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const client = createClient(RelayService, transportTo(`127.0.0.1:${port}`, "H:alpha", bundle));
  const opened = once(server, "stream");
  const frames = client.followFrames({}, { timeoutMs: HOUR })[Symbol.asyncIterator]().next();
  const { session } = ((await opened) as [ServerHttp2Stream])[0];
  let pings = 0;
  const pinged = new Promise<void>((resolve) => session!.on("ping", () => resolve(void pings++)));
  context.mock.timers.tick(20_000);
  await new Promise(setImmediate);
  assert.equal(pings, 0);
  context.mock.timers.tick(10_000);
  await pinged;
  session!.destroy();
  await assert.rejects(frames);
});

/** A certificate of its own for a TLS name, and its key. */
async function certified(name: string): Promise<{ key: string; cert: string; der: Uint8Array }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=test",
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + HOUR),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }])],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  const key = x509.PemConverter.encode(pkcs8, "PRIVATE KEY");
  return { key, cert: certificate.toString("pem"), der: new Uint8Array(certificate.rawData) };
}
