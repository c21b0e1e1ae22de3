/** What a server refuses with, as gRPC tells it, and what is done about it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createSecureServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import { test, type TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { called, passes, refusalOf, repeated, transportTo } from "../src/client/calls.js";
import { eachPage, MOST_PAGES } from "../src/client/cloud.js";
import { Networks } from "../src/client/networks.js";
import { RelayService } from "../src/gen/federation/v1/consultation_pb.js";
import { GetDirectoryResponseSchema } from "../src/gen/federation/v1/directory_pb.js";
import type { TrustedBundle } from "../src/protocol/bundle.js";
import { fromHex } from "../src/protocol/bytes.js";
import { check, checkOuter } from "../src/protocol/rules.js";
import { wordsOf } from "../src/protocol/words.js";
import * as x509 from "../src/protocol/x509.js";
import { cast, cloud, signed } from "./cast.js";
import { errorInfo, listening } from "./servers.js";

const HOUR = 3_600_000;
const reason = "READER_STALLED";
const readable = errorInfo(reason);

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

test("every reason that a server may give has words here", () => {
  const page = readFileSync(new URL("../../../../docs/errors.md", import.meta.url), "utf8");
  const reasons = [...page.matchAll(/^\| `([A-Z_]+)` \| [A-Z_]+ \| /gm)].map(([, word]) => word!);
  assert.ok(reasons.length > 70);
  assert.deepEqual(
    reasons.filter((word) => !wordsOf(word)?.isTold),
    [],
  );
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
  const [asked, pauses] = [["0a0510c0a8a504", "0a0b08ffffffffffffffffff01", "0a020807", undefined], [] as number[]];
  const pause = (milliseconds: number) => Promise.resolve(void pauses.push(milliseconds));
  const answer = await repeated(
    () => {
      if (pauses.length === asked.length) return Promise.resolve("done");
      const busy = failure(Code.Unavailable, errorInfo("STORE_UNAVAILABLE"));
      const delay = asked[pauses.length];
      if (delay !== undefined) busy.details.push({ type: "google.rpc.RetryInfo", value: fromHex(delay) });
      return Promise.reject(busy);
    },
    6,
    { now: () => 0, pause },
  );
  assert.equal(answer, "done");
  assert.deepEqual(pauses, [9, 0, 7_000, 3_200]); // 9 ms in nanoseconds, less than none, 7 s, and none asked for
});

test("an RPC's own message may gain fields, at every depth; others may not", () => {
  const gained = [{ no: 1000, wireType: 0, data: new Uint8Array([1]) }];
  const directory = create(GetDirectoryResponseSchema, {
    trustBundle: signed(cast.trust_bundles.at(-1)),
    revocationHead: signed(cast.revocation_head),
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

test("whatever reads like no host and port is dialled by nobody", () => {
  const bundle = { content: { tlsCaCertificates: [] } } as unknown as TrustedBundle;
  for (const address of [
    "unix:/tmp/s",
    "unix-abstract:evil:1",
    "vsock:1:2",
    "user@host:1",
    "host:99999",
    "2130706433:1",
  ])
    assert.throws(() => transportTo(address, "H:alpha", bundle), { reason: "FIELD_INVALID" }, address);
});

test("a client dials inside the networks that it was given, by name or number, and nowhere else", async (context) => {
  const { port, bundle, connections } = await hospital(context);
  const room = async (address: string, ...networks: string[]) => {
    const transport = transportTo(address, "H:alpha", bundle, new Networks(networks));
    await assert.rejects(createClient(RelayService, transport).getRoom({}), (error) => {
      assert.equal(refusalOf(error).reason, "NO_SUCH_ROOM");
      return true;
    });
  };
  const forbidden = { reason: "NETWORK_FORBIDDEN" };
  await assert.rejects(room(`127.0.0.1:${port}`, "192.0.2.0/24", "2001:db8::/32"), forbidden);
  await assert.rejects(room("[::1]:1", "127.0.0.0/8"), forbidden);
  const byName = transportTo(`localhost:${port}`, "H:alpha", bundle, new Networks(["192.0.2.0/24"]));
  await assert.rejects(
    called(() => createClient(RelayService, byName).getRoom({})),
    forbidden,
  );
  assert.equal(connections(), 0);
  await room(`127.0.0.1:${port}`, "192.0.2.0/24", "127.0.0.0/8");
  await room(`localhost:${port}`, "127.0.0.0/8", "::1/128");
  assert.equal(connections(), 2);
});

test("where nobody answers, a call and a stream say where it was dialled", async (context) => {
  const { port, bundle } = await hospital(context);
  const stranger = { content: { tlsCaCertificates: [(await certified("other")).der] } } as unknown as TrustedBundle;
  const plainText = createTcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const closed = createTcpServer((socket) => socket.destroy());
  for (const [what, address, identity, trusted] of [
    ["nobody listens", "127.0.0.1:1", "H:alpha", bundle],
    ["the name is not found", "nobody.invalid:443", "H:alpha", bundle],
    ["the server is somebody else", `127.0.0.1:${port}`, "H:beta", bundle],
    ["the server's certificate is not trusted", `127.0.0.1:${port}`, "H:alpha", stranger],
    ["the server speaks no TLS", `127.0.0.1:${await listening(context, plainText)}`, "H:alpha", bundle],
    ["the server hangs up", `127.0.0.1:${await listening(context, closed)}`, "H:alpha", bundle],
  ] as const) {
    const client = createClient(RelayService, transportTo(address, identity, trusted));
    const silent = { reason: "UNAVAILABLE", passes: true, address, requestId: undefined };
    await assert.rejects(
      called(() => client.getRoom({})),
      silent,
      what,
    );
    await assert.rejects(
      called(() => client.followFrames({})[Symbol.asyncIterator]().next()),
      silent,
      what,
    );
  }
});

test("a call that is not answered in time says where it was dialled, and a refusal does not", async (context) => {
  const { port, bundle } = await hospital(context);
  const address = `127.0.0.1:${port}`;
  const client = createClient(RelayService, transportTo(address, "H:alpha", bundle));
  const frames = () => client.followFrames({}, { timeoutMs: 1 })[Symbol.asyncIterator]().next();
  await assert.rejects(called(frames), { reason: "UNAVAILABLE", address });
  await assert.rejects(
    called(() => client.getRoom({})),
    { reason: "NO_SUCH_ROOM", address: undefined },
  );
});

test("a network is a prefix of an address, without a bit beyond it", () => {
  new Networks([
    "0.0.0.0/0",
    "::/0",
    "127.0.0.0/31",
    "192.0.2.1/32",
    "2001:DB8::/32",
    "2001:db8:0:8000::/49",
    "::1/128",
  ]);
  const hostBits = ["10.0.0.1/8", "10.128.0.0/8", "127.0.0.1/31", "1.0.0.0/0", "2001:db8::1/32", "::ffff:1.2.3.4/96"];
  for (const network of ["", "127.0.0.1", "127.0.0.0/33", "::/129", "localhost/8", "127.0.0.0/8 ", ...hostBits])
    assert.throws(() => new Networks([network]), { reason: "FIELD_INVALID" }, network);
});

test("the environment's proxy is not asked", async (context) => {
  const { port, bundle } = await hospital(context);
  const environment = process.env;
  context.after(() => (process.env = environment));
  const names = ["https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "grpc_proxy"];
  process.env = { ...environment, ...Object.fromEntries(names.map((name) => [name, "http://127.0.0.1:1"])) };
  const client = createClient(RelayService, transportTo(`127.0.0.1:${port}`, "H:alpha", bundle));
  await assert.rejects(
    called(() => client.getRoom({})),
    { reason: "NO_SUCH_ROOM" },
  );
});

test("a connection with a stream is kept alive by PINGs, no oftener than servers allow", async (context) => {
  const { server, port, bundle } = await hospital(context);
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

/** H:alpha on this machine, over TLS: it has no rooms, and follows without an end. */
async function hospital(context: TestContext) {
  const { key, cert, der } = await certified("alpha.hospital.medunion.internal");
  const routes = connectNodeAdapter({
    routes: ({ service }) =>
      service(RelayService, {
        getRoom: () => Promise.reject(failure(Code.NotFound, errorInfo("NO_SUCH_ROOM"))),
        async *followFrames(_, { signal }) {
          await once(signal, "abort");
          yield* [];
        },
      }),
  });
  const server = createSecureServer({ key, cert }, routes);
  let count = 0;
  server.on("connection", () => count++);
  const port = await listening(context, server as unknown as Http2Server);
  const bundle = { content: { tlsCaCertificates: [der] } } as unknown as TrustedBundle;
  return { server, port, bundle, connections: () => count };
}

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

test("a search goes on behind each page until one is the last", async () => {
  const asked: (Uint8Array | undefined)[] = [];
  const nexts = [new Uint8Array([1]), new Uint8Array([2]), undefined];
  const pages = eachPage(async (after) => {
    asked.push(after);
    return { locations: [], accesses: [], cloudKey: new Uint8Array(), next: nexts[asked.length - 1] };
  });
  for await (const page of pages) assert.equal(page.next, nexts[asked.length - 1]);
  assert.deepEqual(asked, [undefined, ...nexts.slice(0, 2)]);
});

test("a search without end is refused once as many pages are read as are read at most", async () => {
  let asked = 0;
  const pages = eachPage(async () => ({
    locations: [],
    accesses: [],
    cloudKey: new Uint8Array(),
    next: new Uint8Array([++asked]),
  }));
  for (let page = 0; page < MOST_PAGES; page++) assert.equal((await pages.next()).done, false);
  await assert.rejects(pages.next(), { reason: "LIMIT_REACHED" });
  assert.equal(asked, MOST_PAGES);
});
