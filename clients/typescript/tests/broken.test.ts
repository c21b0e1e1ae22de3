/** Records whose sessions break: what came is gone on behind, in another session. */

import assert from "node:assert/strict";
import { createServer } from "node:http2";
import { test, type TestContext } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import type { SessionFrame } from "../src/gen/federation/v1/envelope_pb.js";
import { PartKind, RecordQuerySchema, RecordService, type Resumption } from "../src/gen/federation/v1/record_pb.js";
import type { Time } from "../src/client/calls.js";
import { BROKEN_PAUSES_MS, inSessions } from "../src/client/fetch.js";
import type { Home } from "../src/client/home.js";
import { CurrentHome } from "../src/client/maintenance.js";
import { type FetchedRecord, fetchRecord } from "../src/client/records.js";
import { SessionStream } from "../src/client/session.js";
import { concat, fromHex, sha256 } from "../src/protocol/bytes.js";
import { Direction, layoutOf, paddedSize, resumable, Slices } from "../src/protocol/frames.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { parse } from "../src/protocol/rules.js";
import { field } from "../src/protocol/transcript.js";
import { now as NOW, verifier } from "./cast.js";
import { endOf, framed, keys, manifestOf, session, sessionId } from "./hospital.js";
import { listening } from "./servers.js";
import { vectors } from "./vectors.js";

const STEP = 512 * 1024;
const SLICE = 64 * 1024;
const MOST_BYTES = 64 * 1024 * 1024;

test("a record that broke goes on behind what came", () => {
  for (const { name, manifest, fill, size_bytes, came, offset, manifest_digest } of vectors("broken")) {
    const content = concat(field(fromHex(manifest)), new Uint8Array(size_bytes).fill(fromHex(fill)[0]!));
    const padded = concat(content, new Uint8Array(paddedSize(content.length) - content.length));
    let slices = new Slices();
    for (const size of came) slices = slices.with(padded.subarray(slices.size, slices.size + size));
    const layout = layoutOf(slices, MOST_BYTES);
    const found = layout === undefined ? 0 : resumable(layout, slices);
    assert.equal(found, offset, name);
    if (layout === undefined || found === 0) continue;
    assert.deepEqual(layout.digest, fromHex(manifest_digest), name);
    const kept = slices.first(found);
    assert.deepEqual([kept.size, kept.head(found)], [found, content.slice(0, found)], name);
  }
});

test("a record goes on behind no part of its manifest", () => {
  const manifest = manifestOf(PartKind.ATTACHMENT, ...Array<number>(256).fill(1_000));
  manifest.records = Array.from({ length: 40 }, () => manifest.records[0]!);
  const head = framed(manifest);
  assert.ok(head.length > STEP);
  const whole = concat(head, new Uint8Array(2 * STEP - head.length));
  const layout = layoutOf(new Slices().with(whole), MOST_BYTES)!;
  for (const [size, offset] of [
    [head.length, 0],
    [2 * STEP - 1, 0],
    [2 * STEP, 2 * STEP],
  ] as const) {
    assert.equal(resumable(layout, new Slices().with(whole.subarray(0, size))), offset);
  }
});

/** How one session goes: how much of M_EMR || zeros has gone out in all when it ends, and how it does; all of it for nothing said. */
interface Play {
  readonly until?: number;
  readonly ends?: "cut" | "ended" | ConnectError;
}

const WHOLE: Play = {};

/** A hospital whose line breaks, and a doctor who fetches its one record. */
class Ward {
  readonly asked: (Resumption | undefined)[] = [];
  readonly said: string[] = [];
  readonly pauses: number[] = [];
  content = recordOf(5);
  /** What the record is after the first session. */
  later = this.content;
  readonly #plays: Play[];

  constructor(
    readonly context: TestContext,
    ...plays: Play[]
  ) {
    this.#plays = plays;
  }

  get left(): number {
    return this.#plays.length;
  }

