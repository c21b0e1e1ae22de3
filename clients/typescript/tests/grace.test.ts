/** How long a list counts that is over, held to tests/vectors/grace.json; and what a home remembers of its use. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Role } from "../src/gen/federation/v1/statement_pb.js";
import { USUAL_GRACE } from "../src/client/home.js";
import { withShards } from "../src/client/shards.js";
import { requireCurrent, requireStood } from "../src/protocol/grace.js";
import { now, signed, statement } from "./cast.js";
import { StubCloud } from "./clouds.js";
import { madeHome } from "./homes.js";
import { vectors } from "./vectors.js";

for (const vector of vectors("grace")) {
  test(`grace: ${vector.name}`, () => {
    const head = { thisUpdate: BigInt(vector.this_update), nextUpdate: BigInt(vector.next_update) };
    const grace = { length: BigInt(vector.grace), seen: BigInt(vector.seen) };
    const looked = () => {
      requireCurrent(head, grace, BigInt(vector.now));
      requireStood(head, BigInt(vector.stated_at), grace, BigInt(vector.now));
    };
    if (vector.expect === "success") looked();
    else assert.throws(looked, { reason: vector.expect });
  });
}

test("a list that is over counts for the grace, and a clock that is set back stretches nothing", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
  const [made, cloud] = [await madeHome(context), new StubCloud()];
  const home = await cloud.caller().refresh(made.home);
  const keyStatement = signed(statement("ks of the patient"));
  const looked = (at: bigint) =>
    withShards(home, () => home.verifier(at).party(keyStatement, Role.PATIENT, at).identity);
  const end = home.lists!.head.nextUpdate!;
  assert.equal(await looked(end + USUAL_GRACE - 1n), "P:wang");
  await assert.rejects(looked(end + USUAL_GRACE), { reason: "REVOCATION_LIST_STALE" });
  home.noteLate(end + 10_000n);
  assert.equal(await looked(end + 10_000n), "P:wang");
  await assert.rejects(looked(end), { reason: "REVOCATION_LIST_STALE" });
  assert.throws(() => made.reopened().verifier(end).party(keyStatement, Role.PATIENT, end), {
    reason: "REVOCATION_LIST_STALE",
  });
});
