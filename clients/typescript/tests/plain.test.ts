/** What a person reads of a refusal, held to tests/vectors/plain.json. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { refusalOf } from "../src/client/calls.js";
import { afterOpening, plain, Refusal } from "../src/protocol/refusal.js";
import { wordsOf } from "../src/protocol/words.js";
import { errorInfo } from "./servers.js";
import { type Vector, vectors } from "./vectors.js";

for (const vector of vectors("plain")) {
  test(`plain: ${vector.name}`, () => {
    const own = vector.kind === "own";
    const refusal = own ? new Refusal(vector.reason, vector.sentence) : refusalOf(ended(vector), vector.address);
    assert.equal(refusal.reason, vector.expect);
    assert.equal(plain(refusal), vector.said);
  });
}

/** How Connect gives a call that has failed. */
function ended({ code, message, domain, reason, request_id, retry_after }: Vector): ConnectError {
  const failure = new ConnectError(message ?? "", codeOf(code));
  if (domain !== undefined) failure.details.push({ type: "google.rpc.ErrorInfo", value: errorInfo(reason, domain) });
  if (retry_after !== undefined) {
    failure.details.push({ type: "google.rpc.RetryInfo", value: new Uint8Array([0x0a, 2, 0x08, retry_after]) });
  }
  if (request_id !== undefined) failure.metadata.set("medunion-request-id", request_id);
  return failure;
}

/** PERMISSION_DENIED is Code.PermissionDenied. */
function codeOf(name: string): Code {
  const words = name.split("_").map((word) => word[0] + word.slice(1).toLowerCase());
  return Code[words.join("") as keyof typeof Code];
}

test("a person reads what was found in a peer's message, and of what is none of the vocabulary its own words", () => {
  const found = () => {
    throw new Refusal("OUT_OF_ORDER", "one before");
  };
  assert.throws(
    () => afterOpening(found),
    (hidden: Refusal) => plain(hidden) === "A message came at the wrong moment. Begin again. [OUT_OF_ORDER]",
  );
  assert.equal(plain(new Refusal("UNHEARD_OF", "of no vocabulary")), "of no vocabulary. [UNHEARD_OF]");
  assert.equal(wordsOf("toString"), undefined);
});