  /** The content of the record's one part, as the doctor gets it. */
  async fetch(): Promise<Uint8Array> {
    this.context.mock.timers.enable({ apis: ["Date", "setTimeout"], now: Number(NOW) }); // the library leaves its deadlines behind
    const lines = new Set<{ destroy(): void }>();
    const cut = () => lines.forEach((line) => line.destroy());
    const adapter = connectNodeAdapter({
      routes: ({ service }) => service(RecordService, { openSession: (requests) => this.#answers(requests, cut) }),
    });
    const server = createServer(adapter);
    server.on("session", (line) => lines.add(line));
    const port = await listening(this.context, server);
    const home = new CurrentHome({ verifier: () => verifier } as unknown as Home, (same) => Promise.resolve(same));
    const time: Time = { now: () => 0, pause: (milliseconds) => Promise.resolve(void this.pauses.push(milliseconds)) };
    const one = (incoming: object): Promise<FetchedRecord> => {
      const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}`, defaultTimeoutMs: 15_000 });
      return SessionStream.during(transport, (stream) => fetchRecord(stream, session(), MOST_BYTES, home, incoming));
    };
    const record = await inSessions(one, "H:alpha", (words) => this.said.push(words), time);
    return record.parts[0]!.content;
  }

  async *#answers(requests: AsyncIterable<{ content: { case?: string; value?: unknown } }>, cut: () => void) {
    const { value } = await requests[Symbol.asyncIterator]().next();
    const d4 = new Direction(sessionId, keys.forward).open("d4", value!.content.value as SessionFrame);
    const { resumption } = parse(RecordQuerySchema, d4.content);
    this.asked.push(resumption);
    const { until, ends = "ended" } = this.#plays.shift()!;
    const { content } = this;
    this.content = this.later;
    const padded = concat(content, new Uint8Array(paddedSize(content.length) - content.length));
    let direction = new Direction(sessionId, keys.backward);
    const sealed = (plaintext: Uint8Array, last: boolean) => {
      const { next, frame } = direction.seal("h2", plaintext, last, NOW);
      direction = next;
      return { content: { case: "frame" as const, value: frame } };
    };
    const end = until ?? padded.length;
    for (let offset = Number(resumption?.offset ?? 0); offset < end; offset += SLICE)
      yield sealed(padded.subarray(offset, Math.min(offset + SLICE, padded.length)), false);
    if (until === undefined) yield sealed(await endOf(content), true);
    else if (ends instanceof ConnectError) throw ends;
    else if (ends === "cut") cut();
  }
}

/** M_EMR of one part of 3 MB of zeros, whose manifest's other part has so many bytes. */
function recordOf(other: number): Uint8Array {
  return concat(framed(manifestOf(PartKind.ATTACHMENT, 3_000_000, other)), new Uint8Array(3_000_000 + other));
}

function refused(code: Code, reason: string): ConnectError {
  const failure = new ConnectError("no", code);
  const word = new TextEncoder().encode(reason);
  const domain = new TextEncoder().encode("medunion");
  const value = new Uint8Array([0x0a, word.length, ...word, 0x12, domain.length, ...domain]);
  failure.details = [{ type: "google.rpc.ErrorInfo", value }];
  return failure;
}

for (const [name, ends] of [
  ["line is cut", "cut"],
  ["stream ends", "ended"],
  ["hour is over", refused(Code.DeadlineExceeded, "CALL_OVERDUE")],
  ["reader was slow", refused(Code.ResourceExhausted, "READER_STALLED")],
  ["hospital goes away", new ConnectError("away", Code.Unavailable)],
] as const)
  test(`a record whose ${name} goes on behind what came`, async (context) => {
    const ward = new Ward(context, { until: 3 * STEP + 1, ends }, WHOLE);
    assert.equal((await ward.fetch()).length, 3_000_000);
    const [first, second] = ward.asked;
    assert.equal(first, undefined);
    const offset = Number(second!.offset);
    // What of a cut line was on its way is lost.
    assert.ok(ends === "cut" ? offset > 0 && offset <= 3 * STEP : offset === 3 * STEP, `${offset}`);
    assert.equal(offset % STEP, 0);
    assert.deepEqual(second!.manifestDigest, sha256(framed(manifestOf(PartKind.ATTACHMENT, 3_000_000, 5)).subarray(4)));
    assert.deepEqual(ward.pauses, [1_000]);
    const came = `${(offset / 1e6).toFixed(1)} of 3.0 MB came`;
    assert.deepEqual(ward.said, [`The record from H:alpha broke off: ${came}. It goes on behind that in 1 s.`]);
  });

test("the pauses begin anew whenever more came, and after the last it is given up", async (context) => {
  const again = { until: 0 };
  const ward = new Ward(
    context,
    { until: STEP },
    again,
    again,
    { until: 3 * STEP },
    ...BROKEN_PAUSES_MS.map(() => again),
  );
  await assert.rejects(ward.fetch(), { reason: "RECORD_CUT_SHORT" });
  assert.deepEqual(ward.pauses, [1_000, 2_000, 4_000, ...BROKEN_PAUSES_MS]);
  assert.equal(ward.left, 0);
});

test("a record of which nothing came is not gone on with", async (context) => {
  const ward = new Ward(context, { until: STEP - SLICE }, WHOLE);
  await assert.rejects(ward.fetch(), { reason: "RECORD_CUT_SHORT" });
  assert.deepEqual([ward.left, ward.pauses], [1, []]);
});

test("a record that was changed meanwhile comes from its beginning", async (context) => {
  const changed = { until: 0, ends: refused(Code.FailedPrecondition, "RECORD_CHANGED") };
  const ward = new Ward(context, { until: 2 * STEP }, changed, WHOLE);
  ward.later = recordOf(7);
  assert.equal((await ward.fetch()).length, 3_000_000);
  assert.deepEqual(
    ward.asked.map((resumption) => Number(resumption?.offset ?? 0)),
    [0, 2 * STEP, 0],
  );
  assert.match(ward.said.at(-1)!, /was changed meanwhile/);
});

test("a refusal ends a record that broke", async (context) => {
  const ward = new Ward(
    context,
    { until: 2 * STEP },
    { until: 0, ends: refused(Code.PermissionDenied, "GRANT_REVOKED") },
    WHOLE,
  );
  await assert.rejects(ward.fetch(), { reason: "GRANT_REVOKED" });
  assert.equal(ward.left, 1);
});

test("a record whose rest is another's is refused as a whole", async (context) => {
  const ward = new Ward(context, { until: 2 * STEP }, WHOLE);
  const other = Uint8Array.from(ward.content);
  other[100_000]! ^= 1; // before what the second session sends, and signed by it
  ward.later = other;
  await assert.rejects(ward.fetch(), (error) => preciseReason(error) === "SIGNATURE_INVALID");
});
