/** A side of a room at a relay that fails, refuses, or is left. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { Time } from "../src/client/calls.js";
import { Mailbox } from "../src/client/relay.js";
import { Direction, RelayService } from "../src/gen/federation/v1/consultation_pb.js";
import { fromHex } from "../src/protocol/bytes.js";
import { errorInfo, served } from "./servers.js";

const HOUR = 3_600_000;
const sessionId = new Uint8Array(16);
const frame = { content: { case: "refusal" as const, value: { sessionId, sentAt: 1n } } };

async function mailbox(
  context: TestContext,
  relay: Partial<ServiceImpl<typeof RelayService>>,
  time?: Time,
): Promise<Mailbox> {
  const transport = await served(context, ({ service }) => service(RelayService, relay));
  return new Mailbox(transport, new Uint8Array(16), Direction.TO_DOCTOR, time);
}

/** A clock that pauses alone move, however busy the machine is. */
function stoppedClock(): Time & { readonly pauses: number[] } {
  let now = 0;
  const pauses: number[] = [];
  const pause = (milliseconds: number) => {
    now += milliseconds;
    pauses.push(milliseconds);
    return Promise.resolve();
  };
  return { now: () => now, pause, pauses };
}

function refused(code: Code, reason: string): ConnectError {
  const failure = new ConnectError("no", code);
  failure.details = [{ type: "google.rpc.ErrorInfo", value: errorInfo(reason) }];
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
  context.mock.timers.enable({ apis: ["setTimeout"] }); // the library leaves its deadline behind
  for await (const { content } of room.follow(HOUR)) {
    assert.equal(content.case, "refusal");
    break;
  }
  await left;
});

test("a relay that stays away is asked less and less often, for whatever reason it is away", async (context) => {
  const time = stoppedClock();
  const relay = {
    // eslint-disable-next-line require-yield
    async *followFrames() {
      throw refused(Code.Unavailable, "STORE_UNAVAILABLE");
    },
  };
  const room = await mailbox(context, relay, time);
  assert.equal(await drained(room.follow(60_000)), 0);
  assert.deepEqual(time.pauses.slice(0, 7), [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  assert.equal(time.now(), 60_000);
});

test("a relay that says how long to wait is asked after that", async (context) => {
  const time = stoppedClock();
  const relay = {
    // eslint-disable-next-line require-yield
    async *followFrames() {
      const busy = refused(Code.ResourceExhausted, "LIMIT_REACHED");
      busy.details.push({ type: "google.rpc.RetryInfo", value: fromHex("0a020807") }); // 7 s
      throw busy;
    },
  };
  const room = await mailbox(context, relay, time);
  assert.equal(await drained(room.follow(20_000)), 0);
  assert.deepEqual(time.pauses, [7_000, 7_000, 6_000]);
});

test("a relay that refuses for good ends the wait", async (context) => {
  const room = await mailbox(context, {
    // eslint-disable-next-line require-yield
    async *followFrames() {
      throw refused(Code.NotFound, "NO_SUCH_ROOM");
    },
  });
  await assert.rejects(drained(room.follow(HOUR)), { reason: "NO_SUCH_ROOM" });
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
