/**
 * M_EMR = F(manifest) || the bytes of every part, in the manifest's order: read, and checked by it, once the hospital's signature over
 * the whole held. This client keeps a record in memory until then; one for large attachments would spool it to an encrypted file.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type RecordEnd,
  type RecordManifest,
  RecordManifestSchema,
  type RecordPart,
} from "../gen/federation/v1/record_pb.js";
import { writeNew } from "../keys/file.js";
import { concat, equal, hex, sha256 } from "../protocol/bytes.js";
import type { Established } from "../protocol/record.js";
import { Refusal, require } from "../protocol/refusal.js";
import { parse } from "../protocol/rules.js";
import { clock } from "./cloud.js";
import type { SessionStream } from "./session.js";

const MOST_MANIFEST_BYTES = 1_048_576;
const MOST_RECORD_BYTES = 256 * 1024 * 1024;

/** What one hospital released in one session, whole and verified. */
export interface FetchedRecord {
  readonly manifest: RecordManifest;
  readonly digest: Uint8Array;
  readonly end: RecordEnd;
  readonly parts: readonly { handle: Uint8Array; part: RecordPart; content: Uint8Array }[];
}

/** Send D4 and take H2 to its end: nothing is given before the last frame verified (C8). */
export async function fetchRecord(stream: SessionStream, session: Established): Promise<FetchedRecord> {
  const { awaiting, frame } = session.query(clock());
  stream.send(frame);
  const slices: Uint8Array[] = [];
  for (let state = awaiting, size = 0; ;) {
    const { awaiting: next, progress } = state.receive(await stream.receive(), clock());
    if ("end" in progress) return read(concat(...slices), progress.end, session);
    size += progress.slice.length;
    require(size <=
      MOST_RECORD_BYTES, "LIMIT_REACHED", `this client takes records of at most ${MOST_RECORD_BYTES} bytes`);
    slices.push(progress.slice);
    state = next;
  }
}

/** Write every part to `directory/<handle>/<name>`, over no other file. One that can't be written stops no other; why is told at the end. */
export function saveRecord(record: FetchedRecord, directory: string): void {
  const failures: unknown[] = [];
  for (const { handle, part, content } of record.parts) {
    try {
      savePart(join(directory, hex(handle)), part.name!, content);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function savePart(directory: string, name: string, content: Uint8Array): void {
  require(isPlainName(name), "FILE_UNUSABLE", `a part has a name that is no file's: ${JSON.stringify(name)}`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeNew(join(directory, name), content);
  } catch (error) {
    throw new Refusal("FILE_UNUSABLE", (error as Error).message, { cause: error });
  }
}

/** Whether a name, which is the hospital's word, is a file's: without directories, not hidden, and safe to print. */
function isPlainName(name: string): boolean {
  return /^[ -~]+$/.test(name) && !/^\.|[/\\:*?"<>|]/.test(name);
}

function read(content: Uint8Array, end: RecordEnd, session: Established): FetchedRecord {
  const take = reader(content);
  const size = new DataView(take(4).slice().buffer).getUint32(0);
  require(size <= MOST_MANIFEST_BYTES, "MESSAGE_TOO_LARGE", `a manifest of ${size} bytes`);
  const manifest = parse(RecordManifestSchema, take(size));
  requireAsked(manifest, session);
  const parts = manifest.records.flatMap(({ handle, parts: listed }) =>
    listed.map((part) => ({ handle: handle!, part, content: verified(part, take(Number(part.sizeBytes))) })),
  );
  require(take.left() === 0, "RECORD_DIGEST_MISMATCH", "the record holds more than its manifest says");
  return { manifest, digest: sha256(content), end, parts };
}

/** Require that the manifest is of the patient, hospital and records that were asked for. */
function requireAsked(manifest: RecordManifest, session: Established): void {
  const { intent, hospital } = session;
  const same = manifest.patientId === intent.patientId && manifest.hospitalId === hospital.identity;
  require(same, "IDENTITY_MISMATCH", "the record names another patient or hospital");
  const asked = new Set(intent.scope.handles.map(hex));
  const foreign = manifest.records.some(({ handle }) => !asked.has(hex(handle!)));
  require(!foreign, "ANSWER_MISMATCH", "the hospital sent a record that was not asked for");
}

function verified(part: RecordPart, content: Uint8Array): Uint8Array {
  require(equal(
    sha256(content),
    part.digest!,
  ), "RECORD_DIGEST_MISMATCH", "a part of the record is not what its manifest says");
  return content;
}

function reader(content: Uint8Array) {
  let offset = 0;
  const take = (size: number) => {
    if (size > content.length - offset)
      throw new Refusal("RECORD_CUT_SHORT", "the record ends before its manifest says");
    return content.subarray(offset, (offset += size));
  };
  return Object.assign(take, { left: () => content.length - offset });
}
