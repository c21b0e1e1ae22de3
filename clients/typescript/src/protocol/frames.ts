/** E_SEK: the frames of a session, and the content that comes in them. Sequence starts at 0 in each direction and must be exactly the next (B12). */

import { createCipheriv, createDecipheriv } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type SessionFrame, SessionFrameSchema } from "../gen/federation/v1/envelope_pb.js";
import { PartKind, type RecordManifest, RecordManifestSchema } from "../gen/federation/v1/record_pb.js";
import { concat, type Instant, sha256, u64 } from "./bytes.js";
import { Refusal, require } from "./refusal.js";
import { check, parse, payloadRule } from "./rules.js";
import { field, transcript } from "./transcript.js";

/** Four seconds on a line of 128 kbit/s: a slice is fresh, and comes in a call's time. */
const SLICE_BYTES = 64 * 1024;
const MOST_SLICE_BYTES = 1024 * 1024;
const TAG_BYTES = 16;

/** Below this all sizes look the same. */
const SMALLEST_BYTES = 2048;

/** Shorter pieces of content are joined: a peer that sends many costs no more memory than their bytes. */
const PIECE_BYTES = 64 * 1024;

/** Key (32 bytes) and iv (12 bytes) of one direction. */
export interface DirectionKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** One direction of a session, and the sequence of its next frame. */
export class Direction {
  constructor(
    readonly sessionId: Uint8Array,
    readonly keys: DirectionKeys,
    readonly sequence = 0n,
  ) {}

