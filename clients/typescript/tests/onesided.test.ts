/** What is said of accesses that one side alone has, held to tests/vectors/one_sided.json. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { AccessEntrySchema } from "../src/gen/federation/v1/access_pb.js";
import { fromHex } from "../src/protocol/bytes.js";
import { remarks } from "../src/protocol/onesided.js";
import { type Vector, vectors } from "./vectors.js";

for (const vector of vectors("one_sided")) {
  test(`one-sided: ${vector.name}`, () => {
    const circumstances = {
      askedAt: BigInt(vector.asked_at),
      unsearchable: vector.unsearchable.map(fromHex),
      isWhole: vector.is_whole,
    };
    const found = remarks(log(vector.cloud), vector.hospitals.map(log), circumstances);
    const said = found.map(({ partyId, number, words }) => ({ where: partyId, number: Number(number), words }));
    assert.deepEqual(
      said.sort((one, other) => (one.where < other.where ? -1 : 1)),
      vector.remarks,
    );
  });
}

function log({ party_id: partyId, entries }: Vector) {
  return { partyId, entries: entries.map((encoded: string) => fromBinary(AccessEntrySchema, fromHex(encoded))) };
}
