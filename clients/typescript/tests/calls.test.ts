/** What a server refuses with, as gRPC tells it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { refusalOf } from "../src/client/calls.js";

const reason = "TOKEN_LOST";
const readable = new Uint8Array([0x0a, reason.length, ...new TextEncoder().encode(reason)]);

function refused(value: Uint8Array): string {
  const failure = new ConnectError("no", Code.Unavailable);
  failure.details = [{ type: "google.rpc.ErrorInfo", value }];
  return refusalOf(failure).reason;
}

test("a refusal's reason is that of its details", () => {
  assert.equal(refused(readable), reason);
});

test("details that can't be read leave the code", () => {
  assert.equal(refused(readable.slice(0, 5)), "UNAVAILABLE");
});
