/** The records of one answer, read and saved once the hospital's signature over all of them held. They are kept in memory until then. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { SessionFrame } from "../gen/federation/v1/envelope_pb.js";
import { Purpose, type RecordEnd, type RecordManifest, type RecordPart } from "../gen/federation/v1/record_pb.js";
import { writeNew } from "../keys/files.js";
import { equal, hex, sha256 } from "../protocol/bytes.js";
import { AwaitingRecord, type BrokenRecord, type Established, type ReceivedRecord } from "../protocol/record.js";
import { Refusal, require } from "../protocol/refusal.js";
import { clock } from "./cloud.js";
import type { SessionStream } from "./session.js";
import { type CurrentHome, currentOrKept } from "./maintenance.js";
import { withShards } from "./shards.js";

/** What one hospital released, in one session or several, whole and verified. */
export interface FetchedRecord {
  readonly manifest: RecordManifest;
  readonly digest: Uint8Array;
  readonly sizeBytes: number;
  readonly end: RecordEnd;
  readonly parts: readonly { handle: Uint8Array; part: RecordPart; content: Uint8Array }[];
}

/** A record on its way in: what came of it in the sessions until now, as far as the next one goes on behind it. */
export interface Incoming {
  broken?: BrokenRecord | undefined;
}

/**
 * Send D4 and take H2 to its end: nothing is given before the last frame verified, on the lists that are current then (C8). Where the session is
 * lost before, `incoming` keeps what came.
 */
export async function fetchRecord(
  stream: SessionStream,
  established: Established,
  mostBytes: number,
  currentHome: CurrentHome,
  incoming: Incoming,
): Promise<FetchedRecord> {
  const { awaiting, frame } = established.query(clock(), mostBytes, incoming.broken);
  stream.send(frame);
  for (let state = awaiting; ;) {
    const frame = await received(stream, state, incoming);
    const home = frame.last ? await currentOrKept(currentHome) : currentHome.last;
    const taking = state;
    const next = await withShards(home, () => taking.receive(frame, home.verifier(clock()), clock()));
    if (!(next instanceof AwaitingRecord)) return read(next, established);
    state = next;
  }
}

async function received(stream: SessionStream, state: AwaitingRecord, incoming: Incoming): Promise<SessionFrame> {
  try {
    return await stream.receive();
  } catch (error) {
    incoming.broken = state.broken;
    throw error;
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

function read({ layout, content, digest, end }: ReceivedRecord, established: Established): FetchedRecord {
  const { manifest } = layout;
  requireAsked(manifest, established);
  let offset = layout.begin;
  const parts = manifest.records.flatMap(({ handle, parts: listed }) =>
    listed.map((part) => {
      const own = content.subarray(offset, (offset += Number(part.sizeBytes)));
      return { handle: handle!, part, content: verified(part, own) };
    }),
  );
  return { manifest, digest, sizeBytes: layout.size, end, parts };
}

/** Require that the manifest is of the patient, hospital and records that were asked for. */
function requireAsked(manifest: RecordManifest, established: Established): void {
  const { intent, session } = established;
  const hospital = session.peer.party;
  const same = manifest.patientId === intent.shown.patientId && manifest.hospitalId === hospital.identity;
  require(same, "IDENTITY_MISMATCH", "the record names another patient or hospital");
  const asked = new Set(intent.scope.handles.map(hex));
  const foreign = manifest.records.some(({ handle }) => !asked.has(hex(handle!)));
  const hasLog = manifest.accesses.length > 0 || manifest.logHead !== undefined || manifest.next !== undefined;
  const isUnasked = hasLog && intent.scope.purpose !== Purpose.LOG;
  require(!foreign && !isUnasked, "ANSWER_MISMATCH", "the hospital sent a record that was not asked for");
}

function verified(part: RecordPart, content: Uint8Array): Uint8Array {
  require(equal(
    sha256(content),
    part.digest!,
  ), "RECORD_DIGEST_MISMATCH", "a part of the record is not what its manifest says");
  return content;
}
