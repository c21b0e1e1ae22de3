/** A hospital in a session of which the keys are known: what it sends, and who reads it. */

import { create } from "@bufbuild/protobuf";
import type { SessionFrame } from "../src/gen/federation/v1/envelope_pb.js";
import {
  type PartKind,
  Purpose,
  RecordEndSchema,
  RecordEntrySchema,
  type RecordManifest,
  RecordManifestSchema,
  RecordPartSchema,
  ScopeSchema,
  SessionOutcome,
} from "../src/gen/federation/v1/record_pb.js";
import { Role } from "../src/gen/federation/v1/statement_pb.js";
import { sha256, u64 } from "../src/protocol/bytes.js";
import { Direction, sealContent } from "../src/protocol/frames.js";
import { commitment, Established } from "../src/protocol/record.js";
import { serialised } from "../src/protocol/sealing.js";
import { Shown } from "../src/protocol/shown.js";
import { field, transcript } from "../src/protocol/transcript.js";
import { cast, now as NOW, signed, verifier } from "./cast.js";
import { vectors, signingKey } from "./vectors.js";

export const sessionId = new Uint8Array(16).fill(1);
const handle = new Uint8Array(16).fill(2);
export const keys = { forward: keysOf(3), backward: keysOf(4), keyConfirmation: new Uint8Array(32) };
const hospital = signingKey(cast.parties.hospital.signing_key);
export const party = verifier.party(
  signed(vectors("statements").find(({ name }) => name === "ks of the hospital")),
  Role.HOSPITAL,
  NOW,
);
const intent = {
  shown: Shown.byOwnRight("P:wang"),
  scope: create(ScopeSchema, { purpose: Purpose.READ, departmentClass: "cardiology", handles: [handle] }),
  blind: new Uint8Array(32),
};
const transcriptHash = new Uint8Array(32).fill(6);

function keysOf(byte: number) {
  return { key: new Uint8Array(32).fill(byte), iv: new Uint8Array(12).fill(byte) };
}

export function session(): Established {
  const doctor = { self: { identity: "D:li" }, certificate: new Uint8Array() };
  const established = {
    own: doctor as never,
    peer: { party, encryptionKey: undefined as never, certificate: new Uint8Array() },
    id: sessionId,
    transcriptHash,
    sending: new Direction(sessionId, keys.forward),
    receiving: new Direction(sessionId, keys.backward),
    beganAt: NOW,
  };
  return new Established(established, intent);
}

export function manifestOf(kind: PartKind, ...sizes: number[]): RecordManifest {
  const parts = sizes.map((size, index) =>
    create(RecordPartSchema, {
      kind,
      name: `part-${index}`,
      mediaType: "application/octet-stream",
      sizeBytes: BigInt(size),
      digest: sha256(new Uint8Array(size)),
    }),
  );
  const departmentId = `${party.identity}/cardiology`;
  const entry = create(RecordEntrySchema, { handle, version: 1n, departmentId, storedAt: NOW, parts });
  return create(RecordManifestSchema, { patientId: "P:wang", hospitalId: party.identity, records: [entry] });
}

export function framed(manifest: RecordManifest): Uint8Array {
  return field(serialised(RecordManifestSchema, manifest));
}

/** Seal slices as the hospital would, padded or not. */
export function* sealedSlices(...slices: Uint8Array[]): Generator<SessionFrame> {
  let direction = new Direction(sessionId, keys.backward);
  for (const slice of slices) {
    const { next, frame } = direction.seal("h2", slice, false, NOW);
    yield frame;
    direction = next;
  }
}

/** The message that ends a record: it covers all of it. */
export async function endOf(content: Uint8Array): Promise<Uint8Array> {
  const { digest } = intent.shown;
  const covered = [transcriptHash, commitment(intent), sha256(content), digest, u64(1), u64(NOW)];
  const signature = await hospital.sign(transcript("H2", ...covered));
  const end = create(RecordEndSchema, { outcome: SessionOutcome.SERVED, version: 1n, sentAt: NOW, signature });
  return serialised(RecordEndSchema, end);
}

/** The frames of a record as an honest hospital sends them. */
export async function frames(content: Uint8Array): Promise<SessionFrame[]> {
  return sealContent(new Direction(sessionId, keys.backward), "h2", content, await endOf(content), NOW).frames;
}
