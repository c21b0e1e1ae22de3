/** What a hospital sends in place of a record, and a disk that is full. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { SessionFrame } from "../src/gen/federation/v1/envelope_pb.js";
import { PartKind } from "../src/gen/federation/v1/record_pb.js";
import type { Home } from "../src/client/home.js";
import { fetchRecord } from "../src/client/records.js";
import type { SessionStream } from "../src/client/session.js";
import { CurrentHome } from "../src/client/maintenance.js";
import { concat } from "../src/protocol/bytes.js";
import { paddedSize, Slices } from "../src/protocol/frames.js";
import { AwaitingRecord } from "../src/protocol/record.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { madeDirectory } from "./homes.js";
import { now as NOW, verifier } from "./cast.js";
import { frames, framed, manifestOf, sealedSlices, session } from "./hospital.js";

const MEBIBYTE = 1024 * 1024;

function awaiting(mostBytes = 64 * MEBIBYTE): AwaitingRecord {
  return new AwaitingRecord(session(), mostBytes);
}

/** How many frames are taken before one is refused, and why. */
function refused(sent: Iterable<SessionFrame>, mostBytes?: number): [number, string] {
  let [state, count] = [awaiting(mostBytes), 0];
  for (const frame of sent) {
    try {
      state = state.receive(frame, verifier, NOW) as AwaitingRecord;
    } catch (error) {
      return [count, preciseReason(error)];
    }
    count++;
  }
  return assert.fail("nothing was refused");
}

function stream(sent: readonly SessionFrame[]): SessionStream {
  const left = [...sent];
  return { send: () => undefined, receive: () => Promise.resolve(left.shift()!) } as unknown as SessionStream;
}

test("a record comes in whatever slices, and is whole when its last frame holds", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Number(NOW) });
  const head = framed(manifestOf(PartKind.ATTACHMENT, 700_000, 0, 5));
  const record = await fetchRecord(
    stream(await frames(concat(head, new Uint8Array(700_005)))),
    session(),
    64 * MEBIBYTE,
    new CurrentHome({ verifier: () => verifier } as unknown as Home, (home) => Promise.resolve(home)),
    {},
  );
  assert.deepEqual(
    record.parts.map(({ content }) => content.length),
    [700_000, 0, 5],
  );
  assert.equal(record.sizeBytes, head.length + 700_005);
});

test("a hospital that sends more than its manifest says is cut at once", () => {
  const head = framed(manifestOf(PartKind.ATTACHMENT, 5_000));
  const whole = concat(head, new Uint8Array(paddedSize(head.length + 5_000) - head.length));
  const more = new Uint8Array(MEBIBYTE);
  assert.deepEqual(refused(sealedSlices(whole, Uint8Array.of(0), more, more)), [1, "PADDING_INVALID"]);
  assert.deepEqual(refused(sealedSlices(head, more, more)), [1, "PADDING_INVALID"]);
});

test("padding that says something is refused when it comes", () => {
  const head = framed(manifestOf(PartKind.ATTACHMENT, 10));
  const zeros = new Uint8Array(1_000);
  assert.deepEqual(refused(sealedSlices(head, zeros, Uint8Array.of(0, 7), zeros)), [2, "PADDING_INVALID"]);
});

test("the bounds of a manifest, a FHIR bundle and all together hold before the rest is taken", () => {
  const huge = Uint8Array.of(0, 0x10, 0, 1); // a manifest of 1 MiB and a byte
  assert.deepEqual(refused(sealedSlices(huge)), [0, "MESSAGE_TOO_LARGE"]);
  const bundle = framed(manifestOf(PartKind.FHIR_BUNDLE, 17 * MEBIBYTE + 1));
  assert.deepEqual(refused(sealedSlices(bundle)), [0, "RECORD_TOO_LARGE"]);
  const attachments = framed(manifestOf(PartKind.ATTACHMENT, 40 * MEBIBYTE, 24 * MEBIBYTE));
  assert.deepEqual(refused(sealedSlices(attachments)), [0, "RECORD_TOO_LARGE"]);
  assert.ok(
    awaiting(65 * MEBIBYTE).receive([...sealedSlices(attachments)][0]!, verifier, NOW) instanceof AwaitingRecord,
  );
  const fits = framed(manifestOf(PartKind.FHIR_BUNDLE, 16 * MEBIBYTE));
  assert.ok(awaiting().receive([...sealedSlices(fits)][0]!, verifier, NOW) instanceof AwaitingRecord);
});

test("a manifest that announces more than any number holds is refused", () => {
  const manifest = manifestOf(PartKind.ATTACHMENT, 1);
  manifest.records[0]!.parts[0]!.sizeBytes = 2n ** 64n - 1n;
  assert.deepEqual(refused(sealedSlices(framed(manifest))), [0, "RECORD_TOO_LARGE"]);
});

test("a record that ends before its manifest says is none", async () => {
  const head = framed(manifestOf(PartKind.ATTACHMENT, 5_000));
  const sent = await frames(concat(head, new Uint8Array(10)));
  assert.deepEqual(refused(sent), [sent.length - 1, "RECORD_CUT_SHORT"]);
});

test("many short slices cost their bytes and no more", () => {
  let slices = new Slices();
  for (let count = 0; count < 5_000; count++) slices = slices.with(Uint8Array.of(count));
  assert.deepEqual([slices.size, slices.count, slices.pieces.length], [5_000, 5_000, 1]);
  assert.deepEqual([...slices.head(3)], [0, 1, 2]);
});

test("a part for which the disk has no room is told, and leaves no half file", (context) => {
  const directory = madeDirectory(context);
  const module = new URL("../src/client/records.js", import.meta.url).href;
  const program = `
    const { saveRecord } = await import(${JSON.stringify(module)});
    const part = (name, size) => ({ handle: new Uint8Array([1]), part: { name }, content: new Uint8Array(size) });
    try {
      saveRecord({ parts: [part("large", 4096), part("small", 10)] }, ${JSON.stringify(directory)});
    } catch (error) {
      process.stdout.write(error.reason + " " + error.message);
    }`;
  // What a process may write into one file stands for the room on a disk: the same call fails in the same place.
  const limited = `trap '' XFSZ; ulimit -f 1; exec "$@"`;
  const words = ["-c", limited, "limited", process.execPath, "--input-type=module", "-e", program];
  const { stdout } = spawnSync("bash", words, { encoding: "utf8" });
  assert.match(stdout, /^FILE_UNUSABLE E(FBIG|NOSPC)/);
  assert.equal(existsSync(join(directory, "01", "large")), false);
  assert.equal(existsSync(join(directory, "01", "small")), true);
});