  /** Seal the next frame: a message, where it is the last, or else a slice of padded content. */
  seal(name: string, content: Uint8Array, last: boolean, sentAt: Instant): { next: Direction; frame: SessionFrame } {
    const cipher = createCipheriv("aes-256-gcm", this.keys.key, this.#nonce());
    cipher.setAAD(this.#associatedData(name, last, sentAt));
    const plaintext = last ? padded(field(content)) : content;
    const sealed = concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
    const { sessionId, sequence } = this;
    return { next: this.after(), frame: create(SessionFrameSchema, { sessionId, sequence, last, sealed, sentAt }) };
  }

  /** Open the next frame: give the message of the last one, or a slice. */
  open(name: string, frame: SessionFrame): { next: Direction; content: Uint8Array } {
    check(SessionFrameSchema, frame);
    require(Buffer.from(frame.sessionId!).equals(
      this.sessionId,
    ), "SESSION_UNKNOWN", "the frame belongs to another session");
    require(frame.sequence ===
      this.sequence, "OUT_OF_ORDER", `frame ${frame.sequence} came where ${this.sequence} is next`);
    require(frame.sealed!.length >= TAG_BYTES, "SEAL_INVALID", "the frame does not open");
    const decipher = createDecipheriv("aes-256-gcm", this.keys.key, this.#nonce());
    decipher.setAAD(this.#associatedData(name, frame.last!, frame.sentAt!));
    decipher.setAuthTag(frame.sealed!.subarray(-TAG_BYTES));
    try {
      const plaintext = concat(decipher.update(frame.sealed!.subarray(0, -TAG_BYTES)), decipher.final());
      return { next: this.after(), content: frame.last! ? messageIn(plaintext) : plaintext };
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal("SEAL_INVALID", "the frame does not open", { cause: error });
    }
  }

  /** The direction after its next frame, which may also be one that never comes. */
  after(): Direction {
    return new Direction(this.sessionId, this.keys, this.sequence + 1n);
  }

  /** iv xor the 12-byte big-endian sequence. */
  #nonce(): Uint8Array {
    const sequence = concat(new Uint8Array(4), u64(this.sequence));
    return this.keys.iv.map((byte, index) => byte ^ sequence[index]!);
  }

  /** T(name, session id, sequence, T, last). */
  #associatedData(name: string, last: boolean, sentAt: Instant): Uint8Array {
    return transcript(name, this.sessionId, u64(this.sequence), u64(sentAt), u64(last ? 1 : 0));
  }
}

/** padded(n): 2,048 bytes, and above that Padme (docs/protocol.md, 1), so that a size on the wire tells a size class and no more. */
export function paddedSize(size: number): number {
  if (size <= SMALLEST_BYTES) return SMALLEST_BYTES;
  const exponent = size.toString(2).length - 1;
  const step = 2 ** (exponent - exponent.toString(2).length);
  return Math.ceil(size / step) * step;
}

/** Seal content and its padding in slices, then the message that signs it, in the frame that says `last`. */
export function sealContent(
  direction: Direction,
  name: string,
  content: Uint8Array,
  message: Uint8Array,
  sentAt: Instant,
): { next: Direction; frames: SessionFrame[] } {
  const frames: SessionFrame[] = [];
  let next = direction;
  const put = (plaintext: Uint8Array, last: boolean) => {
    const sealed = next.seal(name, plaintext, last, sentAt);
    frames.push(sealed.frame);
    next = sealed.next;
  };
  const whole = padded(content);
  for (let offset = 0; offset < whole.length; offset += SLICE_BYTES)
    put(whole.subarray(offset, offset + SLICE_BYTES), false);
  put(message, true);
  return { next, frames };
}

/** Content that comes in slices, held in memory until it is whole. */
export class Slices {
  constructor(
    readonly size = 0,
    readonly count = 0,
    readonly pieces: readonly Uint8Array[] = [],
  ) {}

  /** The content with the next slice. */
  with(slice: Uint8Array): Slices {
    require(slice.length > 0, "FIELD_INVALID", "a slice is empty");
    require(slice.length <= MOST_SLICE_BYTES, "MESSAGE_TOO_LARGE", `a slice has ${slice.length} bytes`);
    const newest = this.pieces.at(-1);
    const isShort = newest !== undefined && newest.length < PIECE_BYTES;
    const pieces = isShort ? [...this.pieces.slice(0, -1), concat(newest, slice)] : [...this.pieces, slice];
    return new Slices(this.size + slice.length, this.count + 1, pieces);
  }

  /** The first bytes, as many as there are of so many. */
  head(size: number): Uint8Array {
    let [count, have] = [0, 0];
    while (have < size && count < this.pieces.length) have += this.pieces[count++]!.length;
    return concat(...this.pieces.slice(0, count)).subarray(0, size);
  }

  /** What came up to there. */
  first(size: number): Slices {
    let left = size;
    const pieces: Uint8Array[] = [];
    for (const piece of this.pieces) {
      if (left > 0) pieces.push(piece.subarray(0, left));
      left -= piece.length;
    }
    return new Slices(size, this.count, pieces);
  }

  /** Content of that size, once it is whole: zeros to its padded size follow it, and nothing else. */
  content(size: number): Uint8Array {
    require(this.size === paddedSize(size), "PADDING_INVALID", `${this.size} bytes came of content of ${size}`);
    const whole = concat(...this.pieces);
    requireZeros(whole.subarray(size));
    return whole.subarray(0, size);
  }
}

function padded(content: Uint8Array): Uint8Array {
  return concat(content, new Uint8Array(paddedSize(content.length) - content.length));
}

/** The message in F(message) || zeros. */
function messageIn(plaintext: Uint8Array): Uint8Array {
  const long = plaintext.length >= SMALLEST_BYTES;
  require(long, "PADDING_INVALID", "the last frame of a message is not padded");
  const size = new DataView(plaintext.buffer, plaintext.byteOffset).getUint32(0);
  require(plaintext.length ===
    paddedSize(4 + size), "PADDING_INVALID", "the last frame has not the size of its message");
  requireZeros(plaintext.subarray(4 + size));
  return plaintext.subarray(4, 4 + size);
}

function requireZeros(padding: Uint8Array): void {
  require(padding.every((byte) => byte === 0), "PADDING_INVALID", "the padding is not zeros");
}

/** Of a FHIR bundle, which is read as a whole. */
const MOST_BUNDLE_BYTES = 17 * 1024 * 1024;

/** A manifest that came, and how many bytes M_EMR = F(manifest) || the bytes of every part has by it: judged before the rest is taken. */
export interface Layout {
  readonly manifest: RecordManifest;
  /** H of the manifest's bytes. */
  readonly digest: Uint8Array;
  /** Where the first part begins. */
  readonly begin: number;
  readonly size: number;
}

/** The layout of content that may have so many bytes, once the manifest is among what came. */
export function layoutOf(slices: Slices, mostBytes: number): Layout | undefined {
  if (slices.size < 4) return undefined;
  const manifestSize = Buffer.from(slices.head(4)).readUInt32BE();
  const most = payloadRule(RecordManifestSchema)!.maxSize!;
  require(manifestSize <= most, "MESSAGE_TOO_LARGE", `a manifest of ${manifestSize} bytes`);
  const begin = 4 + manifestSize;
  if (slices.size < begin) return undefined;
  const encoded = slices.head(begin).subarray(4);
  const manifest = parse(RecordManifestSchema, encoded);
  const parts = manifest.records.flatMap((record) => record.parts);
  const small = parts.every((part) => part.kind !== PartKind.FHIR_BUNDLE || part.sizeBytes! <= MOST_BUNDLE_BYTES);
  require(small, "RECORD_TOO_LARGE", `a FHIR bundle of more than ${MOST_BUNDLE_BYTES} bytes`);
  const size = parts.reduce((sum, part) => sum + Number(part.sizeBytes), begin);
  require(size <= mostBytes, "RECORD_TOO_LARGE", `a record of ${size} bytes, where ${mostBytes} more are taken`);
  return { manifest, digest: sha256(encoded), begin, size };
}

/** What a record that broke goes on behind is a multiple of it. */
const RESUMED_BYTES = 512 * 1024;

/** Behind how many bytes of M_EMR another session may go on: a multiple of 512 KiB, the manifest in it, and not all. 0 for none. */
export function resumable({ begin, size }: Layout, slices: Slices): number {
  const offset = Math.floor(Math.min(slices.size, size - 1) / RESUMED_BYTES) * RESUMED_BYTES;
  return offset < begin ? 0 : offset;
}

/** Require no more to have come with the newest slice than the manifest says, and zeros. */
export function requireWithin({ size }: Layout, slices: Slices, newest: Uint8Array): void {
  require(slices.size <= paddedSize(size), "PADDING_INVALID", "the hospital sends more than its manifest says");
  requireZeros(newest.subarray(Math.max(0, newest.length - Math.max(0, slices.size - size))));
}
