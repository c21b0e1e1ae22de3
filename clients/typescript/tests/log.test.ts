/** The log's known answers: leaves, proofs, heads, cosignatures, and what who keeps heads decides. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AccessEntrySchema, AccessGround, AccessKind } from "../src/gen/federation/v1/access_pb.js";
import { fromHex, hex, text, u64 } from "../src/protocol/bytes.js";
import {
  accessLeaf,
  follow,
  HeadConflict,
  logOrigin,
  openHead,
  requireCosigned,
  requireLeaf,
} from "../src/protocol/log.js";
import { requireConsistent, requireIncluded } from "../src/protocol/merkle.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { transcript } from "../src/protocol/transcript.js";
import { requireBelieved } from "../src/protocol/witnesses.js";
import { type Vector, vectors } from "./vectors.js";

const GROUNDS: Record<string, AccessGround> = {
  consent: AccessGround.CONSENT,
  own: AccessGround.OWN,
  emergency: AccessGround.EMERGENCY,
  none: AccessGround.NONE,
};

/** Try each vector of a kind, and hold it to what it expects; say how many were taken and how many refused. */
function each(kind: string, step: (vector: Vector) => void): void {
  const counts = { taken: 0, refused: 0 };
  for (const vector of vectors("log").filter((it) => it.kind === kind)) {
    let said = "success";
    try {
      step(vector);
    } catch (error) {
      said = preciseReason(error);
    }
    assert.equal(said, vector.expect, vector.name);
    counts[said === "success" ? "taken" : "refused"]++;
  }
  assert.ok(counts.taken > 0 && (counts.refused > 0 || kind === "origin"), kind);
}

test("origins of logs", () => {
  each("origin", (vector) => assert.equal(logOrigin(vector.realm, vector.author_id, vector.number), vector.origin));
});

test("leaves of accesses", () => {
  each("access leaf", (vector) => {
    const entry = create(AccessEntrySchema, {
      at: BigInt(vector.at),
      askerId: vector.asker_id,
      kind: AccessKind[vector.access_kind as keyof typeof AccessKind],
      departmentClass: vector.department_class,
      ground: GROUNDS[vector.ground]!,
      authorization: fromHex(vector.authorization),
      reason: vector.reason,
      grantDigest: fromHex(vector.grant_digest),
    });
    const data = accessLeaf(entry, vector.patient_id, vector.where, fromHex(vector.blind));
    requireLeaf(data, fromHex(vector.leaf));
    assert.equal(hex(data), vector.data);
  });
});

test("leaves of events", () => {
  each("event leaf", (vector) => {
    const fields = [text(vector.where), u64(vector.at), fromHex(vector.event), fromHex(vector.blind)];
    requireLeaf(transcript("log-event", ...fields), fromHex(vector.leaf));
  });
});

test("proofs that a tree has a leaf", () => {
  each("inclusion", (vector) => {
    const [index, size] = [BigInt(vector.index), BigInt(vector.size)];
    requireIncluded(fromHex(vector.leaf), index, size, vector.proof.map(fromHex), fromHex(vector.root));
  });
});

test("proofs that a tree begins with an older one", () => {
  each("consistency", (vector) => {
    const before = { size: BigInt(vector.old_size), root: fromHex(vector.old_root) };
    const after = { size: BigInt(vector.new_size), root: fromHex(vector.new_root) };
    requireConsistent(before, after, vector.proof.map(fromHex));
  });
});

test("heads", () => {
  each("head", (vector) => {
    const head = openHead(fromHex(vector.note), vector.origin, fromHex(vector.verifying_key));
    assert.deepEqual([String(head.size), hex(head.root)], [vector.size, vector.root]);
  });
});

test("heads that are believed by a witness policy", () => {
  each("believed", (vector) => {
    const witnesses = vector.witnesses.map((it: Vector) => ({ id: it.id, verifyingKey: fromHex(it.verifying_key) }));
    const { cosignatures, hospitals, public_cloud } = vector.policy;
    const policy = {
      notBefore: 0n,
      cosignatures,
      hospitals: hospitals[0] === "*" ? undefined : hospitals,
      cloudId: public_cloud ? vector.cloud_id : undefined,
    };
    const counted = requireBelieved(policy, fromHex(vector.note), vector.lines.map(fromHex), witnesses);
    assert.deepEqual(counted, vector.counted, vector.name);
  });
});

test("cosignatures", () => {
  each("cosigned", (vector) => {
    const witnesses = vector.witnesses.map((it: Vector) => ({ id: it.id, verifyingKey: fromHex(it.verifying_key) }));
    const found = requireCosigned(fromHex(vector.note), vector.lines.map(fromHex), witnesses, vector.quorum);
    const by = found.map(({ witnessId, at }) => ({ id: witnessId, at: Number(at) }));
    assert.deepEqual(by, vector.cosigned_by, vector.name);
  });
});

test("heads that are followed, and both notes of a fork", () => {
  each("witness", (vector) => {
    const log = { origin: vector.origin, verifyingKey: fromHex(vector.verifying_key) };
    const before = fromHex(vector.kept);
    const kept = before.length > 0 ? { head: openHead(before, log.origin, log.verifyingKey), note: before } : undefined;
    const shown = {
      note: fromHex(vector.note),
      oldSize: BigInt(vector.old_size),
      proof: vector.proof.map(fromHex),
    };
    try {
      assert.equal(hex(follow(kept, shown, log, vector.witness_id).note), vector.note);
    } catch (error) {
      if (error instanceof HeadConflict)
        assert.deepEqual([hex(error.kept), hex(error.shown)], [vector.kept, vector.note]);
      throw error;
    }
  });
});

test("a log of nobody is not followed", () => {
  const vector = vectors("log").find((it) => it.kind === "witness");
  const log = { origin: "somewhere", verifyingKey: fromHex(vector.verifying_key) };
  const shown = { note: fromHex(vector.note), oldSize: 0n, proof: [] };
  assert.throws(() => follow(undefined, shown, log, "H:beta"), { reason: "NOTE_MALFORMED" });
});
