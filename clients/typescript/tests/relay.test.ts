/** A side of a room at a relay that fails, refuses, or is left. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { Mailbox } from "../src/client/relay.js";
import { Direction, RelayService } from "../src/gen/federation/v1/consultation_pb.js";
import { fromHex } from "../src/protocol/bytes.js";
import { served } from "./servers.js";

const sessionId = new Uint8Array(16);
const frame = { content: { case: "refusal" as const, value: { sessionId, sentAt: 1n } } };

async function mailbox(context: TestContext, relay: Partial<ServiceImpl<typeof RelayService>>): Promise<Mailbox> {
  const transport = await served(context, ({ service }) => service(RelayService, relay));
  return new Mailbox(transport, new Uint8Array(16), Direction.TO_DOCTOR);
}

function refused(code: Code, reason: string): ConnectError {
  const failure = new ConnectError("no", code);
  const word = new TextEncoder().encode(reason);
  failure.details = [{ type: "google.rpc.ErrorInfo", value: new Uint8Array([0x0a, word.length, ...word]) }];
  return failure;
}

async function drained(frames: AsyncIterable<unknown>): Promise<number> {
  const all: unknown[] = [];
  for await (const one of frames) all.push(one);
  return all.length;
}

test("a follower who leaves early ends the stream at the relay", async (context) => {
  let left: Promise<unknown> | undefined;
  const room = await mailbox(context, {
    async *followFrames(_, { signal }) {
      left = once(signal, "abort");
      yield { number: 0n, frame };
      await left;
    },
  });
  for await (const { content } of room.follow(60_000)) {
    assert.equal(content.case, "refusal");
    break;
  }
  await left;
});

test("a relay that stays away is asked less and less often, for whatever reason it is away", async (context) => {
  let asked = 0;
  const room = await mailbox(context, {
    // eslint-disable-next-line require-yield
    async *followFrames() {
      asked++;
      throw refused(Code.Unavailable, "STORE_UNAVAILABLE");
    },
  });
  assert.equal(await drained(room.follow(1_500)), 0);
  assert.equal(asked, 4); // at 0, 200, 600 and 1400 ms
});

test("a relay that says how long to wait is asked after that", async (context) => {
  let asked = 0;
  const room = await mailbox(context, {
    // eslint-disable-next-line require-yield
    async *followFrames() {
      asked++;
      const busy = refused(Code.ResourceExhausted, "LIMIT_REACHED");
      busy.details.push({ type: "google.rpc.RetryInfo", value: fromHex("0a020801") }); // 1 s
      throw busy;
    },
  });
  assert.equal(await drained(room.follow(900)), 0);
  assert.equal(asked, 1);
});

test("a relay that refuses for good ends the wait", async (context) => {
  const room = await mailbox(context, {
    // eslint-disable-next-line require-yield
    async *followFrames() {
      throw refused(Code.NotFound, "NO_SUCH_ROOM");
    },
  });
  await assert.rejects(drained(room.follow(5_000)), { reason: "NO_SUCH_ROOM" });
});

test("a frame goes under the next free number, and a number where none was put stays free", async (context) => {
  const taken = [0n, 1n];
  const put: bigint[] = [];
  let isAway = false;
  const room = await mailbox(context, {
    putFrame({ number }) {
      if (taken.includes(number!)) throw refused(Code.AlreadyExists, "ALREADY_EXISTS");
      if (isAway) throw refused(Code.NotFound, "NO_SUCH_ROOM");
      put.push(number!);
      return {};
    },
  });
  await room.put(frame);
  isAway = true;
  await assert.rejects(room.put(frame), { reason: "NO_SUCH_ROOM" });
  isAway = false;
  await room.put(frame);
  assert.deepEqual(put, [2n, 3n]);
});
