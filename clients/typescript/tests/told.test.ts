/** What a log tells its patient, held to tests/vectors/told.json. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { fromHex } from "../src/protocol/bytes.js";
import { AccessEntrySchema, ProvedHeadSchema } from "../src/gen/federation/v1/access_pb.js";
import { Role, type SignedStatement } from "../src/gen/federation/v1/statement_pb.js";
import { Refusal } from "../src/protocol/refusal.js";
import { isWitnessed, type LogPage, requireFurther, requireTold, untoldOf, witnessed } from "../src/protocol/told.js";
import { bundle, verifier } from "./cast.js";
import { type Vector, vectors } from "./vectors.js";

for (const vector of vectors("told")) {
  test(`told: ${vector.name}`, async () => {
    const proved = fromBinary(ProvedHeadSchema, fromHex(vector.head));
    assert.equal(outcome(vector), vector.expect);
    const now = BigInt(vector.now);
    const hospital = (signed: SignedStatement) => verifier.party(signed, Role.HOSPITAL, now);
    if (vector.expect === "success") {
      const author = { realm: vector.realm, partyId: vector.party_id, key: fromHex(vector.verifying_key) };
      const alone = requireTold({ entries: [], proved }, vector.patient_id, author);
      const told = await witnessed(alone, proved, bundle, hospital, now);
      assert.deepEqual([told.cosigners, isWitnessed(told)], [vector.cosigners, vector.witnessed]);
    }
  });
}

function outcome(vector: Vector): string {
  const said = page(vector);
  const author = { realm: vector.realm, partyId: vector.party_id, key: fromHex(vector.verifying_key) };
  const known = vector.known_note === "" ? undefined : fromHex(vector.known_note);
  try {
    const before = vector.before && requireTold(page(vector.before), vector.patient_id, author);
    const told = before
      ? requireFurther(said, vector.patient_id, author, before)
      : requireTold(said, vector.patient_id, author, known);
    assert.equal(told.entries.length, said.entries.length + (before?.entries.length ?? 0));
    assert.equal(untoldOf(told), BigInt(vector.untold));
    assert.equal(told.head.size, BigInt(vector.size));
    assert.deepEqual(told.head.root, fromHex(vector.root));
    assert.equal(told.beginsAnew, vector.begins_anew);
    return "success";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.reason;
  }
}

function page({ entries, head, older }: Vector): LogPage {
  return {
    entries: entries.map((encoded: string) => fromBinary(AccessEntrySchema, fromHex(encoded))),
    proved: fromBinary(ProvedHeadSchema, fromHex(head)),
    older: older === null ? undefined : BigInt(older),
  };
}
