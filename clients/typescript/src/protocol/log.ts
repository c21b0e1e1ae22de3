/** The log: its heads, cosignatures of them, what who keeps heads decides, and the leaf of an access (docs/protocol.md, 8). */

import { type AccessEntry } from "../gen/federation/v1/access_pb.js";
import { concat, EMPTY, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import { EMPTY_ROOT, LARGEST_SIZE, leafHash, requireConsistent, type TreeHead } from "./merkle.js";
import { KEY_ID_BYTES, type NoteSignature, readBase64, readLine, readNote, requireSigned, spkiOf } from "./notes.js";
import { Refusal, require } from "./refusal.js";
import { GROUNDS, KINDS } from "./search.js";
import { verifyText } from "./signatures.js";
import { transcript } from "./transcript.js";

const TIME_BYTES = 8;
const SECOND = 1000n;
const COSIGNATURE = concat(Uint8Array.of(0xff), text("medunion/v1 ECDSA-P256-SHA256 cosignature/v1"));
const HEAD = /^([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n$/;
const PARTY = "[PD]:[A-Za-z0-9._-]{1,64}|[HC]:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const ORIGIN = new RegExp(`^([A-Za-z0-9._~%-]{1,192})/(${PARTY})/[1-9][0-9]{0,8}$`);

/** How many leaves a log has, and the root over them. */
export interface LogHead extends TreeHead {
  readonly origin: string;
}

/** A member whose cosignatures count. */
export interface Witness {
  readonly id: string;
  readonly verifyingKey: Uint8Array;
}

/** Which witness has cosigned a head, and when. */
export interface Cosignature {
  readonly witnessId: string;
  readonly at: Instant;
}

/** The newest head of a log that was taken here, and its note, which is what proves a fork. */
export interface KeptHead {
  readonly head: LogHead;
  readonly note: Uint8Array;
}

/** A head as its log shows it to who keeps one: the note, from which size the proof begins, and the proof. */
export interface ShownHead {
  readonly note: Uint8Array;
  readonly oldSize: bigint;
  readonly proof: readonly Uint8Array[];
}

/** Two heads of one log, of one size and with two roots: both notes are the proof of a fork. */
export class HeadConflict extends Refusal {
  constructor(
    readonly kept: Uint8Array,
    readonly shown: Uint8Array,
  ) {
    super("HEAD_CONFLICT", "two heads of one size");
  }
}

/** Which log: the first line of its heads. */
export function logOrigin(realm: string, authorId: string, number: number): string {
  const encoded = encodeURIComponent(realm).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${encoded}/${authorId}/${number}`;
}

/** Verify the note of a head, then read it. */
export function openHead(data: Uint8Array, origin: string, verifyingKey: Uint8Array): LogHead {
  const note = readNote(data); // lh.1
  requireSigned(note, origin, verifyingKey); // lh.2
  const head = readHead(note.text);
  require(head.origin === origin, "IDENTITY_MISMATCH", "this is the head of another log"); // lh.5
  return head;
}

/** Read a head whose author is to be found by it; nothing of it may be used before `openHead`. */
export function peekHead(data: Uint8Array): LogHead {
  const head = readHead(readNote(data).text);
  readOrigin(head.origin);
  return head;
}

/** Whose log the head of a note is of, which `openHead` took. */
export function authorOf(data: Uint8Array): string {
  return readOrigin(readHead(readNote(data).text).origin).authorId;
}

/**
 * Require that so many of these witnesses, each counted once and the log's author not at all, have cosigned a head that `openHead` took.
 * Lines of others are left alone.
 */
export function requireCosigned(
  head: Uint8Array,
  lines: readonly Uint8Array[],
  witnesses: readonly Witness[],
  quorum: number,
): readonly Cosignature[] {
  const note = readNote(head);
  const { realm, authorId } = readOrigin(readHead(note.text).origin);
  const signatures = lines.map(readLine); // cosig.1
  const found = witnesses
    .flatMap((witness) => cosignaturesOf(witness, realm, note.text, signatures).slice(-1))
    .filter(({ witnessId }) => witnessId !== authorId)
    .filter(({ witnessId }, place, all) => all.findIndex((it) => it.witnessId === witnessId) === place);
  const enough = quorum >= 1 && found.length >= quorum;
  require(enough, "HEAD_NOT_COSIGNED", `${found.length} witnesses have cosigned this head, not ${quorum}`); // cosig.4
  return found;
}

/** What is kept of a log from now on, where it shows a head to a reader or a witness. */
export function follow(
  kept: KeptHead | undefined,
  shown: ShownHead,
  log: { readonly origin: string; readonly verifyingKey: Uint8Array },
  readerId: string,
): KeptHead {
  const { authorId } = readOrigin(log.origin);
  require(authorId !== readerId, "WITNESS_INELIGIBLE", "nobody is a witness of its own log"); // wit.1
  const head = openHead(shown.note, log.origin, log.verifyingKey); // wit.2
  const before = kept?.head ?? { size: 0n, root: EMPTY_ROOT };
  require(head.size >= before.size, "HEAD_OLDER", "a newer head of this log is kept"); // wit.3
  if (kept !== undefined && head.size === before.size && !equal(head.root, before.root))
    throw new HeadConflict(kept.note, shown.note); // wit.4
  const begins = shown.oldSize === before.size;
  require(begins, "HEAD_BASE_MISMATCH", `the proof has to begin at ${before.size}`); // wit.5
  requireConsistent(before, head, shown.proof); // wit.6
  return { head, note: shown.note };
}

/** The data of the leaf of an access, from what its patient is told of it, and where it was written. */
export function accessLeaf(entry: AccessEntry, patientId: string, where: string, blind: Uint8Array): Uint8Array {
  return transcript(
    "log-access",
    text(where),
    u64(entry.at!),
    text(entry.askerId!),
    text(patientId),
    text(KINDS[entry.kind!]!),
    text(entry.departmentClass!),
    text(GROUNDS[entry.ground!]!),
    entry.authorization ?? EMPTY,
    text(entry.reason!),
    entry.grantDigest ?? EMPTY,
    blind,
  );
}

/** Require that a leaf, its hash, is of this data. */
export function requireLeaf(data: Uint8Array, leaf: Uint8Array): void {
  require(equal(leafHash(data), leaf), "LEAF_MISMATCH", "the entry says something else than its leaf"); // leaf.1
}

function cosignaturesOf(
  { id, verifyingKey }: Witness,
  realm: string,
  head: string,
  lines: readonly NoteSignature[],
): readonly Cosignature[] {
  const name = `${realm}/${id}`;
  const keyId = sha256(concat(text(`${name}\n`), COSIGNATURE, spkiOf(verifyingKey))).subarray(0, KEY_ID_BYTES);
  const own = lines.filter((line) => line.name === name && equal(line.keyId, keyId));
  return own.map(({ signature }) => {
    require(signature.length >= TIME_BYTES, "NOTE_MALFORMED", "a cosignature begins with a time"); // cosig.2
    const seconds = new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
    require(seconds <= LARGEST_SIZE, "NOTE_MALFORMED", "a cosignature begins with a time"); // cosig.2
    verifyText(verifyingKey, signature.subarray(TIME_BYTES), `cosignature/v1\ntime ${seconds}\n${head}`); // cosig.3
    return { witnessId: id, at: seconds * SECOND };
  });
}

function readOrigin(origin: string): { readonly realm: string; readonly authorId: string } {
  const found = ORIGIN.exec(origin);
  require(found !== null, "NOTE_MALFORMED", "an origin is a realm, the id of a member and a number");
  return { realm: found[1]!, authorId: found[2]! };
}

function readHead(note: string): LogHead {
  const found = HEAD.exec(note);
  require(found !== null, "NOTE_MALFORMED", "a log head is an origin, a size and a root"); // lh.3
  const head = { origin: found[1]!, size: BigInt(found[2]!), root: readBase64(found[3]!) };
  const isTree = head.size <= LARGEST_SIZE && (head.size > 0n || equal(head.root, EMPTY_ROOT));
  require(isTree, "NOTE_MALFORMED", "a log has no such size and root"); // lh.4
  return head;
}
